# `make` alone lists what there is. CLUSTER=<kubectl context> uses a cluster of yours instead of the local one.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PY := .venv/bin/python
LAB := PYTHONPATH=tests/cluster $(PY) -m labcluster
PYTEST := $(PY) -m pytest
SUPPORT := PYTHONPATH=tests/cluster $(PY)
ARGS ?=

.PHONY: help demo test check unit contract integration e2e reliability scale fuzz soak bench venv format crd \
  lock images up status kubeconfig down purge clean

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Everything
demo: venv ## from nothing to a working image search on a local Kubernetes, shown step by step and left running
	@$(PY) tests/run.py demo

test: venv ## every test: checks, contracts, integration and the user stories on a real Kubernetes
	@$(PY) tests/run.py test

##@ Parts (ARGS="-k word" goes to pytest)
check: venv ## lint, types, layer rules and unit tests, in about a minute; needs no cluster
	@$(PY) tests/run.py check
unit: venv ## unit tests
	@$(PYTEST) tests/unit $(ARGS)
contract: venv ## schema, chart, documents, wire examples, both stores
	@$(PYTEST) tests/contract $(ARGS)
integration: venv ## against a real API server and a real Elasticsearch
	@$(PYTEST) tests/integration $(ARGS)
browser: venv ## the web page, in a real Chromium
	@$(PYTEST) tests/browser $(ARGS)
e2e: venv ## the user stories, on real pods
	@$(PYTEST) tests/e2e $(ARGS)
reliability: venv ## changes, kills and crashes without number under traffic: two hours; writes docs/reliability.md
	@$(PY) tests/mutations.py --cluster
	@export CHAOS_MINUTES=$${CHAOS_MINUTES:-30}; \
	  RELIABILITY=2000 $(PYTEST) -s tests/unit/operator/test_any_order.py tests/integration/test_alerts.py tests/integration/test_operator.py \
	    tests/integration/test_real_nodes.py && \
	  RELIABILITY=1 $(PYTEST) -s tests/e2e -k story $(ARGS)
scale: venv ## one operator with 1,000 MatchClusters on a real API server: a quarter of an hour; ARGS="--clusters 200"
	@$(SUPPORT) tests/support/scale.py $(ARGS)
fuzz: venv ## 20,000 made-up requests and 5,000 damaged images: half an hour; writes docs/fuzz.md
	@$(SUPPORT) tests/support/fuzz.py $(ARGS)
soak: venv ## power cuts, kills, load and overload over both stores: 45 minutes; writes docs/durability.md and load.md
	@$(SUPPORT) tests/support/durability.py
	@$(SUPPORT) tests/support/load.py $(ARGS)
bench: venv ## measurements against peers, minutes each
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/bench.txt
	@$(PY) tests/run.py bench

##@ The local cluster
up: venv ## start it and build the images
	@$(LAB) up
images: up ## build and load the images (the same as up: only what has changed is built)
status: venv ## what runs
	@$(LAB) status
kubeconfig: venv ## where its kubeconfig lies
	@$(LAB) kubeconfig
down: venv ## stop it; builds and volumes are kept
	@$(LAB) down
purge: venv ## stop it and remove everything it made, builds included
	@$(LAB) down --purge

##@ Upkeep
venv: ## the Python environment in .venv
	@requirements/venv.sh
format: venv ## format the code and sort its imports
	@$(PY) -m ruff check --fix-only --quiet && $(PY) -m ruff format
crd: ## copy the schemas into the chart and into matchctl
	@cp crds/matchclusters.yaml charts/match-operator/files/crd.yaml
	@cp crds/matchsnapshots.yaml crds/matchrestores.yaml charts/match-operator/files/
	@cp crds/*.yaml operator/match_operator/commands/
lock: venv ## rewrite requirements/*.txt; ARGS=--upgrade also moves to newer versions
	@PATH="$(CURDIR)/.venv/bin:$$PATH" requirements/lock.sh $(ARGS)
clean: ## remove .venv and caches from this folder; the local cluster stays
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
