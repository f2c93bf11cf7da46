# make demo: install the base and run the shipped benchmark offline. make test: everything, with all extras.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test quick check format frontend bench fuzz kill clean

help:  ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: .venv/.base  ## Install kemb (base and kiwi) and run the demo, offline
	$(BIN)/kemb demo

# One process per core; tests/conftest.py says which tests stay together.
PYTEST := $(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist loadscope --no-loadscope-reorder

test: .venv/.test frontend/node_modules/.done  ## Install all extras and run the whole test suite
	$(PYTEST) $(PYTEST_ARGS)

quick: .venv/.test  ## The tests without torch, simulations and a browser: under a minute on 2 cores
	$(PYTEST) --quick $(PYTEST_ARGS)

check: .venv/.test frontend/node_modules/.done  ## Formatting, lint, types, generated files up to date
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	LC_ALL=C.UTF-8 $(BIN)/cog --check $(COGGED)
	$(NPM) run --silent check
	$(NPM) run --silent test
	$(NPM) run --silent build -- --check

format: .venv/.test  ## Format the code and regenerate what is generated
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	LC_ALL=C.UTF-8 $(BIN)/cog -r $(COGGED)

frontend: .venv/.test frontend/node_modules/.done  ## Build the site's script from its TypeScript source (needs Node.js 20)
	$(BIN)/python tools/site_types.py
	$(NPM) run --silent build

bench: .venv/.test  ## Run the benchmarks by hand (minutes; a quiet machine)
	$(BIN)/python benchmarks/search.py
	$(BIN)/python benchmarks/encode.py
	$(BIN)/python benchmarks/stats.py
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/end_to_end.py

fuzz: .venv/.test  ## Break foreign files for KEMB_FUZZ_SECONDS (600), with new inputs every time
	KEMB_FUZZ_SECONDS=$${KEMB_FUZZ_SECONDS:-600} $(BIN)/python -m pytest tests/fuzz $(PYTEST_ARGS)

kill: .venv/.test  ## Kill kemb 200 times at random, repeat each command, compare every byte (minutes)
	$(BIN)/python tests/cases/run_kills.py $(KILL_ARGS)

clean:  ## Remove the virtual environment and what tools left
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache kemb-demo

NPM := npm --prefix frontend
COGGED := docs/architecture.md docs/cli.md docs/tasks.md docs/train.md

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.base: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[kiwi]'
	@touch $@

# Only to check and build the site's script; users get it built.
frontend/node_modules/.done: frontend/package-lock.json
	@command -v npm >/dev/null || { echo "make check and make test need Node.js 20 and npm for the site's script"; exit 1; }
	$(NPM) ci --silent --no-audit --no-fund
	@touch $@

# torch first and alone: the pinned version must be there before anything asks for "a" torch.
.venv/.test: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) torch
	$(PIP) --editable '.[test]'
	@touch $@ .venv/.base
