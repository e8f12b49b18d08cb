# convbook. `make help` lists what there is to do.
#
# Everything is installed into .venv, in this folder, or into the user's caches of Go, pip and npm. Nothing is written
# to system folders, and Jupyter's settings and kernels are kept apart from the user's own.

SHELL := /bin/bash
.SHELLFLAGS := -eo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := $(CURDIR)/.venv
PYTHON := $(VENV)/bin/python
PLUGIN := $(VENV)/lib/convbook/pjrt_c_api_cpu_plugin.so
export PATH := $(VENV)/bin:$(PATH)
export JUPYTER_CONFIG_DIR := $(VENV)/etc/jupyter
export JUPYTER_CONFIG_PATH :=
export JUPYTER_DATA_DIR := $(VENV)/share/jupyter
export JUPYTER_RUNTIME_DIR := $(VENV)/run
export JUPYTERLAB_SETTINGS_DIR := $(VENV)/etc/jupyter/lab/user-settings
export JUPYTERLAB_WORKSPACES_DIR := $(VENV)/etc/jupyter/lab/workspaces
export IPYTHONDIR := $(VENV)/etc/ipython
export PYTHONDONTWRITEBYTECODE := 1
ifdef BACKEND
export GOMLX_BACKEND := $(BACKEND)
endif

# What the user gives on the command line: make run NB=10 P="epochs=2 lr=0.02" PROFILE=smoke
NB :=
P :=
PROFILE := full
HOST := localhost
LOCAL = $(filter localhost 127.% ::1,$(HOST))
PORT := 8888
ROUNDS := 5

.PHONY: help lab run test test-go test-python test-notebooks test-browser bench bench-peers bench-gpu book lint data setup cuda lock clean

help: ## this list
	@echo "usage: make TARGET"
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | awk -F'\t' '{ printf "  %-15s%s\n", $$1, $$2 }'

lab: setup data ## open the book in JupyterLab; BACKEND=xla:cuda computes on the GPU, PORT=9999 listens there
	@$(if $(LOCAL),,echo "warning: others reach JupyterLab at $(HOST): who has the token can run programs as you" >&2;) \
	exec $(PYTHON) $(VENV)/bin/jupyter-lab --config=lib/headless/lab_config.py \
		--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb --ServerApp.ip=$(HOST) --ServerApp.port=$(PORT) --ServerApp.allow_remote_access=$(if $(LOCAL),False,True) $(LAB)

# P reaches run.py as it is given, with all its quotes and dollars.
run: override export P := $(value P)
run: setup data ## run notebooks without a browser: all, or NB=10 with P="epochs=2 lr=0.02"; PROFILE=smoke is quick
	@$(PYTHON) lib/headless/run.py --profile "$(PROFILE)" --set "$$P" $(NB)

test: lint test-go test-python test-notebooks ## the unit tests, and every notebook in its smoke profile

test-go: setup data
	go test ./...
	CONVBOOK_ONEDNN=off go test -count=1 ./lib/nn # the convolutions of machines that it is not for

test-python: setup
	$(PYTHON) -m unittest discover -s lib/headless

test-notebooks: setup data
	$(PYTHON) lib/headless/run.py --check
	$(PYTHON) lib/headless/run.py --profile smoke

test-browser: setup data $(VENV)/.test ## run a notebook cell by cell in a real browser (needs chromium)
	$(PYTHON) lib/headless/browser.py $(NB)

lint: setup $(VENV)/.test
	@test -z "$$(gofmt -l lib)" || { echo "error: not formatted: $$(gofmt -l lib | tr '\n' ' '): run gofmt -w lib" >&2; exit 1; }
	go vet ./...
	hadolint docker/Dockerfile

book: setup data ## execute notebooks at full settings and put the results into notebooks/ and figures/ (NB=10: one)
	@$(PYTHON) lib/headless/run.py --book $(NB)

bench: setup data ## time the book's networks and what a cell waits for: a table, and build/bench.json
	go run ./lib/bench
	@$(PYTHON) lib/bench/cell.py

bench-peers: setup data ## time them beside PyTorch and JAX, which come into build/peers first, some gigabytes; ROUNDS=5
	@test -x build/peers/bin/python || python3 -m venv build/peers
	@build/peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements-peers.txt
	@go build -o build/bench ./lib/bench
	@build/peers/bin/python lib/bench/peers.py --rounds $(ROUNDS)

bench-gpu: setup data cuda ## VGG16 and Net on an NVIDIA GPU beside PyTorch and JAX, from a python3 that has both for CUDA
	@go build -o build/bench ./lib/bench
	@python3 lib/bench/gpu.py --rounds $(ROUNDS)

data: $(VENV)/bin/fetch ## fetch the data sets that are not in the cache yet
	@fetch mnist cifar10

setup: $(VENV)/.tools $(VENV)/.kernel $(VENV)/bin/fetch $(PLUGIN) ## install what is missing, into .venv
	@:

