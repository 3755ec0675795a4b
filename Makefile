# Needs make, git and a Python >= 3.11. Each target installs what it needs into .venv by itself, and
# again when pyproject.toml changed.
#
#   PYTHON=python3.13   the Python that .venv is made with   (make clean first)
#   ARGS="-k window"    what pytest is to run instead of everything
#   DEMO_ARGS="…"       arguments of the demo
#   STOREFRONT_ARGS="--stay"   leaves the shop open, to look around
#   BENCH_ARGS="…"      arguments of the benchmarks; by default --publish
#   PART=driver         the part of the proof to play instead of all; `make proof PART=` lists them
#   PROOF_ARGS="…"      arguments of that part, as --steps 1e6

VENV ?= .venv
BIN = $(VENV)/bin
ARGS ?=
DEMO_ARGS ?=
STOREFRONT_ARGS ?=
BENCH_ARGS ?= --publish
PART ?= all
PROOF_ARGS ?=

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo budget storefront faults test test-all bench bench-check proof dashboard docs \
	lint lint-style lint-types lint-imports format dev clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; \
	  do printf '%-19s %s\n' "$$name" "$$text"; done

demo: $(VENV)/.demo ## play an outage, live, for about 30 seconds
	@$(BIN)/python -m examples.outage $(DEMO_ARGS)

budget: $(VENV)/.demo ## play a budget that shrinks from call to call, in a few seconds
	@$(BIN)/python -m examples.budget

faults: $(VENV)/.test ## let every HTTP client meet every fault, and write the table into the docs
	@$(BIN)/python -m docs.faults

storefront: $(VENV)/.demo ## play visitors of a web shop through an outage of its three services
	@$(BIN)/python -m examples.storefront $(STOREFRONT_ARGS)

test: $(VENV)/.test ## run the tests and judge their coverage
	@scripts/debian chromium prometheus
ifeq ($(strip $(ARGS)),)
	@$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=98
	$(BIN)/coverage report --fail-under=100 --include='*/_core/*'
else
	$(BIN)/python -m pytest $(ARGS)
endif

test-all: ## run the tests on every Python >= 3.11 of this machine
	@MAKE='$(MAKE)' scripts/test-all

bench: $(VENV)/.bench ## measure against the rivals, and write results, page and charts
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

bench-check: $(VENV)/.bench ## check that no call executes more opcodes than it did
	@$(BIN)/python -m benchmarks.opcodes

proof: $(VENV)/.proof ## look at length for what the tests cannot find (PART=driver: one part)
	@$(BIN)/python -m proof $(PART) $(PROOF_ARGS)

docs: $(VENV)/.docs ## build the documentation into site/; a warning or a broken link fails
	$(BIN)/zensical build --clean --strict

lint: lint-style lint-types lint-imports ## check format, style, types and the direction of imports

lint-style: $(VENV)/.lint
	$(BIN)/ruff format --check
	$(BIN)/ruff check

lint-types: $(VENV)/.lint
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python

lint-imports: $(VENV)/.lint
	$(BIN)/lint-imports --no-logo

dashboard: $(VENV)/.test ## build the Grafana dashboard anew
	$(BIN)/python -m docs.dashboard

format: $(VENV)/.lint ## rewrite the code in the house format
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

dev: $(VENV)/.dev ## install everything, for an editor or pre-commit

clean: ## remove environments, caches and what was built
	rm -rf .venv .venv-* .venv*.log build dist site .coverage .coverage.* htmlcov
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.%: pyproject.toml scripts/venv
	@scripts/venv $(VENV) $*
