# make setup | demo | test | lint | bench | clean.  Needs Python 3.11 or newer, pip and make; the rest it installs in .venv.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PY := $(VENV)/bin/python
SETUP := $(VENV)/.setup-done
BENCH_SETUP := $(VENV)/.bench-setup-done

.PHONY: help setup demo test lint bench clean

help:
	@echo "make demo    tune a real model on this machine, with what comes of it (sets itself up)"
	@echo "make test    all tests (sets itself up)"
	@echo "make lint    formatting, lint, types, import rules"
	@echo "make bench   the benchmarks beside PyTorch, ONNX Runtime, NumPy and TVM's own tuner"
	@echo "make setup   only the virtual environment in $(VENV);  make clean  removes it and all caches"

setup: $(SETUP)

$(SETUP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "flextune needs Python 3.11 or newer: no python3 found on PATH; install it or run make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "flextune needs Python 3.11 or newer; $(PYTHON) is $$("$(PYTHON)" -V 2>&1); run make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(PY) || "$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) -m venv failed: install the venv module of this Python (on Debian: apt install python3-venv)"; exit 1; }
	@echo "installing flextune and what it needs in $(VENV) ..."
	@$(PY) -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(SETUP)
	@$(PY) examples/demo.py

test: $(SETUP)
	@$(PY) -m pytest -n 2 --dist loadgroup

lint: $(SETUP)
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports

# torch first: the plain index would otherwise answer a bare requirement with a build for GPUs, gigabytes large
$(BENCH_SETUP): $(SETUP)
	@echo "installing the peers of the benchmarks in $(VENV) ..."
	@$(PY) -m pip install -q --disable-pip-version-check torch==2.13.0
	@$(PY) -m pip install -q --disable-pip-version-check -e '.[bench]'
	@touch $@

bench: $(BENCH_SETUP)
	@$(PY) -m benchmarks.kernels
	@$(PY) -m benchmarks.csp

clean:
	rm -rf $(VENV) demo-out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
