# convbook. `make help` lists what there is to do.
#
# Everything is installed into .venv, in this folder, or into the user's caches of Go, pip and npm. Nothing is written
# to system folders, and Jupyter's settings and kernels are kept apart from the user's own.

SHELL := /bin/bash
.SHELLFLAGS := -peo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Steps take their turns: two of them may install into .venv, and go and pip use all cores by themselves.
.NOTPARALLEL:

# All names here are relative to this folder, because make would split the folder's own name at spaces. What needs the
# whole name gets it through the environment, unless one of these characters is in it: a colon separates the folders of
# PATH, a comma those that GoNB takes, and Go's modules cannot be in a folder with a backslash.
comma := ,
WRONG := $(strip $(foreach character,: \ $(comma),$(findstring $(character),$(CURDIR))))
ifneq ($(WRONG),)
$(error the book cannot be in a folder with $(WRONG) in its name: rename or move $(CURDIR))
endif
ifeq ($(wildcard tools/requirements/book.txt),)
$(error $(CURDIR) is not the book's folder: go there, or say make -C and its name)
endif

VENV := .venv
PYTHON := $(VENV)/bin/python
PLUGIN := $(VENV)/lib/convbook/pjrt_c_api_cpu_plugin.so

# A folder that the user names is taken as it is written, dollar signs too, and made absolute: a cell's working folder
# is not make's.
define absolute
ifneq ($$(value $(1)),)
override export $(1) := $$(if $$(filter /% ~% off,$$(firstword $$(value $(1)))),,$$(CURDIR)/)$$(value $(1))
endif
endef
$(foreach name,CONVBOOK_DATA CONVBOOK_RUNS CONVBOOK_COMPILED XDG_CACHE_HOME TMPDIR,$(eval $(call absolute,$(name))))

# What the user has set for other work, in the environment or with `go env -w`, changes nothing that is done here. What
# says where packages come from and where they are kept stays: GOPROXY, GOSUMDB, GOPRIVATE, GOMODCACHE, GOCACHE and the
# like, PIP_INDEX_URL, the files of pip and npm, proxies, certificates.
#
# Go takes what `go env -w` noted where a variable is empty, so these have values: the defaults, in GOEXPERIMENT an
# empty list. The kernel gets them, too, and builds the cells in a workspace of its own.
GO_SETTINGS := GO111MODULE GOTOOLCHAIN GOOS GOARCH GOAMD64 GOEXPERIMENT GOROOT CC CGO_ENABLED CGO_CFLAGS CGO_LDFLAGS
export GO111MODULE := on
export GOTOOLCHAIN := auto
export GOOS := linux
export GOARCH := amd64
export GOAMD64 := v1
export GOEXPERIMENT := ,
export GOROOT := # go knows its own
export CC := gcc
export CGO_ENABLED := 1
export CGO_CFLAGS := -O2 -g
export CGO_LDFLAGS := -O2 -g
export GOWORK := off
export GOFLAGS := -buildvcs=false
unexport CGO_CPPFLAGS
# Bash: what it runs first, and where cd goes. Its -p above is for the lines here, this for the scripts that they start.
unexport BASH_ENV CDPATH
# pip: where it installs, for which Python, and what else.
unexport PIP_ABI PIP_CONSTRAINT PIP_DRY_RUN PIP_EDITABLE PIP_IMPLEMENTATION PIP_NO_BINARY PIP_PLATFORM PIP_PREFIX
unexport PIP_PYTHON PIP_PYTHON_VERSION PIP_REQUIREMENT PIP_ROOT PIP_TARGET PIP_USER
# Python: other packages than those of .venv, and other ways to run.
unexport PYTHONHOME PYTHONINSPECT PYTHONIOENCODING PYTHONOPTIMIZE PYTHONPATH PYTHONPLATLIBDIR PYTHONSAFEPATH
unexport PYTHONSTARTUP PYTHONUSERBASE PYTHONWARNINGS
export PYTHONUTF8 := 1
export PYTHONDONTWRITEBYTECODE := 1
# Jupyter: other kernels and settings, another machine's kernels.
unexport JUPYTER_CONFIG_PATH JUPYTER_GATEWAY_URL JUPYTER_NO_CONFIG JUPYTER_PATH JUPYTER_PLATFORM_DIRS
unexport JUPYTER_PREFER_ENV_PATH JUPYTERLAB_DIR
export JUPYTER_CONFIG_DIR := $(CURDIR)/$(VENV)/etc/jupyter
export JUPYTER_DATA_DIR := $(CURDIR)/$(VENV)/share/jupyter
export JUPYTER_RUNTIME_DIR := $(CURDIR)/$(VENV)/run
export JUPYTERLAB_SETTINGS_DIR := $(CURDIR)/$(VENV)/etc/jupyter/lab/user-settings
export JUPYTERLAB_WORKSPACES_DIR := $(CURDIR)/$(VENV)/etc/jupyter/lab/workspaces
export IPYTHONDIR := $(CURDIR)/$(VENV)/etc/ipython

ifdef BACKEND
export GOMLX_BACKEND := $(BACKEND)
endif

# What the user gives on the command line: make run NB=10 P="epochs=2 lr=0.02" PROFILE=smoke, make bench-peers ROUNDS=5,
# make fuzz TIME=1h ONLY="safetensors.FuzzDecode plugin.rewrite", make faults SEED=1 ONLY=damage/17, make claims
# NAME=cnn-beats-fc BUDGET=40m, make vulncheck VULNDB=file:///..., make sweep NB=12 P="lr=log(1e-4,1e-2) seed=1..3" TRIALS=30
# EARLY=halving CORES=2 OF=Net MANY=yes CLUSTER=tcp://host:8786.
#
# The first three may also stand in front, as in NB=10 make run.
NB ?=
P ?=
PROFILE ?= full
HOST := localhost
LOCAL = $(filter localhost 127.% ::1,$(HOST))
PORT := 8888
ROUNDS := 5
TIME := 60s
ONLY :=
SEED :=
NAME :=
MODEL :=
BUDGET :=
VULNDB :=
TRIALS := 0
EARLY :=
CORES := 1
OF :=
MANY :=
CLUSTER :=

# They reach the steps in the environment as they were given, with all their quotes and dollars.
GIVEN := NB P PROFILE ROUNDS TIME ONLY SEED NAME MODEL BUDGET VULNDB TRIALS EARLY CORES OF MANY CLUSTER
$(foreach name,$(GIVEN),$(eval override export $(name) := $$(value $(name))))

# What is checked of how things are written.
STYLE := lint-go lint-c lint-python lint-text

.PHONY: help lab run test test-go test-python test-notebooks test-faults test-browser test-clones lint $(STYLE) vulncheck \
	book sweep scheduler worker runs claims faults fuzz house peers bench roofline bench-peers bench-folder bench-serve bench-gpu gpu-peers \
	data setup cuda lock clean

help: ## this list
	@echo "usage: make TARGET"
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | awk -F'\t' '{ printf "  %-15s%s\n", $$1, $$2 }'

lab: setup data ## open the book in JupyterLab; BACKEND=xla:cuda computes on the GPU, PORT=9999 listens there
	@$(PYTHON) tools/notebooks/address.py "$(HOST)" "$(PORT)"
	@$(if $(LOCAL),,echo "warning: others reach JupyterLab at $(HOST): who has the token can run programs as you" >&2;) \
	exec $(PYTHON) $(VENV)/bin/jupyter-lab --config=tools/notebooks/lab_config.py \
		--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb --ServerApp.ip="$(HOST)" --ServerApp.port="$(PORT)" \
		--ServerApp.allow_remote_access=$(if $(LOCAL),False,True) $(LAB)

run: setup data ## run notebooks without a browser: all, or NB=10 with P="epochs=2 lr=0.02"; PROFILE=smoke is quick
	@$(PYTHON) tools/notebooks/run.py --profile="$$PROFILE" --set="$$P" -- $${NB:+"$$NB"}

# tools/sweep/README.md says how trials get to other machines.
sweep: setup data $(VENV)/.sweep ## train a notebook with many settings: NB=12 P="lr=0.001,0.003 batch=32,64 seed=1..3" EARLY=halving
	@exec $(PYTHON) tools/sweep/sweep.py --profile="$$PROFILE" --set="$$P" --trials="$$TRIALS" --early="$$EARLY" \
		--cores="$$CORES" --of="$$OF" --many="$$MANY" --cluster="$$CLUSTER" -- $${NB:+"$$NB"}

scheduler: PORT := 8786
scheduler: $(VENV)/.sweep ## hand out trials to workers, for CLUSTER=tcp://host:8786; HOST=0.0.0.0 listens to other machines
	@$(PYTHON) tools/notebooks/address.py "$(HOST)" "$(PORT)"
	@echo "warning: who reaches port $(PORT) at $(HOST), other users of this machine included, can run programs as you:" \
		"tools/sweep/README.md tells how certificates keep others out" >&2; \
	exec $(DASK) scheduler --host "$(HOST)" --port "$(PORT)" --dashboard-address 127.0.0.1:0

worker: setup data $(VENV)/.sweep ## do trials for CLUSTER=tcp://host:8786, each on CORES=1, as many at once as the machine has room for
	@[[ $$CLUSTER =~ ^(tcp|tls)://.+:[0-9]+$$ ]] || { echo 'error: say whose trials: make worker CLUSTER=tcp://host:8786' >&2; exit 1; }
	@test "$$CORES" -ge 0 2>/dev/null || { echo "error: CORES is a whole number, 0 for all, not $$CORES" >&2; exit 1; }
	@# A worker that ends with its scheduler is followed by one that waits ten minutes for another scheduler.
	@trap 'kill $$worker 2>/dev/null; wait $$worker; exit 130' INT TERM HUP; export CONVBOOK_CORES="$$CORES"; \
	n=$$((CORES > 0 ? $$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc) / CORES : 1)); status=0; \
	while [ $$status = 0 ]; do $(DASK) worker "$$CLUSTER" --nthreads 1 --nworkers $$((n > 1 ? n : 1)) --death-timeout 600 \
		--name "$$(uname -n)-$$$$-cores" --memory-limit 0 --no-dashboard & \
		worker=$$!; wait $$worker || status=$$?; done; \
	echo "error: the worker ended with status $$status, as it does when $$CLUSTER does not answer for ten minutes: see above" >&2; \
	exit $$status

# A trial whose worker dies is given to another one once.
DASK := env PYTHONPATH=tools/sweep DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES=1 $(PYTHON) -m dask

# By the names by which tools/notebooks/browser.py looks for it.
BROWSER = $(shell command -v "$$CHROMIUM" chromium chromium-browser google-chrome)

test: $(STYLE) test-go test-python test-notebooks test-faults $(if $(BROWSER),test-browser) ## the unit tests, every notebook in its smoke profile, and one in a browser if there is chromium

test-go: setup data
	go test ./...
	go -C tools/go test ./...
	CONVBOOK_ONEDNN=off go test -count=1 ./lib/nn/... # the convolutions of machines that it is not for

test-python: setup data $(VENV)/.lint $(VENV)/.sweep
	$(PYTHON) -m unittest discover -s tools/fuzz
	$(PYTHON) -m unittest discover -s tools/lint
	$(PYTHON) -m unittest discover -s tools/notebooks
	$(PYTHON) -m unittest discover -s tools/sweep

test-notebooks: setup data
	$(PYTHON) tools/notebooks/run.py --check
	go run ./cmd/claims -check
	$(PYTHON) tools/notebooks/run.py --profile smoke

test-faults: setup data
	@go run ./cmd/faults -short $${SEED:+-seed "$$SEED"}

test-browser: setup data $(VENV)/.test ## run a notebook cell by cell in a real browser (needs chromium), and train, stop and compare in it
	$(PYTHON) tools/notebooks/browser.py $${NB:+"$$NB"}

test-clones: ## set up fresh clones in folders with odd names, among settings for other work, and run a chapter in each
	@tools/clones

lint: $(STYLE) vulncheck ## check how things are written, as `make test` does, too, and look up known vulnerabilities
lint: OPTIONAL := yes # where the list of vulnerabilities cannot be reached

lint-go: setup
	@wrong=$$(gofmt -l cmd lib tools); test -z "$$wrong" || \
		{ echo "error: not formatted: run gofmt -w" $$wrong >&2; exit 1; }
	go vet ./...
	go -C tools/go vet ./...
	go tool -modfile=tools/go/go.mod staticcheck ./...
	go -C tools/go tool staticcheck ./...

lint-c: setup $(VENV)/.lint
	@mkdir -p build
	@$(COMPILE) -Werror -o build/lint.so -I"$$(go list -m -f '{{.Dir}}' github.com/gomlx/go-xla)/pjrt" -I$(VENV)/include \
		-DREAL_PLUGIN='""' -DREAL_PLUGIN_SUM='""' lib/device/plugin/*.c
	$(if $(wildcard lib/device/.clang-format),$(VENV)/bin/clang-format --dry-run -Werror \
		$(wildcard lib/device/*.c lib/device/plugin/*.[ch] lib/device/plugin/*/*.[ch]))

