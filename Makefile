# Commands for work on the collection, and its demo. `make help` lists them. Users' own hosts need no make: see README.md.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
COLLECTION := build/collections/ansible_collections/edgestack/iot
export PATH := $(BIN):$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/build/collections
export ANSIBLE_HOME := $(CURDIR)/build/ansible
# Prints how long a part took.
TIMED = @tests/timed

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

venv: $(VENV)/.ready $(COLLECTION)/galaxy.yml ## the virtual environment, and the checkout linked as a collection

$(VENV)/.ready: requirements-dev.txt tests/venv
	tests/venv $(VENV) requirements-dev.txt
	touch $@

$(COLLECTION)/galaxy.yml:
	mkdir -p $(dir $(COLLECTION))
	ln -sfn ../../../.. $(COLLECTION)

lab: venv ## hosts to run the collection against, and the offline bundle
	tests/lab/lab engine
	tests/lab/lab build
	tests/lab/lab up

clean: ## everything away that the lab and the demo made
	-tests/lab/lab clean
	rm -rf build $(VENV)

test: ## everything that CI runs
	$(TIMED) $(MAKE) --no-print-directory test-lint
	$(TIMED) $(MAKE) --no-print-directory test-unit
	$(TIMED) $(MAKE) --no-print-directory test-sanity

test-lint: venv ## yamllint, ruff, mypy, ansible-lint, documentation
	yamllint -s .
	ruff check .
	mypy plugins/module_utils
	cd $(COLLECTION) && ansible-lint --offline
	antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck .

test-unit: venv ## pytest with branch coverage of module_utils
	mkdir -p build
	pytest tests/unit -m "not integration" --cov --cov-report=term

test-sanity: venv ## ansible-test sanity
	tests/sanity

bench: venv ## benchmarks, beside the peers (BENCH=devices runs one part)
	python tests/bench/run.py

docs: venv ## the roles' README files, from their argument_specs
	python tests/role_readmes.py

.PHONY: help venv lab clean test test-lint test-unit test-sanity bench docs
