# Everything a person or a CI machine needs; `make help` lists it. A virtual environment is made in .venv,
# by uv where it is installed and by venv and pip otherwise, and brought up to date when pyproject.toml changes.

VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
# Set PYTHON=/path/to/python to choose the interpreter.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
SOURCES := kerasish tests benchmarks examples

ifeq ($(UV),)
INSTALL := $(BIN)/python -m pip install --quiet
else
INSTALL := $(UV) pip install --quiet --python $(BIN)/python
endif

# A plain path: with setuptools's import hook, `import kerasish` finds an empty package in the folder above a clone.
EDITABLE := --config-settings editable_mode=compat

.DEFAULT_GOAL := help
.PHONY: help quickstart test check format bench clean

help:  ## List the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 14

quickstart: $(VENV)/core.stamp  ## Train a small network on real digits, save it, load it back
	$(BIN)/python examples/quickstart.py

test: check  ## Check the code, then run all tests and doctests
	$(BIN)/python -m pytest -q -n auto --maxprocesses 8

check: $(VENV)/dev.stamp  ## Check format, lint and types
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/dev.stamp  ## Format the code and mend what lint can mend
	$(BIN)/ruff check --fix --silent --exit-zero $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: $(VENV)/dev.stamp  ## Run every benchmark
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script; done

clean:  ## Remove the environment and all caches
	rm -rf $(VENV) build dist *.egg-info .ruff_cache .pytest_cache .hypothesis
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
ifeq ($(UV),)
	@test -n "$(PYTHON)" || { echo "kerasish needs Python 3.11 or newer: none found on PATH (or set PYTHON=...)."; exit 1; }
	$(PYTHON) -m venv $(VENV)
else
	$(UV) venv --quiet --python $(or $(PYTHON),3.11) $(VENV)
endif

$(VENV)/core.stamp: pyproject.toml | $(BIN)/python
	$(INSTALL) $(EDITABLE) -e .
	@touch $@

# The development extra holds the core too, so the core stamp is touched with it.
$(VENV)/dev.stamp: pyproject.toml | $(BIN)/python
	$(INSTALL) $(EDITABLE) -e '.[dev]'
	@touch $(VENV)/core.stamp $@