lint-python: $(VENV)/.lint
	$(VENV)/bin/ruff check --quiet --config tools/lint/ruff.toml tools lib

lint-text: $(VENV)/.lint
	$(PYTHON) tools/lint/prose.py
	$(VENV)/bin/shellcheck .ci/run tools/check tools/clones tools/notebooks/link tools/sweep/ssh tools/sweep/slurm.sh
	$(VENV)/bin/hadolint docker/Dockerfile tools/sweep/Dockerfile

vulncheck: setup ## look up known vulnerabilities in the Go code that the book calls (asks vuln.go.dev; VULNDB=file:///... instead)
	@mkdir -p build
	@go tool -modfile=tools/go/go.mod govulncheck $${VULNDB:+-db "$$VULNDB"} ./... 2> build/govulncheck.log || { status=$$?; \
		if grep -q 'fetching vulnerabilities' build/govulncheck.log; then \
			echo "$(if $(OPTIONAL),note,error): nothing was checked, the list of vulnerabilities cannot be read:" \
				"$$(grep 'fetching vulnerabilities' build/govulncheck.log)" >&2; \
			exit $(if $(OPTIONAL),0,$$status); fi; \
		cat build/govulncheck.log >&2; exit $$status; }

book: setup data ## execute notebooks at full settings and put the results into notebooks/ and figures/ (NB=10: one)
	@$(PYTHON) tools/notebooks/run.py --book -- $${NB:+"$$NB"}

