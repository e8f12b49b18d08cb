#!/usr/bin/env python3
"""Runs all fuzzers, or those named: those of Go, the plugin's in C, and that of the parameters of headless runs.

A table says what each did; what breaks something is kept as a file, which the tests try from then on. The status is 1
if a fuzzer found something or could not run. New inputs stay in Go's cache and in build/fuzz, so a run goes on from
the last.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "fuzz"
PLUGIN = ROOT / "lib" / "device" / "plugin"
PARAMETERS = ROOT / "tools" / "notebooks" / "fuzz_parameters.py"


class Failed(Exception):
    """A fuzzer could not run. The message is one line."""


def seconds_of(text: str) -> int:
    match = re.fullmatch(r"(\d+)(s|m|h)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 60s, 10m or 1h")
    seconds = int(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]
    if not seconds:  # libFuzzer would take it for no limit
        raise argparse.ArgumentTypeError("a fuzzer needs a second or more")
    return seconds


def output_of(command: list, env: dict | None = None) -> tuple[int, str]:
    process = subprocess.run(command, cwd=ROOT, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace")
    return process.returncode, process.stdout


def last(pattern: str, output: str) -> int:
    found = re.findall(pattern, output)
    return int(found[-1]) if found else 0


def go_fuzzer(package: str, name: str):
    def fuzz(seconds: int, jobs: int):
        # Go would spend a minute on making each new input small, and hardly try others meanwhile.
        status, output = output_of(["go", "test", f"./{package}", "-run", "^$", "-fuzz", f"^{name}$",
                                    "-fuzztime", f"{seconds}s", "-fuzzminimizetime", "20x", "-parallel", str(jobs)])
        # What ran says how long, also if an input that is kept in testdata broke it at once.
        if status and not re.search(r"^FAIL\t\S+\t[\d.]+s$", output, re.MULTILINE):
            raise Failed(next((line for line in output.splitlines() if line and line[0] != "#"), f"status {status}"))
        return status, output, last(r"execs: (\d+)", output), last(r"new interesting: (\d+)", output)
    return fuzz


def compiled(name: str) -> Path:
    """The plugin's fuzzer of that name, with clang's libFuzzer and its sanitizers."""
    names = ["clang", *(f"clang-{version}" for version in range(30, 13, -1))]
    clang = next(filter(None, map(shutil.which, names)), None)
    if not clang:
        raise Failed("clang is missing: install it, on Debian and Ubuntu with: sudo apt install clang libclang-rt-dev")
    pjrt = subprocess.run(["go", "list", "-m", "-f", "{{.Dir}}", "github.com/gomlx/go-xla"], cwd=ROOT, check=True,
                          capture_output=True, text=True).stdout.strip()
    venv = ROOT / ".venv"
    program = BUILD / name
    program.parent.mkdir(parents=True, exist_ok=True)
    status, output = output_of([
        clang, "-g", "-O1", "-std=gnu11", "-Wno-unknown-warning-option", "-fsanitize=fuzzer,address,undefined",
        "-fno-sanitize-recover=undefined", "-DLIBFUZZER", '-DREAL_PLUGIN=""', '-DREAL_PLUGIN_SUM=""', '-DONEDNN=""',
        f"-I{PLUGIN}/fuzz", f"-I{pjrt}/pjrt", f"-I{venv}/include", "-o", program, PLUGIN / "fuzz" / f"{name}.c",
        *([f"-L{venv}/lib", "-ldnnl", "-lgomp", "-lm", f"-Wl,-rpath,{venv}/lib"] if name == "rewrite" else [])])
    if status:
        raise Failed(f"{name}.c does not compile: {output.strip().splitlines()[0]}")
    return program


def plugin_fuzzer(name: str):
    def fuzz(seconds: int, jobs: int):
        program, corpus, seeds = compiled(name), BUILD / f"{name}.corpus", PLUGIN / "testdata" / name
        corpus.mkdir(exist_ok=True)
        dictionary = PLUGIN / "fuzz" / f"{name}.dict"
        status, output = output_of([
            program, f"-max_total_time={seconds}", "-max_len=16384", "-timeout=30", "-malloc_limit_mb=256",
            "-print_final_stats=1", f"-artifact_prefix={seeds}/",
            *([f"-dict={dictionary}"] if dictionary.exists() else []), corpus, seeds],
            # oneDNN and plans made ready live as long as the process.
            {"ASAN_OPTIONS": "detect_leaks=0" if name == "rewrite" else ""})
        executions = last(r"stat::number_of_executed_units: *(\d+)", output)
        return status, output, executions, last(r"stat::new_units_added: *(\d+)", output)
    return fuzz


def parameters_fuzzer(seconds: int, jobs: int):
    status, output = output_of([sys.executable, PARAMETERS, "--seconds", str(seconds)])
    return status, output, last(r"(\d+) executions", output), 0


def fuzzers() -> dict:
    found = {}
    for path in sorted((ROOT / "lib").rglob("*_test.go")):
        for name in re.findall(r"^func (Fuzz\w+)\(f \*testing\.F\)", path.read_text(), re.MULTILINE):
            package = path.parent.relative_to(ROOT)
            found[f"{package.name}.{name}"] = go_fuzzer(str(package), name)
    for path in sorted((PLUGIN / "fuzz").glob("*.c")):
        found[f"plugin.{path.stem}"] = plugin_fuzzer(path.stem)
    if PARAMETERS.exists():
        found["notebooks.parameters"] = parameters_fuzzer
    return found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--time", type=seconds_of, default=60, help="for each: 60s if not given")
    parser.add_argument("--jobs", type=int, default=2, help="processes of a fuzzer of Go's")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args(arguments)
    known = fuzzers()
    unknown = [name for name in options.names if name not in known]
    if unknown:
        print(f"error: there is no fuzzer {unknown[0]}: there is {', '.join(known)}", file=sys.stderr)
        return 1
    logs = BUILD / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    print(f"{'fuzzer':<24}{'executions':>12}{'seconds':>9}{'new inputs':>12}{'crashers':>10}", flush=True)
    failed = False
    for name in options.names or known:
        start = time.monotonic()
        try:
            status, output, executions, new = known[name](options.time, options.jobs)
        except Failed as why:
            failed = True
            print(f"{name:<24}  did not run: {why}", flush=True)
            continue
        log = logs / f"{name}.log"
        log.write_text(output)
        failed |= status != 0
        told = f"  see {log.relative_to(ROOT)}" if status else ""
        print(f"{name:<24}{executions:>12}{time.monotonic() - start:>9.0f}{new:>12}{int(status != 0):>10}{told}",
              flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
