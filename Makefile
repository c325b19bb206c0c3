# Needs Python 3.11, 3.12 or 3.13 and make; everything else goes into .venv/.
# `make` alone lists the targets.

PYTHON ?= python3
# `make train RECIPE=augmented ARGS="--data DIR --epochs 20"`: ARGS are flags of `catdog train`.
RECIPE ?= demo
ARGS ?=
# What follows `pytest`, for example PYTEST_ARGS="-k resume -x".
PYTEST_ARGS ?=
# Test processes side by side.
PYTEST_WORKERS ?= 2
# `make lock UPGRADE=1` takes the newest versions that pyproject.toml allows; without it pins stay where they can.
UPGRADE ?=

VENV := .venv
BIN := $(VENV)/bin

# A stamp is named by the content of what it stands for, so a fresh checkout, a changed lock and a switched branch
# are all told apart without trusting file times. A changed lock makes .venv anew; a changed pyproject.toml only
# installs catdog itself again.
checksum = $(firstword $(shell cat $(1) | cksum))
LOCK_STAMP := $(VENV)/.lock-$(call checksum,requirements/dev.txt)
SETUP_STAMP := $(LOCK_STAMP)-project-$(call checksum,pyproject.toml)

# Bytecode is compiled once, here: where PYTHONDONTWRITEBYTECODE is set, every start would compile its imports anew.
PIP_INSTALL = $(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check
# uv's own entry in the lock: pip installs uv, and uv the rest, in a quarter of the time that pip takes.
UV_PIN = $(VENV)/uv.txt
UV_COMPILE = $(BIN)/uv pip compile --quiet pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup train test integration e2e bench check golden reference format lock clean distclean

include cluster.mk

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(SETUP_STAMP) ## Make .venv/ with everything for training and development
	@:

$(LOCK_STAMP):
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	  echo "make: no '$(PYTHON)' found; install Python 3.11, 3.12 or 3.13, or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "make: $$("$(PYTHON)" --version 2>&1) does not do; TensorFlow needs Python 3.11, 3.12 or 3.13 here: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: '$(PYTHON)' cannot make virtual environments; install its venv package (Debian: apt-get install python3-venv)" >&2; exit 1; }
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

train: setup ## Train here, and leave a model and a report in runs/ (RECIPE=..., ARGS="...")
	$(BIN)/catdog train --recipe $(RECIPE) $(ARGS)

test: setup ## Run the tests that need Python only
	$(BIN)/pytest tests/unit -n $(PYTEST_WORKERS) --dist loadfile $(PYTEST_ARGS)

integration: setup ## Run the tests against real servers (needs Go)
	@command -v go >/dev/null 2>&1 || { echo "make: no 'go' found; the integration tests build their servers with Go: see CONTRIBUTING.md" >&2; exit 1; }
	$(BIN)/pytest tests/integration $(PYTEST_ARGS)

e2e: setup ## Run the tests against a real Kubernetes on this machine (needs Linux, root and Go)
	@$(CLUSTER) packages
	@$(CLUSTER) tools
	$(BIN)/pytest tests/e2e $(PYTEST_ARGS)

bench: setup ## Measure side by side with what a user would pick instead (needs Go; nothing else should run)
	@command -v go >/dev/null 2>&1 || { echo "make: no 'go' found; the storage benchmark builds its server with Go" >&2; exit 1; }
	$(BIN)/python -m benchmarks.storage_reads
	$(BIN)/python -m benchmarks.checkpoint_cost
	$(BIN)/python -m benchmarks.second_epoch

check: setup ## Lint, check the format, the types, which module imports which, and the Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict trainer k8s
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

golden: setup ## Renew the golden manifests of tests/unit/k8s/manifest after an intended change
	$(BIN)/python -m tests.unit.k8s.manifest.cases

reference: setup ## Renew docs/reference after a change of commands, options or settings
	$(BIN)/python -m tests.reference

format: setup ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# dev holds everything that is installed together here, so it is resolved first and the others follow its versions.
# cuda is another TensorFlow: it shares only what the command line needs.
lock: setup ## Renew requirements/*.txt after a change to pyproject.toml (UPGRADE=1: take newer versions)
	$(UV_COMPILE) --extra cpu --extra dev --output-file requirements/dev.txt
	$(UV_COMPILE) --extra cpu --constraint requirements/dev.txt --output-file requirements/cpu.txt
	$(UV_COMPILE) --constraint requirements/dev.txt --output-file requirements/base.txt
	$(UV_COMPILE) --extra cuda --constraint requirements/base.txt --output-file requirements/cuda.txt

clean: ## Delete caches and build outputs; runs/ and .venv/ stay
	rm -rf build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find trainer k8s tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## Delete .venv/ as well
	rm -rf $(VENV)