runs: setup ## list the trained networks on disk, with their sizes; go run ./cmd/runs -help tells how to name and remove them
	@go run ./cmd/runs

claims: setup data peers ## train what the book's claims rest on, with several seeds, and judge them; NAME=one BUDGET=40m
	@go build -o build/claims ./cmd/claims
	@build/claims -name "$$NAME" $${BUDGET:+-budget "$$BUDGET"}

faults: setup data ## kill trainings, damage files, fill disks, and check that nothing is lost, in some minutes; SEED=1 ONLY=damage/17
	@go run ./cmd/faults $${SEED:+-seed "$$SEED"} $${ONLY:+-only "$$ONLY"}

fuzz: setup ## look for inputs that break what reads bytes from outside, each reader for TIME=60s; ONLY=plugin.rewrite (needs clang)
	@$(PYTHON) tools/fuzz/run.py --time="$$TIME" -- $$ONLY

# Without inlining, so a stack trace has all functions.
house: setup ## report code size, long functions and unused names
	@go run -gcflags=example.org/convbook/...=-l ./tools/house

bench: setup data ## time the book's networks and what a cell waits for: a table, and build/bench.json
	go run ./cmd/bench
	@$(PYTHON) tools/bench/cell.py

peers: ## install PyTorch and JAX into build/peers, some gigabytes, to compare with
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: PyTorch and JAX are pinned for Python 3.11 or later, and python3 is another" >&2; exit 1; }
	@{ command -v g++ >/dev/null && python3 -c 'import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")' 2>/dev/null; } || \
		{ echo "error: PyTorch compiles networks with g++ and Python's header files: apt install g++ python3-dev" >&2; exit 1; }
	@$(ALONE); build/peers/bin/python -c 'import pip' 2>/dev/null || { rm -rf build/peers; python3 -m venv build/peers; }; \
	build/peers/bin/python $(subst $(VENV),build/peers,$(PIP)) --quiet -r tools/requirements/peers.txt || $(OFFLINE)

