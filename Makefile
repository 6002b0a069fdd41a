# Verbs only; each line after `##` is what `make help` says.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The tests start the operator and the command line some hundred times: where this is set, each compiles all of it anew.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest

.PHONY: help
help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- tools -----------------------------------------------------------------------------------------------------------

$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is missing: apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	@echo "Installing the tools into $(VENV) (half a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

.PHONY: lock
lock: $(READY) ## Resolve the dependencies anew and write the lock files
	$(BIN)/uv pip compile pyproject.toml --extra cli --group test --group lint --group build --no-emit-index-url --generate-hashes --no-header --no-annotate --quiet --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --no-emit-index-url --generate-hashes --no-header --no-annotate --quiet --output-file requirements-operator.lock

# --- try it ----------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: $(READY) ## Bring a cluster up, run the examples on it and show what happens
	@$(BIN)/python demo/demo.py

.PHONY: cluster
cluster: ## Bring a real Kubernetes up (yours, kind, or one built here) and print its kubeconfig
	@$(PYTHON) local-cluster/cluster.py up

.PHONY: down
down: ## Stop and remove all that `make demo` and `make cluster` started
	@if test -x $(BIN)/python; then $(BIN)/python demo/demo.py --stop; fi
	@$(PYTHON) local-cluster/cluster.py down

.PHONY: image
image: $(READY) ## Build the operator's image, without a container engine, as dist/taskq-operator.tar
	@$(BIN)/python image/build.py

# --- check it --------------------------------------------------------------------------------------------------------

.PHONY: lint
lint: $(READY) ## Check format, style, types and import contracts
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: fmt
fmt: $(READY) ## Format the code and mend what the linter can
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

.PHONY: test
test: $(READY) ## Run every ring of tests: unit and repo, chart, gitops, sim, integration, e2e (installs and builds what they need)
	$(PYTEST) tests/unit tests/repo tests/chart tests/gitops tests/sim tests/integration tests/e2e

.PHONY: unit
unit: $(READY) ## Run the pure tests and those of the repository itself (seconds)
	$(PYTEST) tests/unit tests/repo

.PHONY: chart
chart: $(READY) ## Lint the Helm chart and test what it becomes (builds helm at the first time)
	$(PYTEST) tests/chart

.PHONY: gitops
gitops: $(READY) ## Judge objects as Flux, Helm and Argo CD do (builds the judge at the first time)
	$(PYTEST) tests/gitops

.PHONY: sim
sim: $(READY) ## Run the seeded random walks on simulated time
	$(PYTEST) tests/sim

.PHONY: integration
integration: $(READY) ## Run the tests on a real API server, without a node
	$(PYTEST) tests/integration

.PHONY: e2e
e2e: $(READY) ## Run the tests with real pods
	$(PYTEST) tests/e2e

.PHONY: bench
bench: $(READY) ## Measure the figures of docs/reference/figures.md (about half an hour; wants a quiet machine)
	$(BIN)/python -m bench

# --- generated files -------------------------------------------------------------------------------------------------

.PHONY: generate
generate: $(READY) ## Make the CRDs, the reference pages and the chart's part of both anew from the code
	$(BIN)/python -m taskq.resources.crd crds
	$(BIN)/python -m taskq.resources.crd --docs docs/reference/fields.md
	$(BIN)/python -m taskq.settings --docs docs/reference/settings.md
	$(BIN)/python -m taskq.observability.reference --docs docs/reference/metrics.md
	$(BIN)/python -m taskq.cli.reference --docs docs/reference/cli.md
	$(BIN)/python helm/chart_files.py
	$(BIN)/python helm/alerts_page.py
	$(BIN)/python gitops/argocd_files.py
