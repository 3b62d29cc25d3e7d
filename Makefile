# What a developer types. Needs Python 3.11 or newer and make; each target sets up the rest in .venv.

PYTHON  ?= python3
WORKERS ?= 2
ARGS    ?=

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c

BIN     := .venv/bin
PIP     := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTEST  := $(BIN)/pytest -n $(WORKERS) --dist loadfile --durations 10

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL: # two installations into one .venv would race
.PHONY: help search test test-extended test-all lint format types wheel dist typings hooks clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile
	@echo "ARGS='…' takes the place of search's flags, and is added to the tests'; PYTHON=python3.12 picks what .venv is made with."

search: .venv/.run ## a first search: 30 trials under 8,000 parameters on the bundled digits
	$(BIN)/pennyweight search $(or $(ARGS),--data digits --max-params 8k --max-epochs 15 --trials 30)

test: .venv/.dev ## the tests (ten to thirty minutes on two cores)
	$(PYTEST) -m "not extended" $(ARGS)

test-extended: .venv/.dev # 5 is pytest's status for no test selected, as with ARGS="-k word"
	$(PYTEST) -m extended $(ARGS) || [ $$? -eq 5 ]

test-all: test test-extended ## the tests, and those that need a server, a browser, a compiler or minutes

lint: .venv/.dev ## ruff's findings and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/.dev ## what ruff can mend by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dist: .venv/.dev # --no-isolation: the environment has setuptools, and `make test` has shown that pip finds it
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist . >/dev/null

# The wheel, not the tree: pyright does not follow the editable import hook.
types: dist ## pyright on the wheel's files, the tests and the benchmarks
	rm -rf build/typed
	$(PIP) --no-deps --target build/typed dist/*.whl
	$(BIN)/pyright --project .ci/pyright.json --pythonpath $(BIN)/python | sed "s#$$PWD/\(build/typed/pennyweight/\)*##"

wheel: dist ## the wheel, installed where nothing else is, works outside of the repository
	rm -rf build/wheel
	$(BIN)/python -m venv build/wheel
	build/wheel/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl
	build/wheel/bin/python -I .ci/check_wheel.py

typings: ## links by which an editor finds the package's types
	mkdir -p typings/pennyweight
	for folder in arch train results search; do ln -sfn ../../$$folder typings/pennyweight/$$folder; done

hooks: .venv/.dev ## run lint and types before each commit
	$(BIN)/pre-commit install

clean: ## remove everything these targets made; runs/ stays
	rm -rf .venv build dist typings pennyweight.egg-info .hypothesis .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# pip comes last when an environment is made, so an interrupted one is made again.
$(BIN)/pip:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed, but there is no $(PYTHON): name one, as in make PYTHON=python3.12." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, but $(PYTHON) is $$($(PYTHON) -V 2>&1): name another, as in make PYTHON=python3.12." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || [ "$$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes python3-venv; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: run apt-get install python3-venv (as root) first." >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv

.venv/.run: $(BIN)/pip pyproject.toml
	@echo "Installing pennyweight into .venv: a minute or two, the first time ..."
	$(PIP) --editable .
	@touch $@

.venv/.dev: $(BIN)/pip pyproject.toml
	@echo "Installing pennyweight and what its tests need into .venv: a minute or two, the first time ..."
	$(PIP) --editable '.[dev]'
	@touch .venv/.run $@
