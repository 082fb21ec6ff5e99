# Each target is thin: the work is in scripts/, and every program there explains itself with --help.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_SPARK := $(VENV)/.ready-spark
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --quiet --no-header --no-annotate \
  --no-emit-index-url --no-emit-find-links --no-strip-extras
SPEC := $(if $(SPEC_URL),'$(SPEC_URL)')

.DEFAULT_GOAL := help
.PHONY: help

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp makes a second run free; it is older than pyproject.toml or the lock when they change.
$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --require-hashes --requirement requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(READY_SPARK): $(READY) .ci/spark.lock
	@$(PIP) --require-hashes --requirement .ci/spark.lock
	@touch $@

.PHONY: lock
lock: ## Resolve the newest development versions into requirements.lock and .ci/
	@$(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(LOCK) pyproject.toml --extra dev --upgrade --output-file requirements.lock
	@$(LOCK) pyproject.toml --extra spark --constraint requirements.lock --upgrade --output-file .ci/spark.lock
	@printf 'build\nhatchling\n' | $(LOCK) - --constraint requirements.lock --upgrade --output-file .ci/build.lock

.PHONY: demo test test-all test-spark dist wheel pull generate update check drift release-day sandbox bench clean
demo: $(READY) ## Start a sandbox, pull the artifact from it, regenerate, list encounters
	@$(BIN)/python -m scripts.demo

PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

test: $(READY) ## Run the tests in three minutes: every module and rule, fewer random examples (TESTS=)
	@$(PYTEST) -q -m "not slow and not spark" --hypothesis-profile=fast $(TESTS)
	@echo "make test-all adds the slow tests, all random examples and the coverage; make test-spark needs Java 17."

test-all: $(READY) ## Run every test except Spark's, and measure the coverage
	@$(PYTEST) -m "not spark" --cov --cov-report=term

test-spark: $(READY_SPARK) ## Run the tests that need Spark and Java 17
	@$(BIN)/python -m pytest -m spark tests/connectors

dist: ## Build dist/ in an environment that holds nothing but the builder
	@rm -rf dist build/builder
	@$(PYTHON) -m venv build/builder
	@build/builder/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement .ci/build.lock
	@build/builder/bin/python -m build --no-isolation --outdir dist .

wheel: ## Install the wheel of dist/ in a clean environment, and do the main job with it
	@$(PYTHON) -m scripts.try_wheel

pull: $(READY) ## Fetch the published artifact into openapi/ (SPEC_URL=, an http(s) URL or a file)
	@$(BIN)/python -m scripts.pull $(SPEC)

generate: $(READY) ## Write generated/ from the snapshot
	@$(BIN)/python -m scripts.generate

update: $(READY) ## Release day: pull, generate, make check, make test; all or nothing (SPEC_URL=)
	@$(BIN)/python -m scripts.update $(SPEC)

# Offline: the snapshot against generated/, lint, types.
check: $(READY) ## Compare the snapshot with generated/, lint, check types; offline
	@$(BIN)/python -m scripts.generate --check
	@$(BIN)/python -m scripts.facts --check
	@$(BIN)/openapi-spec-validator openapi/openapi.json || echo "check: not valid OpenAPI; the client can do without"
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/zizmor --offline --quiet .github/workflows
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy charthero_ext scripts generated/charthero_client tests/typing
	@$(BIN)/pyright --project . --pythonpath $(BIN)/python

drift: $(READY) ## Compare the published artifact with the snapshot (SPEC_URL=, FAIL_ON=, FORMAT=)
	@$(BIN)/python -m scripts.drift $(SPEC) --fail-on $(or $(FAIL_ON),any) --format $(or $(FORMAT),text)

release-day: $(READY) ## The daily job: look, update, lay out a proposal (SPEC_URL=, BUNDLE=)
	@$(BIN)/python -m scripts.release_day $(SPEC) --bundle $(or $(BUNDLE),release-day)

sandbox: $(READY) ## Run a local ChartHero with synthetic data (PORT=, ENCOUNTERS=)
	@$(BIN)/python -m charthero_ext.sandbox --port $(or $(PORT),8400) --encounters $(or $(ENCOUNTERS),1000)

bench: $(READY) ## Compare cost with other clients (QUICK=1: under a minute, and rough)
	@$(BIN)/python -m tests.benchmarks $(if $(QUICK),--quick)

clean: ## Remove what make made, the environment included
	@rm -rf $(VENV) dist build .bench release-day .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
