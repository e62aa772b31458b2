# Two commands from nothing: `make demo` and `make test`.  `make help` lists the rest.

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,\
  $(shell command -v $(name) 2>/dev/null)) python3)
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
# One thread a process: the processes are the parallelism, and sums keep one order.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
PYTEST := $(ONE_THREAD) $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check format bench golden constraints clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

demo: $(VENV)/.installed  ## train, sample and evaluate on built-in data, into demo/
	$(BIN)/soundsight demo --out demo

test: check  ## what continuous integration runs: checks, then every test that is not slow
	$(PYTEST) -n $(JOBS) -m "not slow and not gpu"

test-slow: $(VENV)/.developing  ## the slow tests, and those that need a GPU where there is one
	$(PYTEST) -n $(JOBS) -m "slow or gpu" --timeout 3600

check: $(VENV)/.developing  ## format, lint, types, import layers, links of the documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_links.py

format: $(VENV)/.developing  ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.developing  ## the speed of this machine; leave it alone meanwhile (7 minutes)
	$(BIN)/python -m benchmarks

golden: $(VENV)/.developing  ## rewrite tests/golden/*.json; the change has to say why
	$(ONE_THREAD) SOUNDSIGHT_WRITE_GOLDEN=1 $(BIN)/python -m pytest -n0 tests/golden

constraints: pyproject.toml  ## pin the newest set that pyproject.toml allows (torch keeps its pin)
	grep '^torch==' constraints.txt > torch-pin.part
	env -u PIP_FIND_LINKS uv pip compile --universal --python-version 3.11 --all-extras --upgrade \
	  --no-annotate --no-header -c torch-pin.part pyproject.toml -o constraints.txt
	rm torch-pin.part

clean:  ## remove the environment, caches and the demo
	rm -rf $(VENV) demo build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache \
	  .hypothesis src/*.egg-info
	find src tests examples benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment, made again only when what it is made from has changed.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e .
	touch $@

$(VENV)/.developing: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e ".[dev]"
	touch $@ $(VENV)/.installed
