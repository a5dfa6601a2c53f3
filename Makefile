# The commands of the project. `make demo` and `make test` set up all that they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The tests of the parts use nothing in common, so two files at a time; those on a live mesh share one cluster.
UNIT := $(BIN)/python -m pytest tests --numprocesses 2 --dist loadfile
LIVE := $(BIN)/python -m pytest e2e tutorials

.DEFAULT_GOAL := help
.PHONY: help setup demo down test unit e2e lint bench deep clean

help: ## show this list
	@sed -n 's/^\([a-z0-9]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

# Made anew when what it is made from changes.
$(VENV)/.ready: pyproject.toml constraints.txt tools/setup.sh
	@PYTHON=$(PYTHON) VENV=$(VENV) bash tools/setup.sh

setup: $(VENV)/.ready ## virtual environment, PyPI packages, missing Debian packages

demo: setup ## cluster, mesh and the weather demo; traffic; a summary; all left running
	@$(BIN)/meshctl demo

down: ## remove every trace of a running cluster
	@if [ -x $(BIN)/meshctl ]; then $(BIN)/meshctl down; else echo "nothing is set up, so nothing runs"; fi

test: setup build/stubs ## every test that needs no Docker, and the linters
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(UNIT) && $(LIVE)

unit: setup ## the tests that need no cluster
	@$(UNIT)

e2e: setup ## the tests on a live mesh, and the lessons
	@$(LIVE)

build/stubs: $(VENV)/.ready tools/xds_stubs.py
	@$(BIN)/python tools/xds_stubs.py build/stubs

lint: setup build/stubs ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: setup ## the figures: start-up, push latency, memory
	@$(BIN)/python -m benchmarks

deep: setup ## the long tests
	@$(BIN)/tox -e deep

clean: down ## the virtual environment and what was built
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .tox
