# Every target prepares what it needs: `make demo` or `make test` may be the first command in a clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
STUBS := $(VENV)/.stubs

.DEFAULT_GOAL := help
.PHONY: help setup demo up example down status test check format bench chaos generate lock clean

help: ## Print this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: $(READY) $(STUBS) ## Install the pinned tools into .venv and generate the stubs

demo: setup ## Replay a real grocery chain through the gateway and prove the totals
	$(BIN)/python -m tools demo $(ARGS)

up: setup ## Start the whole stack on this machine
	$(BIN)/python -m tools stack up $(ARGS)

example: setup ## Load a small shop into the running stack, for the calls in the guides
	$(BIN)/python -m tools example $(ARGS)

down: setup ## Stop the stack
	$(BIN)/python -m tools stack down

status: setup ## Show what runs and where
	$(BIN)/python -m tools stack status

test: setup check ## Run every test: unit, integration, contract, acceptance, chaos (short)
	$(BIN)/python -m pytest $(ARGS)

check: setup ## Style, types, layers and contracts
	$(BIN)/python -m tools check

format: setup ## Let the formatter and the linter fix what they can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## Measure against a no-op RPC in the same run; also writes bench.json
	$(BIN)/python -m tools bench $(ARGS)

chaos: setup ## The long form of the tests that kill processes
	TESSERA_CHAOS=long $(BIN)/python -m pytest tests/chaos $(ARGS)

generate: $(READY) ## Generate the stubs from protos/
	$(BIN)/python -m tools generate
	@touch $(STUBS)

lock: $(READY) ## Renew the pins of requirements.lock from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --upgrade --quiet --output-file requirements.lock

clean: ## Remove everything that is not in git, the stack's data included
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m tools stack down || true; fi
	git clean -fdXq

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Tessera needs Python 3.11 or newer; name one with: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(STUBS): $(READY) $(shell find protos -name '*.proto' 2>/dev/null)
	$(BIN)/python -m tools generate
	@touch $@
