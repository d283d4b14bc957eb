# Bare Debian needs python3.11, python3-venv and make. Everything else is installed into .venv, with hashes.

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types floors templates migrations docs smoke bench bench-long interop fmt lock run worker clock clean

# The requirements are compiled for 3.11, so that one comes first.
PYTHON ?= $(shell for name in python3.11 python3; do \
	"$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { command -v "$$name"; break; }; \
	done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
MANAGE := $(BIN)/python manage.py
WITH_SERVICES := $(MANAGE) with_services --
UV := var/tools/bin/uv
UV_VERSION := 0.13.9
COMPILE = $(UV) pip compile --quiet --python $(BIN)/python --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

# --- installing ------------------------------------------------------------------------------------------------------

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed and was not found: apt-get install python3 python3-venv" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: apt-get install python3-venv" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV)

# The stamp is the requirements file itself, so that what is installed can be compared with what is asked for.
$(VENV)/base.txt: requirements/base.txt | $(BIN)/python
	@echo "installing requirements/base.txt"
	@$(PIP) install --require-hashes -r $<
	@cp $< $@

$(VENV)/dev.txt: requirements/dev.txt | $(BIN)/python
	@echo "installing requirements/dev.txt"
	@$(PIP) install --require-hashes -r $<
	@cp $< $@

# The development requirements contain the base ones; whoever has them needs no second installation.
INSTALLED_BASE := $(if $(wildcard $(VENV)/dev.txt),$(VENV)/dev.txt,$(VENV)/base.txt)

# --- running ---------------------------------------------------------------------------------------------------------

demo: $(INSTALLED_BASE) ## run the whole portal here, with demo data (PORT=8000)
	@$(MANAGE) demo

run: $(INSTALLED_BASE) ## run the web process; DATABASE_URL, REDIS_URL and SECRET_KEY name the rest
	@$(MANAGE) collectstatic --no-input --verbosity 0
	@exec $(MANAGE) start web

worker: $(INSTALLED_BASE) ## run the worker process
	@exec $(MANAGE) start worker

clock: $(INSTALLED_BASE) ## run the clock process; one is enough for all hosts
	@exec $(MANAGE) start clock

# --- proving ---------------------------------------------------------------------------------------------------------

test: $(VENV)/dev.txt ## run all tests on a real database and broker (ARGS="-k words")
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/dev.txt ## lint, types, floors, templates, migrations, generated docs, and the whole demo
	@$(WITH_SERVICES) $(MAKE) --no-print-directory lint types floors templates migrations docs
	@$(MAKE) --no-print-directory smoke

lint: $(VENV)/dev.txt
	@echo "lint"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

types: $(VENV)/dev.txt
	@echo "types"
	@$(WITH_SERVICES) $(BIN)/mypy

floors: $(VENV)/dev.txt
	@echo "floors"
	@$(BIN)/lint-imports --no-logo

templates: $(VENV)/dev.txt
	@echo "templates"
	@find templates -name '*.html' -exec $(BIN)/djade --check --target-version 5.2 {} +

migrations: $(VENV)/dev.txt
	@echo "migrations"
	@$(WITH_SERVICES) $(MANAGE) makemigrations --check --dry-run

docs: $(VENV)/dev.txt
	@echo "generated docs"
	@$(WITH_SERVICES) $(MANAGE) docs --check

smoke: $(VENV)/dev.txt
	@echo "the whole demo: start, kill, restart"
	@$(BIN)/python -m pytest --quiet -m demo tests/portal/test_demo.py

bench: $(VENV)/dev.txt ## measure speed; prints ratios, asserts nothing
	@$(MANAGE) with_services --durable -- $(BIN)/python -m benchmarks $(ARGS)

bench-long: $(VENV)/dev.txt ## the proofs with thousands of runs, tamperings, kills and forgeries; takes hours
	@$(BIN)/python -m pytest --long --numprocesses auto --dist load tests/machine \
		tests/audit/test_tampering.py tests/audit/test_sealer_killed.py tests/audit/exports/test_gate_forgeries.py \
		tests/governance/test_every_statement.py $(ARGS)

interop: $(VENV)/dev.txt ## let @sigstore/verify, which is not ours, verify a decision (needs Node.js 20.17 and npm)
	@command -v npm >/dev/null || { echo "npm was not found: install Node.js 20.17 or newer" >&2; exit 1; }
	@npm --prefix tests/interop install --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error
	@COUNTERSIGN_REQUIRE_INTEROP=1 $(BIN)/python -m pytest --quiet tests/interop

# --- keeping ---------------------------------------------------------------------------------------------------------

fmt: $(VENV)/dev.txt ## format code and templates
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .
	@find templates -name '*.html' -exec $(BIN)/djade --target-version 5.2 {} +

$(UV): | $(BIN)/python
	@$(BIN)/python -m venv var/tools
	@var/tools/bin/python -m pip --quiet --disable-pip-version-check install uv==$(UV_VERSION)

lock: $(UV) ## compile requirements/*.txt from pyproject.toml again (UPGRADE=--upgrade)
	@$(COMPILE) $(UPGRADE) pyproject.toml --output-file requirements/base.txt
	@$(COMPILE) $(UPGRADE) pyproject.toml --extra dev --constraint requirements/base.txt --output-file requirements/dev.txt

clean: ## remove what was installed; demo data in var/demo stays
	rm -rf $(VENV) var/tools