roofline: setup data ## time the networks' convolutions alone, against the machine's best rate
	@go run ./cmd/bench -roofline

bench-peers: setup data peers ## time the book's networks beside PyTorch and JAX; ROUNDS=5
	@go build -o build/bench ./cmd/bench
	@build/peers/bin/python tools/bench/peers.py --rounds="$$ROUNDS"

bench-folder: setup data peers ## open 50,000 PNGs beside torchvision's ImageFolder
	@go build -o build/bench ./cmd/bench
	@build/peers/bin/python tools/bench/folder.py

bench-serve: setup data peers ## put load on cmd/serve, and on PyTorch behind FastAPI and uvicorn; ROUNDS=5 MODEL=RUN
	@go build -o build/ ./cmd/bench ./cmd/serve ./cmd/runs ./tools/bench/load
	@build/peers/bin/python tools/bench/serve.py --rounds="$$ROUNDS" --model="$$MODEL"

gpu-peers:
	@python3 -c 'import jax, torch, torchvision' 2>/dev/null || \
		{ echo "error: python3 has no PyTorch, torchvision and JAX to compare with: install them for CUDA" >&2; exit 1; }

bench-gpu: gpu-peers setup data cuda ## CNN, Net, VGG16 and ResNet-50 on an NVIDIA GPU beside PyTorch and JAX, from a python3 that has both for CUDA
	@go build -o build/bench ./cmd/bench
	@python3 tools/bench/gpu.py --rounds="$$ROUNDS"

