# make demo, make test, make check: each sets up what is missing, in .venv, from the versions in constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
KERNEL_TESTS := tests/tasks/test_every_system_trains.py tests/mechanisms tests/systems tests/tasks/translate/test_decoding.py \
	tests/tasks/running/test_kernels.py
# A file's tests run in one process, which makes what they share once, and in the order in which they lie: those that take
# long come before the many short ones.
IN_PROCESSES := -n $(JOBS) --dist loadfile --no-loadscope-reorder
export JUMOK_PYTHON := $(BIN)/python
# Kept whatever the machine says: compiling torch and its like anew takes two thirds of the time of a short command.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup tools demo test test-avx2 soak cuda check format texts bench bench-peers clean
help:
	@echo "make demo         train on a generated sample, look, measure; prints where its page is"
	@echo "make test         run every test"
	@echo "make test-avx2    run what touches kernels as a processor with AVX2 alone would; under 3 minutes"
	@echo "make soak         thousands of damaged files for each reader, every call at which a disk may fail, 30 kills of a data set"
	@echo "make cuda         on a machine with a GPU: run the tests that need one, then the benches on it; under 8 minutes"
	@echo "make check        formatting, lint, strict typing"
	@echo "make format       put the formatting right"
	@echo "make texts        bring the Korean catalogue up to date, and name the texts without Korean"
	@echo "make bench        measure speed and memory beside the peers (make bench-peers installs those)"

setup: $(VENV)/.ready
$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: call make with PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing PyTorch and what else jumok needs into $(VENV): about 400 MB to download, 1.5 GB on disk (CPU build)"
	$(BIN)/pip install --no-compile --disable-pip-version-check --constraint constraints.txt --editable ".[all]"
	@touch $@

tools: $(VENV)/.tools
$(VENV)/.tools: $(VENV)/.ready
	@echo "Installing what the tests need beside it: about 300 MB to download, 0.9 GB on disk"
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable ".[all,hf,lora,dev]"
	@touch $@

demo: setup
	$(BIN)/jumok demo

test: tools
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(IN_PROCESSES)

# Comes close to a processor without AVX-512 and bf16 on a newer one; it bounds, and never widens, what there is.
test-avx2: export ONEDNN_MAX_CPU_ISA := AVX2
test-avx2: export ATEN_CPU_CAPABILITY := avx2
test-avx2: export MKL_ENABLE_INSTRUCTIONS := AVX2
test-avx2: tools
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(IN_PROCESSES) $(KERNEL_TESTS)

# Thousands of damaged files for each reader, FUZZ says how many, or FUZZ_SECONDS for how long; every call at which a disk may
# fail in a command; the memory that the largest images take; and KILLS of a command that writes a data set.
FUZZ ?= 5000
FUZZ_SECONDS ?= 0
KILLS ?= 30
soak: tools
	JUMOK_FUZZ=$(FUZZ) JUMOK_FUZZ_SECONDS=$(FUZZ_SECONDS) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) \
		tests/test_hostile_files.py tests/tasks/running/test_failing_disk.py tests/app/test_failing_disk_of_commands.py
	JUMOK_LARGE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_memory_of_large_images.py
	JUMOK_KILLS=$(KILLS) OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/app/engine/test_look_at_many.py -k killed

cuda: tools
	$(BIN)/python -m pytest tests/test_on_a_card.py
	$(BIN)/python -m bench --device cuda --quick

check: tools
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: tools
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

texts: tools
	$(BIN)/python -m jumok.locale

bench-peers: .venv-peers/.ready
.venv-peers/.ready: bench/peers.txt constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[all,hf]"
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement bench/peers.txt
	@touch $@

bench: bench-peers
	.venv-peers/bin/python -m bench
	.venv-peers/bin/python -m bench.speed_page

clean:
	rm -rf $(VENV) .venv-peers demo runs bench/results
