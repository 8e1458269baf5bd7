# make setup | demo | test | lint | bench | docs | dist | clean.  Needs Python 3.11 or newer, pip and make; the rest it installs in .venv.

SHELL := /bin/bash
.DEFAULT_GOAL := help

ifndef PYTHON
PYTHON := $(shell for p in python3.11 python3 python3.12 python3.13; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v "$$p" && break; done)
endif
VENV := .venv
PY := $(VENV)/bin/python
SETUP := $(VENV)/.setup-done
BENCH_SETUP := $(VENV)/.bench-setup-done
DOCS_SETUP := $(VENV)/.docs-setup-done

.PHONY: help setup demo test test-slow test-emulated lint bench docs dist clean

help:
	@echo "make demo    tune a real model on this machine, with what comes of it (sets itself up)"
	@echo "make test    all tests but the slow ones (sets itself up)"
	@echo "make test-slow  those: whole large models, large spaces"
	@echo "make test-emulated  those of programs for other processors, where an emulator is installed"
	@echo "make lint    formatting, lint, types, import rules"
	@echo "make bench   the benchmarks beside PyTorch, ONNX Runtime, NumPy and TVM's own tuner"
	@echo "make docs    the documentation as a site, in build/site"
	@echo "make dist    the wheel, in dist, tried in an empty environment without a compiler"
	@echo "make setup   only the virtual environment in $(VENV);  make clean  removes it and all caches"

setup: $(SETUP)

$(SETUP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "flextune needs Python 3.11 or newer, and found none on PATH (python3 is $$(python3 -V 2>&1)); install it, or run: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "flextune needs Python 3.11 or newer; $(PYTHON) is $$("$(PYTHON)" -V 2>&1)"; exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment: install its venv module (on Debian and Ubuntu: apt install python3-venv)"; exit 1; }
	@echo "installing flextune and what it needs in $(VENV) ..."
	@$(PY) -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(SETUP)
	@$(PY) examples/demo.py

test: $(SETUP)
	@$(PY) -m pytest -n 2 --dist loadgroup -m "not slow and not emulator"

test-slow: $(SETUP)
	@$(PY) -m pytest -n 2 --dist loadgroup -m "slow and not emulator"

test-emulated: $(SETUP)
	@$(PY) -m pytest -m emulator

lint: $(SETUP)
	@$(PY) -m ruff format --check --no-cache .
	@$(PY) -m ruff check --no-cache .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports

# torch comes first and alone, so that TORCH_FLAGS can name the index with its build for CPUs, which is far smaller:
# make bench TORCH_FLAGS='--index-url https://download.pytorch.org/whl/cpu'
$(BENCH_SETUP): $(SETUP)
	@echo "installing the peers of the benchmarks in $(VENV) ..."
	@$(PY) -m pip install -q --disable-pip-version-check $(TORCH_FLAGS) torch==2.13.0
	@$(PY) -m pip install -q --disable-pip-version-check -e '.[bench]'
	@touch $@

bench: $(BENCH_SETUP)
	@$(PY) -m benchmarks.kernels
	@$(PY) -m benchmarks.csp

$(DOCS_SETUP): $(SETUP)
	@echo "installing what makes the documentation in $(VENV) ..."
	@$(PY) -m pip install -q --disable-pip-version-check -e '.[docs]'
	@touch $@

docs: $(DOCS_SETUP)
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build -q --strict

dist: $(SETUP)
	@rm -rf dist
	@$(PY) -m pip wheel -q --disable-pip-version-check --no-deps -w dist .
	@$(PY) -m tests.distribution dist/*.whl

clean:
	rm -rf $(VENV) demo-out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