data: $(VENV)/bin/fetch ## fetch the data sets that are not in the cache yet
	@$(VENV)/bin/fetch mnist cifar10

setup: $(VENV)/.tools $(VENV)/.kernel $(VENV)/bin/fetch $(PLUGIN) ## install what is missing, into .venv
	@command -v go >/dev/null || tools/check
	@test -d "$${TMPDIR:-/tmp}" || \
		{ echo "error: there is no folder $$TMPDIR: make it, or set TMPDIR to another one" >&2; exit 1; }
	@# GoNB makes a workspace for the cells in TMPDIR, which Go does not do below another one.
	@found=$$(GOWORK=auto go -C "$${TMPDIR:-/tmp}" env GOWORK); test -z "$$found" || \
		{ echo "error: cells cannot be built in $${TMPDIR:-/tmp}, below $$found: set TMPDIR to another folder" >&2; exit 1; }

# What pip is told: exactly the files of the lock, and nothing that would have to be built. --no-deps: the lock lists all
# that is needed; the XLA plugin would ask for JAX, which the book does not use. The last three: into .venv, whatever pip's
# own files say.
PIP := -m pip install --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
	--no-user --target= --prefix="$$(pwd -P)/$(VENV)"
OFFLINE := { echo "error: not all could be installed (see above): if the network is missing, connect and run make again; it goes on where it stopped" >&2; exit 1; }

# Each step leaves a mark when it is done, and is done again when what it is made from changes. Of two makes at the same
# time, one waits for the other, and skips the step if that has done it meanwhile.
ALONE = mkdir -p build; before=$$(stat -c %y $@ 2>&1) || true; exec 9>> build/lock; flock 9; \
	test "$$before" = "$$(stat -c %y $@ 2>&1)" || exit 0

# .venv is made anew if it was left half done, or if the python3 that it was made with is gone or has become another.
ifneq ($(shell $(PYTHON) -Ic 'import pip' 2>/dev/null && echo works),works)
$(VENV)/.python: FORCE
endif
FORCE:

$(VENV)/.python: tools/requirements/book.txt
	@tools/check
	@$(ALONE); echo "installing JupyterLab and XLA into .venv"; \
	{ test -e $@ && $(PYTHON) -c 'import pip' 2>/dev/null; } || { rm -rf $(VENV); python3 -m venv $(VENV); }; \
	rm -f $@; \
	$(PYTHON) $(PIP) --quiet -r tools/requirements/book.txt || $(OFFLINE); \
	touch $@

cuda: $(VENV)/.cuda ## install what BACKEND=xla:cuda needs, some gigabytes, into .venv

$(VENV)/.cuda: tools/requirements/cuda.txt $(VENV)/.python
	@# go-xla looks for another name; the NVIDIA libraries are found from the plugin's own folder.
	@$(ALONE); $(PYTHON) $(PIP) -r tools/requirements/cuda.txt || $(OFFLINE); \
	(cd $(VENV)/lib/python3*/site-packages/jax_plugins/xla_cuda13; ln -sf xla_cuda_plugin.so pjrt_c_api_cuda_plugin.so); \
	touch $@

