# The one door for developers; `make` lists itself. CI runs `make test`.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# The newest Python of a supported version that is on the path; `make test PYTHON=python3.12` takes another.
PYTHON ?= $(shell for name in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null && echo $$name && break; done)
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url

.DEFAULT_GOAL := help
.PHONY: help demo test lint types unit docs lock figure clean

help:  ## List these commands.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-8s %s\n", $$1, $$2}'

demo: $(VENV)/.runtime  ## Run the main job on the sample data into results/demo.
	$(BIN)/ircohort run data/sample/labs.csv -o results/demo --overwrite
	@echo "Open $(CURDIR)/results/demo/report.html in a browser."

test: $(VENV)/.dev lint types unit  ## Run all checks.

lint: $(VENV)/.dev  ## Check style and the import contract.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: $(VENV)/.dev  ## Check types.
	$(BIN)/mypy

unit: $(VENV)/.dev  ## Run unit and property tests, doctests, README, notebooks; with branch coverage.
	$(BIN)/pytest -n 2 --dist loadfile --cov --cov-report=term

docs: $(VENV)/.dev  ## Write the tables of the page on input, and the numbers of the page on claims, anew.
	$(BIN)/python docs/input_tables.py
	$(BIN)/python docs/claims_output.py

figure: $(VENV)/.dev demo  ## Make the picture of the README anew.
	cp results/demo/figures/hidden_window.png docs/hidden_window.png

lock: $(VENV)/.dev  ## Resolve the versions of the lock files anew.
	$(COMPILE) --upgrade pyproject.toml --group build -o requirements.lock
	$(COMPILE) --upgrade pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock

clean:  ## Remove the environment, results and caches.
	rm -rf $(VENV) results .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(VENV)/bin/python:
	@if [ -z "$(PYTHON)" ]; then echo "Python 3.11 to 3.14 is needed; none is on the path." >&2; exit 1; fi
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$(PYTHON) cannot make an environment. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; fi
	$(PYTHON) -m venv $(VENV)

# A lock file is the whole set, and pip has nothing to resolve: older pips take the extra of a locked package
# (coverage[toml]) for one that is not locked as soon as a newer version is out. `pip check` finds what a lock lacks.
$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@$(BIN)/python -m pip check
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip check
	@touch $@
