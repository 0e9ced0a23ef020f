# Everything a newcomer, an operator's test bench and CI need. `make` alone lists the targets.
PYTHON ?= python3
BIN    := .venv/bin
READY  := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench fuzz lock format clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with the locked packages and the msc command

# Packages come from the lock with their hashes; the project itself is installed editable, with the
# locked build tool, so that nothing unpinned is ever fetched.
$(READY): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "MSC needs Python 3.11 or newer; say PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv
	@echo "installing the locked packages into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY) ## a county in a minute: switch, state, terminals, about fifteen transactions
	@$(BIN)/msc demo

test: $(READY) ## the whole test suite
	$(BIN)/python -m pytest -q

check: $(READY) ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY) ## measure against a bare TLS echo; writes loadtest/results/latest.json
	$(BIN)/python -m loadtest.bench

fuzz: $(READY) ## the long form of the fuzzing that `make test` runs briefly
	MSC_FUZZ_EXAMPLES=10000 $(BIN)/python -m pytest -q tests -k "fuzz or malformed or property"

format: $(READY) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## resolve the dependency ranges of pyproject.toml into requirements/*.lock (needs uv)
	uv pip compile -q --no-header --universal --python-version 3.11 --generate-hashes pyproject.toml -o requirements/run.lock
	uv pip compile -q --no-header --universal --python-version 3.11 --generate-hashes --extra dev pyproject.toml -o requirements/dev.lock

clean: ## remove the virtual environment and caches
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