# GoNB is built from a copy of its module in build/, with the patches that are waiting to be taken by its author.
GONB := github.com/janpfeifer/gonb
PATCHES := $(sort $(wildcard tools/go/patches/*.patch))

$(VENV)/.tools: tools/go/go.mod tools/go/go.sum tools/go/patches $(PATCHES) tools/go/patch/main.go $(VENV)/.python
	@$(ALONE); echo "building GoNB, goimports and gopls into .venv"; \
	go -C tools/go mod download || $(OFFLINE); \
	go -C tools/go run ./patch "$$(go -C tools/go list -m -f '{{.Dir}}' $(GONB))" ../../build/gonb \
		$(PATCHES:tools/go/%=%); \
	cp tools/go/go.mod build/gonb.mod; cp tools/go/go.sum build/gonb.sum; \
	go mod edit -replace=$(GONB)=../../build/gonb build/gonb.mod; \
	go -C tools/go build -modfile=../../build/gonb.mod -o ../../$(VENV)/bin/ $(GONB); \
	go -C tools/go build -o ../../$(VENV)/bin/ golang.org/x/tools/cmd/goimports golang.org/x/tools/gopls; \
	touch $@

# The kernel's description names this folder, so it is made anew in a clone that was moved or copied.
ifneq ($(file <$(VENV)/.kernel),$(CURDIR))
$(VENV)/.kernel: FORCE
endif

$(VENV)/.kernel: tools/notebooks/kernel.py tools/notebooks/files.py tools/notebooks/link Makefile $(VENV)/.python
	@$(ALONE); $(PYTHON) tools/notebooks/kernel.py $(GO_SETTINGS); pwd -P > $@

# The whole library is compiled, and what cells import besides, so the first cell of a notebook need not wait for it.
$(VENV)/bin/fetch: $(wildcard $(addsuffix *.go,cmd/fetch/ cmd/internal/*/ lib/*/ lib/*/*/ lib/*/*/*/)) go.mod go.sum $(VENV)/.python
	@$(ALONE); go mod download || $(OFFLINE); \
	go build ./lib/... gonum.org/v1/gonum/mat gonum.org/v1/gonum/stat; \
	go build -o $@.partial ./cmd/fetch; \
	mv $@.partial $@

# XLA's plugin with compiled programs kept on disk and with oneDNN's convolutions, where pip has a oneDNN for this machine.
# The header comes with go-xla, which is there once fetch is built. The plugin finds XLA's from its own folder.
COMPILE := gcc -std=gnu11 -O2 -Wall -Wextra -Wshadow -Wconversion -shared -fPIC -fvisibility=hidden -Wl,-z,nodelete

$(PLUGIN): $(wildcard lib/device/plugin/*.c lib/device/plugin/*.h) go.mod $(VENV)/.python | $(VENV)/bin/fetch
	@$(ALONE); mkdir -p $(@D); pjrt="$$(go list -m -f '{{.Dir}}' github.com/gomlx/go-xla)/pjrt"; \
		real=$$(ls -t $(VENV)/lib/python3*/site-packages/*/pjrt_c_api_cpu_plugin.so | head -1); \
		if [ -e $(VENV)/lib/libdnnl.so ]; then \
			$(COMPILE) -I"$$pjrt" -I$(VENV)/include -o $@.partial \
				$(filter-out %/plugin.c,$(wildcard lib/device/plugin/*.c)) \
				-L$(VENV)/lib -ldnnl -lgomp -lm -Wl,-rpath,'$$ORIGIN/..'; mv $@.partial $(@D)/onednn.so; fi; \
		$(COMPILE) -I"$$pjrt" -DREAL_PLUGIN="\"../$${real#$(VENV)/lib/}\"" -DREAL_PLUGIN_SUM="\"$$(sha256sum < $$real)\"" \
			-o $@.partial lib/device/plugin/plugin.c; \
		mv $@.partial $@

$(VENV)/.lint $(VENV)/.test $(VENV)/.sweep: $(VENV)/.%: tools/requirements/%.txt $(VENV)/.python
	@$(ALONE); $(PYTHON) $(PIP) --quiet -r $< || $(OFFLINE); touch $@

lock: ## pin tools/requirements/*.in anew, with hashes
	@python3 -m venv build/pins
	@build/pins/bin/python -m pip install --quiet uv==0.13.9
	@echo "jax; python_version < '3'" > build/pins/without-jax.txt
	@for name in book lint test cuda sweep; do \
		build/pins/bin/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-annotate \
			--custom-compile-command "make lock" --override build/pins/without-jax.txt --upgrade \
			tools/requirements/$$name.in -o tools/requirements/$$name.txt; done
	@build/pins/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command "make lock" --upgrade tools/requirements/peers.in -o tools/requirements/peers.txt

clean: ## remove what was installed and built here; data and runs stay in the cache
	rm -rf .venv build
