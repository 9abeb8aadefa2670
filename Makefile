# Two commands on a fresh machine: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV ?= .venv
JOBS ?= auto
TESTS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq
INSTALLED_FROM := pyproject.toml constraints.txt

.PHONY: help demo test test-arm wheelhouse soak lint fmt docs bench constraints programs clean

help:  ## list what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | column -t -s "$$(printf '\t')"

demo: $(VENV)/.with-all  ## the whole loop on this machine, with real processes
	$(BIN)/limosa demo

test: $(VENV)/.with-dev programs lint  ## lint, types and all tests
	$(BIN)/python -m pytest -n $(JOBS) --maxprocesses 4 --dist loadgroup $(TESTS)

soak: $(VENV)/.with-dev programs  ## the long versions of tests
	$(BIN)/python -m pytest -n $(JOBS) --maxprocesses 4 --dist loadgroup -m soak --timeout 3600 $(TESTS)
	$(BIN)/python -m pytest -n $(JOBS) --maxprocesses 4 -m "hypothesis and not soak" --hypothesis-profile long \
	  --timeout 3600 $(TESTS)

test-arm: $(VENV)/.with-dev  ## the agent's core tests and a real inference on aarch64, emulated: slow, as root
	PYTHON=$(BIN)/python bash tests/arm/run.sh $(TESTS)

wheelhouse: $(VENV)/.with-dev  ## every wheel of the agent in dist/wheelhouse, for a device without a network
	PYTHON=$(BIN)/python bash agent/wheelhouse.sh dist/wheelhouse $(FOR)

lint: $(VENV)/.with-dev  ## style, types and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

fmt: $(VENV)/.with-dev  ## put the code in form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.with-dev  ## write the generated pages of docs/reference
	$(BIN)/python docs/generate.py

bench: $(VENV)/.with-dev  ## run every benchmark
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

constraints:  ## pin again what continuous integration installs, from a clean environment
	@clean="$$(mktemp -d)"; trap 'rm -rf "$$clean"' EXIT; \
	$(PYTHON) -m venv "$$clean/venv"; \
	"$$clean/venv/bin/python" -m pip -qq install ".[dev]"; \
	{ echo "# Made by \`make constraints\`: the versions that continuous integration installs."; \
	  "$$clean/venv/bin/python" -m pip --disable-pip-version-check freeze \
	    | grep -E '^[A-Za-z0-9._-]+==' | grep -v '^limosa=='; } > constraints.txt

programs:
	@bash tests/support/install_programs.sh

clean:  ## remove what was made, the environment too
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist

$(VENV)/.with-dev: $(INSTALLED_FROM) | $(VENV)/.made
	$(PIP) install -c constraints.txt -e ".[dev]"
	@touch $(VENV)/.with-all $@

$(VENV)/.with-all: $(INSTALLED_FROM) | $(VENV)/.made
	$(PIP) install -c constraints.txt -e ".[all]"
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; for example: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@