# What pip is told: exactly the files of the lock, and nothing that would have to be built. --no-deps: the lock lists all
# that is needed; the XLA plugin would ask for JAX, which the book does not use.
PIP := $(PYTHON) -m pip install --disable-pip-version-check --no-deps --require-hashes --only-binary :all:
OFFLINE := { echo "error: not all could be fetched (see above): connect to the network and run make again; it goes on where it stopped" >&2; exit 1; }

# Each step leaves a mark when it is done, and is done again when what it is made from changes.

$(VENV)/.python: requirements.txt
	@command -v go >/dev/null || { echo "error: go is missing: install Go 1.26 or later from https://go.dev/dl" >&2; exit 1; }
	@for tool in gcc python3; do command -v $$tool >/dev/null || { echo "error: $$tool is missing: install it, on Debian and Ubuntu with: sudo apt install $$tool" >&2; exit 1; }; done
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "error: python3 has no venv module: install it, on Debian and Ubuntu with: sudo apt install python3-venv" >&2; exit 1; }
	@echo "installing JupyterLab and XLA into .venv"
	@python3 -m venv $(VENV)
	@$(PIP) --quiet -r requirements.txt || $(OFFLINE)
	@touch $@

cuda: $(VENV)/.cuda ## install what BACKEND=xla:cuda needs, some gigabytes, into .venv

$(VENV)/.cuda: requirements-cuda.txt | $(VENV)/.python
	@$(PIP) -r requirements-cuda.txt || $(OFFLINE)
	@# go-xla looks for this name; the NVIDIA libraries are found from the plugin's own folder.
	@cd $(VENV)/lib/python3*/site-packages/jax_plugins/xla_cuda13 && ln -sf xla_cuda_plugin.so pjrt_c_api_cuda_plugin.so
	@touch $@

$(VENV)/.tools: .tools/go.mod .tools/go.sum | $(VENV)/.python
	@echo "building GoNB, goimports and gopls into .venv"
	@(cd .tools && go mod download) || $(OFFLINE)
	@(cd .tools && go build -o $(VENV)/bin/ tool)
	@touch $@

$(VENV)/.kernel: lib/headless/kernel.py | $(VENV)/.python
	@$(PYTHON) lib/headless/kernel.py
	@touch $@

# The whole library is compiled, so that the first cell of a notebook need not wait for it.
$(VENV)/bin/fetch: $(shell find lib -name '*.go') go.mod go.sum | $(VENV)/.python
	@go mod download || $(OFFLINE)
	@go build ./lib/...
	@go build -o $@ ./lib/dataset/fetch

# XLA's plugin with compiled programs kept on disk and with oneDNN's convolutions, where pip has a oneDNN for this machine.
# The header comes with go-xla, which is there once fetch is built.
COMPILE := gcc -std=gnu11 -O2 -Wall -Wextra -Werror -shared -fPIC -fvisibility=hidden -Wl,-z,nodelete

$(PLUGIN): lib/device/plugin/plugin.c lib/device/plugin/onednn.c lib/device/plugin/xla.h go.mod $(VENV)/.python | $(VENV)/bin/fetch
	@mkdir -p $(@D)
	@pjrt="$$(go list -m -f '{{.Dir}}' github.com/gomlx/go-xla)/pjrt"; \
		real=$$(ls -t $(VENV)/lib/python3*/site-packages/*/pjrt_c_api_cpu_plugin.so | head -1); \
		if [ -e $(VENV)/lib/libdnnl.so ]; then \
			$(COMPILE) -I"$$pjrt" -I$(VENV)/include -o $@.partial lib/device/plugin/onednn.c \
				-L$(VENV)/lib -ldnnl -lgomp -Wl,-rpath,'$$ORIGIN/..'; mv $@.partial $(@D)/onednn.so; fi; \
		$(COMPILE) -I"$$pjrt" -DREAL_PLUGIN="\"$$real\"" -DREAL_PLUGIN_SUM="\"$$(sha256sum < "$$real")\"" \
			-DONEDNN="\"$(@D)/onednn.so\"" -o $@.partial lib/device/plugin/plugin.c
	@mv $@.partial $@

$(VENV)/.test: requirements-test.txt | $(VENV)/.python
	@$(PIP) --quiet -r requirements-test.txt || $(OFFLINE)
	@touch $@

lock: ## pin requirements*.in anew, with hashes
	@python3 -m venv build/lock
	@build/lock/bin/pip install --quiet uv==0.13.9
	@echo "jax; python_version < '3'" > build/lock/without-jax.txt
	@for name in requirements requirements-test requirements-cuda; do \
		build/lock/bin/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-annotate \
			--custom-compile-command "make lock" --override build/lock/without-jax.txt --upgrade $$name.in -o $$name.txt; done
	@build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command "make lock" --upgrade requirements-peers.in -o requirements-peers.txt

clean: ## remove what was installed and built here; data and runs stay in the cache
	rm -rf .venv build
