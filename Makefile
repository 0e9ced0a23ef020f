# Everything a newcomer, an operator's test bench and CI need. `make` alone lists the targets.
# The first Python that is new enough; say PYTHON=/path/to/python to choose another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN    := .venv/bin
READY  := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench bench-directory bench-sign-on bench-journal bench-searching bench-failover bench-routing campaign campaign-switching lock format clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with the locked packages and the msc command

# Packages come from the lock with their hashes; the project itself is installed editable, with the
# locked build tool, so that nothing unpinned is ever fetched.
$(READY): requirements/dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "MSC needs Python 3.11 or newer; say PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv
	@echo "installing the locked packages into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY) ## a county in a minute: switch, state, terminals, some twenty-five transactions
	@$(BIN)/msc demo

# One process more than there are processors, as tests wait a good part of their time; a file stays in one, so that
# what it set up is set up once.
WORKERS := $(shell expr `nproc` + 1)
test: $(READY) ## the whole test suite
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile

check: $(READY) ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY) ## measure against a bare TLS echo; writes loadtest/results/latest.json
	$(BIN)/python -m loadtest.bench

bench-directory: $(READY) ## time a directory of 10 000 users: applied, taken up, exported
	$(BIN)/python -m loadtest.directory

bench-sign-on: $(READY) ## a burst of 200 sign-ons beside steady traffic; writes loadtest/results/sign_on.json
	$(BIN)/python -m loadtest.sign_on

ROWS ?= 200000
bench-journal: $(READY) ## fill journals of ROWS records (200000), and time them; writes loadtest/results/journal.json
	$(BIN)/python -m loadtest.journal --rows $(ROWS)

bench-routing: $(READY) ## decide by 20 000 routes, and reload them beside a loop that ticks
	$(BIN)/python -m loadtest.routing

bench-searching: $(READY) ## heavy searching of the journal beside steady traffic; writes loadtest/results/searching.json
	$(BIN)/python -m loadtest.searching

campaign: $(READY) ## the long form of what `make test` runs briefly: 10 000 malformed inputs, twenty kills, 300 hunts
	MSC_FUZZ_EXAMPLES=10000 MSC_KILL_ROUNDS=20 MSC_HUNT_EXAMPLES=300 MSC_SEARCH_EXAMPLES=400 MSC_CLOCK_EXAMPLES=5000 MSC_QUEUE_EXAMPLES=5000 $(BIN)/python -m pytest -q -o timeout=3600 tests -k "fuzz or malformed or kill or hunt or search_finds or OutboxModel or simple_reference or replay_finds"

MESSAGES ?= 100000
campaign-switching: $(READY) ## MESSAGES messages (100000) of 50 terminals while lines are cut and the switch is killed
	MSC_CAMPAIGN_MESSAGES=$(MESSAGES) MSC_CAMPAIGN_TERMINALS=50 MSC_CAMPAIGN_KILLS=20 MSC_CAMPAIGN_CUTS=120 MSC_CAMPAIGN_SECONDS=1500 $(BIN)/python -m pytest -q -s -o timeout=3000 tests/e2e/test_campaign.py

bench-failover: $(READY) ## thirty losses of a primary line under traffic; writes loadtest/results/failover.json
	MSC_FAILOVER_CUTS=30 MSC_FAILOVER_RESULTS=loadtest/results/failover.json $(BIN)/python -m pytest -q -s -o timeout=900 tests/e2e/test_failover.py -k over_to_the_backup

format: $(READY) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## resolve the dependency ranges of pyproject.toml into requirements/*.lock (needs uv)
	uv pip compile -q --no-header --universal --python-version 3.11 --generate-hashes pyproject.toml -o requirements/run.lock
	uv pip compile -q --no-header --universal --python-version 3.11 --generate-hashes --extra dev pyproject.toml -o requirements/dev.lock

clean: ## remove the virtual environment and caches
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
