# Needs Python 3.11, 3.12 or 3.13 and make; everything else goes into .venv/.
# `make` alone lists the targets.

PYTHON ?= python3
# `make train RECIPE=augmented ARGS="--data DIR --epochs 20"`: ARGS are flags of `catdog train`.
RECIPE ?= demo
ARGS ?=
# Arguments for pytest, for example PYTEST_ARGS="-k resume -x".
PYTEST_ARGS ?=
# Which cells of the fault matrix: words of their names, such as two/SIGKILL, and the part I of N, such as 1/4.
ONLY ?=
SHARD ?=
# Number of parallel test processes.
PYTEST_WORKERS ?= 2
# Where `make bench` writes its JSON; OUT=benchmarks replaces the figures that the documents tell.
OUT ?= build/bench
# `make lock UPGRADE=1` takes the newest versions that pyproject.toml allows; without it, pins stay where possible.
UPGRADE ?=
# An image for `make sbom`, as syft names it: docker-archive:FILE, registry:NAME@DIGEST, or a name that Docker knows.
IMAGE ?=
SYFT_VERSION ?= v1.57.1

VENV := .venv
BIN := $(VENV)/bin

# A stamp's name contains a checksum of its input, so a fresh checkout, a changed lock and a switched branch are all
# detected without relying on file times. A changed lock recreates .venv; a changed pyproject.toml only reinstalls
# catdog itself.
checksum = $(firstword $(shell cat $(1) | cksum))
LOCK_STAMP := $(VENV)/.lock-$(call checksum,requirements/dev.txt)
SETUP_STAMP := $(LOCK_STAMP)-project-$(call checksum,pyproject.toml)

