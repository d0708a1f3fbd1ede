# Everything runs from .venv, which any target makes on first use.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
WHEELS := .wheels
ARGS ?=

.PHONY: help native devnet test lint bench cometbft soak fuzz wheels proto clean

help:
	@echo "make devnet [ARGS=...]  set up, then run node + owner + 3 miners + 2 validators here"
	@echo "make native             compile the exact kernels"
	@echo "make test [ARGS=...]    the test suite"
	@echo "make lint               format, lint and type checks"
	@echo "make bench              measure; prints JSON"
	@echo "make cometbft           build the pinned consensus engine into .cometbft"
	@echo "make soak               long crash, fuzz and scale runs"
	@echo "make fuzz               the tests of properties, with new random examples each time"
	@echo "make wheels             wheels for Linux x86-64 and aarch64, kernels inside, in dist"
	@echo "make proto              generate the protobuf stubs again"
	@echo "make clean              remove .venv, .cometbft, npm packages, caches and .devnet"

$(STAMP): requirements.lock pyproject.toml
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python 3.11 $(VENV) && \
	  uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements.lock && \
	  uv pip install --quiet --python $(BIN)/python --no-deps -e .; \
	else \
	  $(PYTHON) -m venv $(VENV) && \
	  $(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --no-deps -e .; \
	fi
	@touch $(STAMP)

# The exact kernels; where they cannot be built, torch computes the same bits and says so.
native: $(STAMP)
	@$(BIN)/python -m exact.native.build

devnet: native
	$(BIN)/descent devnet up $(ARGS)

# Two at a time, but whole networks one after the other; 5 means that ARGS left none of a kind.
test: native
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not soak and not alone" $(ARGS); few=$$?; \
	$(BIN)/python -m pytest -m "not soak and alone" $(ARGS); whole=$$?; \
	[ $$few -eq 0 -o $$few -eq 5 ] && [ $$whole -eq 0 -o $$whole -eq 5 ]

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: native
	$(BIN)/python -m bench $(ARGS)

cometbft: $(STAMP)
	$(BIN)/python -m node.engine.comet.build

soak: native
	$(BIN)/python -m pytest -m soak $(ARGS)

fuzz: native
	$(BIN)/python -m pytest -n 2 -m "hypothesis and not soak" --hypothesis-profile=fuzz $(ARGS)

$(WHEELS)/.ready: requirements-wheels.lock
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python 3.11 $(WHEELS) && \
	  uv pip install --quiet --python $(WHEELS)/bin/python --require-hashes \
	    -r requirements-wheels.lock; \
	else \
	  $(PYTHON) -m venv $(WHEELS) && \
	  $(WHEELS)/bin/python -m pip install --quiet --require-hashes -r requirements-wheels.lock; \
	fi
	@touch $@

wheels: $(WHEELS)/.ready
	DESCENT_WHEEL=x86_64 $(WHEELS)/bin/python -m hatchling build -t wheel
	DESCENT_WHEEL=aarch64 $(WHEELS)/bin/python -m hatchling build -t wheel

proto: $(STAMP)
	$(BIN)/python -m proto.generate

clean:
	rm -rf $(VENV) $(WHEELS) .arm .cometbft .polkadot .cosmjs .devnet .mypy_cache .pytest_cache .ruff_cache \
	  .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
