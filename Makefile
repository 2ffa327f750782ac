# make demo, make test, make check: each sets up what is missing, in .venv, from the versions in constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
export JUMOK_PYTHON := $(BIN)/python

.PHONY: help setup demo test check format bench bench-peers clean
help:
	@echo "make demo         train on a generated sample, look, measure; prints where the report is"
	@echo "make test         run every test"
	@echo "make check        formatting, lint, strict typing"
	@echo "make format       put the formatting right"
	@echo "make bench        measure speed and memory beside the peers (make bench-peers installs those)"

setup: $(VENV)/.ready
$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: call make with PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[hf,dev]"
	@touch $@

demo: setup
	$(BIN)/jumok demo demo

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench-peers: .venv-peers/.ready
.venv-peers/.ready: bench/peers.txt constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[hf]"
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement bench/peers.txt
	@touch $@

bench: bench-peers
	.venv-peers/bin/python -m bench

clean:
	rm -rf $(VENV) .venv-peers demo runs bench/results
