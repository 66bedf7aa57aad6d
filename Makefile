# What one does with this repository. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install engines kubernetes demo test test-containers lint check bench up lock clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ISSUER := deploy/local/oidc
ENGINES := deploy/engines
RAY := .venv-ray
KUBERNETES := .kubernetes
DATA ?= .shunter
# What tests/integration stands on: small servers of each test's own, `containers` (NATS thrice, PostgreSQL, S3), or the
# `best` of both that this machine can have.
STORES ?= own
# Whatever the machine says: hundreds of processes are started by tests, and none should compile what another one has.
export PYTHONDONTWRITEBYTECODE :=
PORT ?= 8800
# The first Python on the path that is new enough.
PYTHON ?= $(shell for name in python3.11 python3 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) $(ISSUER)/node_modules/.installed ## Make .venv with everything in it, the `shunter` command too

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none was found"; exit 1; }
	@echo "==> making $(VENV) with $$($(PYTHON) --version)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "==> installing the packages of requirements.lock (every one checked by its hash; some minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@echo "==> installing shunter itself"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
	@echo "==> installed: $(BIN)/shunter"

# npm comes with Node.js in a wheel; what it installs is checked by the hashes of package-lock.json.
$(ISSUER)/node_modules/.installed: $(STAMP) $(ISSUER)/package.json $(ISSUER)/package-lock.json
	@echo "==> installing the packages of the OpenID Connect issuer (for tests and \`shunter up --demo --oidc\`)"
	@if $(BIN)/python -m deploy.local.npm $(ISSUER); then touch $@; \
	else echo "==> that did not work; everything but that issuer and its tests goes without them"; fi

engines: $(RAY)/.installed ## Install the engines of clusters that tests and benchmarks start (Debian's as root; Ray into .venv-ray)
	@if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then echo "==> no root or no apt-get: what Debian has is left as it is"; \
	elif [ -f $(ENGINES)/apt.txt ]; then $(ENGINES)/debian.sh $(ENGINES)/apt.txt; fi

kubernetes: $(KUBERNETES)/bin/kubelet ## Build a real Kubernetes for tests from Debian's source (as root; 5 to 8 minutes, not in CI)

$(KUBERNETES)/bin/kubelet:
	@$(ENGINES)/kubernetes.sh $(KUBERNETES)

# Ray is in no lock of ours: nothing of Shunter imports it. Without it everything works but what tests Ray itself.
$(RAY)/.installed: requirements-ray.lock
	@echo "==> installing Ray into $(RAY) (300 MB; the tests of Ray are skipped without it)"
	@test -x $(RAY)/bin/python || $(PYTHON) -m venv $(RAY)
	@$(RAY)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-ray.lock
	@touch $@

demo: install ## Run the main job on real input, on a stack of its own
	@$(BIN)/python -m deploy.local.demo.main

test: install ## Run all tests (STORES=best: those of services on production's stores in containers, where they can be)
	@echo "==> testing, one process more than there are cores"
	@SHUNTER_TEST_PATIENCE=$${SHUNTER_TEST_PATIENCE:-2} \
		$(BIN)/python -m pytest tests --stores=$(STORES) --numprocesses=auto

test-containers: install ## Run the tests of services on NATS thrice, PostgreSQL and S3 in containers (needs `make engines`)
	@echo "==> testing services on the stores of a production site, in containers"
	@$(BIN)/python -m pytest tests/integration --stores=containers --numprocesses=auto --dist=loadfile

lint: install ## Check form, types and layers
	@echo "==> ruff format"
	@$(BIN)/ruff format --check .
	@echo "==> ruff check"
	@$(BIN)/ruff check .
	@echo "==> mypy"
	@$(BIN)/mypy
	@echo "==> import-linter"
	@$(BIN)/lint-imports

check: lint test ## What CI runs: all checks, then all tests

bench: install ## Measure the speed table beside its peers (ROWS=jobs,reads for some of it; ARGS=--docs)
	@$(BIN)/python -m bench.main $(if $(ROWS),--only $(ROWS)) $(ARGS)

up: install ## Run the stack until Ctrl-C (DATA=folder PORT=8800)
	@$(BIN)/shunter up --data $(DATA) --port $(PORT)

lock: ## Pin the newest versions that pyproject.toml allows
	@command -v uv >/dev/null || { echo "uv is needed: pip install uv"; exit 1; }
	@echo "==> resolving; requirements.lock is written"
	@uv pip compile pyproject.toml --extra demo --extra dev --extra postgres --upgrade \
		--python-version 3.11 --generate-hashes --no-emit-index-url --quiet -o requirements.lock
	@uv pip compile $(ENGINES)/ray.txt --upgrade \
		--python-version 3.11 --generate-hashes --no-emit-index-url --quiet -o requirements-ray.lock

clean: ## Remove what was built, not the data of a stack
	@echo "==> removing $(VENV), caches and the demo's data"
	@rm -rf $(VENV) $(RAY) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .demo .bench $(ISSUER)/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