# Bytecode is compiled once, here: with PYTHONDONTWRITEBYTECODE set, every start would recompile its imports.
PIP_INSTALL = $(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check
# uv's own entry in the lock: pip installs uv, and uv installs the rest in a quarter of the time that pip needs.
UV_PIN = $(VENV)/uv.txt
UV_COMPILE = $(BIN)/uv pip compile --quiet pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup train test integration integration-side-by-side integration-alone e2e faults bench check golden reference monitoring format lock sbom clean distclean

include cluster.mk

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(SETUP_STAMP) ## Create .venv/ with everything for training and development
	@:

$(LOCK_STAMP):
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	  echo "make: '$(PYTHON)' not found; install Python 3.11, 3.12 or 3.13, or specify one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "make: $$("$(PYTHON)" --version 2>&1) is not supported; use Python 3.11, 3.12 or 3.13: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: '$(PYTHON)' cannot create virtual environments; install its venv package (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "Setting up $(VENV)/ from requirements/dev.txt (about a minute; TensorFlow is a 250 MB download) ..."
	@"$(PYTHON)" -m venv --clear $(VENV)
	@awk '/^[^ \t\#]/ { wanted = /^uv==/ } wanted' requirements/dev.txt > $(UV_PIN)
	@$(PIP_INSTALL) --require-hashes -r $(UV_PIN)
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/dev.txt || { \
	  echo "make: uv could not install the lock (it does not read pip's settings for mirrors and certificates); trying pip"; \
	  $(PIP_INSTALL) --require-hashes -r requirements/dev.txt; }
	@touch $@

$(SETUP_STAMP): $(LOCK_STAMP)
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q trainer k8s
	@rm -f $(LOCK_STAMP)-project-*
	@touch $@

train: setup ## Train on this machine; write a model and a report to runs/ (RECIPE=..., ARGS="...")
	$(BIN)/catdog train --recipe $(RECIPE) $(ARGS)

# In the files' own order, the last ones are short. By default those with few tests come last, which start whole runs, and
# one process waits for the other's.
test: setup ## Run the tests that need only Python
	$(BIN)/pytest tests/unit -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

integration: setup ## Run the tests against real servers (needs Go)
	@$(MAKE) --no-print-directory integration-side-by-side
	@$(MAKE) --no-print-directory integration-alone

# The servers are built before, so that no test's time limit includes it. worksteal: a process that has no tests left
# takes some of the other's, so that both end at about the same time though single tests take a minute.
integration-side-by-side: setup
	@command -v go >/dev/null 2>&1 || { echo "make: 'go' not found; the integration tests build their servers with Go: see CONTRIBUTING.md" >&2; exit 1; }
	@command -v cc >/dev/null 2>&1 || { echo "make: 'cc' not found; a clock that jumps is compiled: install a C compiler" >&2; exit 1; }
	$(BIN)/python -m tests.integration
	$(BIN)/pytest tests/integration -m "not alone" -n $(PYTEST_WORKERS) --dist worksteal $(PYTEST_ARGS) $(OR_NONE_CHOSEN)

integration-alone: setup
	$(BIN)/pytest tests/integration -m alone $(PYTEST_ARGS) $(OR_NONE_CHOSEN)

# PYTEST_ARGS may choose tests of one part only; of the other pytest says that it ran none, with exit code 5.
OR_NONE_CHOSEN = $(if $(PYTEST_ARGS),|| [ $$? -eq 5 ])

e2e: setup ## Run the tests against a real Kubernetes cluster on this machine (needs Linux, root and Go)
	@$(CLUSTER) packages
	@$(CLUSTER) tools
	$(BIN)/pytest tests/e2e $(PYTEST_ARGS)

# Hours for all; what results.jsonl has is not run again. `python -m tests.faults --help` has more, the soak too.
faults: setup ## Run the cells of the fault matrix that have no result yet (ONLY=..., SHARD=1/4; Linux, root, Go)
	@command -v cc >/dev/null || { echo "make: 'cc' not found; a clock that jumps is compiled: install a C compiler" >&2; exit 1; }
	@$(CLUSTER) packages
	@$(CLUSTER) tools
	$(BIN)/python -m tests.faults run --only "$(ONLY)" --shard "$(SHARD)"

bench: setup ## Compare with the alternatives a user would choose (needs Go and an otherwise idle machine)
	@command -v go >/dev/null 2>&1 || { echo "make: 'go' not found; the storage benchmark builds its server with Go" >&2; exit 1; }
	$(BIN)/python -m benchmarks --out $(OUT)

check: setup ## Check lint, format, types, import contracts and the Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict trainer k8s monitoring
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

golden: setup ## Update the golden manifests of tests/unit/k8s/manifest after an intended change
	$(BIN)/python -m tests.unit.k8s.manifest.cases

reference: setup ## Update docs/reference after a change to commands, options or settings
	$(BIN)/python -m tests.reference

monitoring: setup ## Update dashboards, alerts and the tables in docs/runbooks.md after a change to monitoring/
	$(BIN)/python -m monitoring

format: setup ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# dev includes everything that is installed together here, so it is resolved first and the others follow its versions.
# cuda uses another TensorFlow version, so it shares only what the command line needs.
lock: setup ## Update requirements/*.txt after a change to pyproject.toml (UPGRADE=1: take newer versions)
	$(UV_COMPILE) --extra cpu --extra dev --output-file requirements/dev.txt
	$(UV_COMPILE) --extra cpu --constraint requirements/dev.txt --output-file requirements/cpu.txt
	$(UV_COMPILE) --constraint requirements/dev.txt --output-file requirements/base.txt
	$(UV_COMPILE) --extra cuda --constraint requirements/base.txt --output-file requirements/cuda.txt
	$(UV_COMPILE) --extra cpu --extra mlflow --constraint requirements/dev.txt --output-file requirements/cpu-mlflow.txt
	$(UV_COMPILE) --extra cuda --extra mlflow --constraint requirements/cuda.txt --output-file requirements/cuda-mlflow.txt
	echo 'mlflow>=3.5,<4' | $(subst pyproject.toml,-,$(UV_COMPILE)) --output-file requirements/mlflow-server.txt

# syft is built from its Go module, which takes minutes once; into build/, since it is no part of .venv/.
SYFT := build/bin/syft
SBOM_OF := build/sbom
$(SYFT):
	@command -v go >/dev/null 2>&1 || { echo "make: 'go' not found; syft is built with Go" >&2; exit 1; }
	CGO_ENABLED=0 GOBIN=$(CURDIR)/$(dir $@) go install github.com/anchore/syft/cmd/syft@$(SYFT_VERSION)

sbom: setup $(SYFT) ## Write the wheel and bills of materials of it, and of IMAGE=..., to dist/ (needs Go)
	rm -rf dist $(SBOM_OF)
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	$(PIP_INSTALL) --no-compile --target $(SBOM_OF) --require-hashes -r requirements/base.txt
	$(PIP_INSTALL) --no-compile --target $(SBOM_OF) --no-deps --no-index dist/*.whl
	$(SYFT) scan dir:$(SBOM_OF) --quiet --source-name catdog-trainer --output cyclonedx-json=dist/wheel.cdx.json
	$(if $(IMAGE),$(SYFT) scan $(IMAGE) --quiet --output cyclonedx-json=dist/image.cdx.json)

clean: ## Delete caches and build outputs; keep runs/ and .venv/
	rm -rf build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find trainer k8s monitoring tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## Also delete .venv/
	rm -rf $(VENV)
