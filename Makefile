# Needs Python 3.11 or newer and make. Everything is installed into $(VENV), never outside it.
# Another interpreter: make demo PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint check docs bench constraints clean

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(VENV)/demo.stamp ## run examples/demo.py
	$(BIN)/python examples/demo.py

test: $(VENV)/test.stamp ## run the test suite
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/test.stamp ## run ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test ## run ruff, mypy and the test suite

docs: $(VENV)/docs.stamp ## build the documentation into build/site
	$(BIN)/python -m mkdocs build --strict

bench: $(VENV)/bench.stamp ## time all cases against TensorFlow by hand and peers, growth, memory; writes their pages in docs
	$(BIN)/python benchmarks/run.py --write docs/benchmarks.md
	$(BIN)/python benchmarks/growth.py --write docs/growth.md
	$(BIN)/python benchmarks/memory.py --write docs/memory.md
	$(BIN)/python benchmarks/rewrites.py --write docs/rewrites.md
	$(BIN)/python benchmarks/peers.py --write docs/peers.md

constraints: ## write constraints.txt anew, with today's releases
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet --disable-pip-version-check \
	  --upgrade --upgrade-strategy eager --editable '.[test,bench]'
	head -n 1 constraints.txt > build/constraints.txt
	build/constraints/bin/python -m pip freeze --all --exclude pip --exclude-editable \
	  | sed -e '/^tensorflow[-_]cpu==/{p;s/[-_]cpu//;}' -e '/^sqlglot==/{p;s/sqlglot/sqlglotc/;}' \
	  | LC_ALL=C sort -f >> build/constraints.txt
	mv build/constraints.txt constraints.txt

clean: ## remove the environment, caches and build output
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tfsql needs Python 3.11 or newer; name one: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

# The interpreter is an order-only prerequisite: it must exist, its date says nothing.
$(VENV)/demo.stamp: pyproject.toml setup.py constraints.txt | $(BIN)/python
	$(INSTALL) --editable .
	@touch $@

$(VENV)/test.stamp $(VENV)/docs.stamp $(VENV)/bench.stamp: $(VENV)/%.stamp: pyproject.toml setup.py constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.[$*]'
	@touch $@
