#!/bin/bash
#SBATCH --job-name=convbook-sweep
#SBATCH --ntasks=1
#SBATCH --output=build/sweep-%A_%a.log
# A worker of a sweep, with all the cores that Slurm gives it. From the book's folder:
#
#   sbatch --array=1-8 --cpus-per-task=4 tools/sweep/slurm.sh tcp://host:8786
exec make worker CLUSTER="$1" CORES=0
