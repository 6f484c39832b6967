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

# IOT_INSTALL_METHOD=container: Debian 13 has Compose v2, the hosts can run an engine, and the bundle has images.
LAB_RELEASE := $(if $(filter container,$(IOT_INSTALL_METHOD)),--release trixie)
lab: venv ## hosts to run the collection against, and the offline bundle
	tests/lab/lab engine
	tests/lab/lab build $(LAB_RELEASE) $(if $(LAB_RELEASE),--images)
	tests/lab/lab up $(LAB_RELEASE) $(if $(LAB_RELEASE),--engine-inside)

demo: lab ## the whole stack on two hosts of the lab, with real input, and the proof that it works (IOT_INSTALL_METHOD=container)
	ansible-playbook -i inventories/demo site.yml
	tests/demo/demo.py start
	ansible-playbook -i inventories/demo playbooks/verify.yml
	tests/demo/show.py

clean: ## everything away that the lab and the demo made
	-tests/demo/demo.py stop
	-tests/lab/lab clean
	rm -rf build $(VENV)

# Two parts at a time, for each waits for its hosts most of its time: what a part prints comes when it ends. JOBS=1: one after another.
JOBS := 2
SCENARIOS := containers gateway pipeline default devices component
test: venv ## everything that CI runs
	$(TIMED) $(MAKE) --no-print-directory --jobs=$(JOBS) --output-sync=target part-lab-build part-test-lint part-test-sanity \
	    part-test-unit part-test-integration $(SCENARIOS:%=part-molecule-%) part-test-artefact

part-molecule-%: part-lab-build
	$(TIMED) $(MAKE) --no-print-directory test-molecule SCENARIO=$*

# The coverage of both is counted together, and the lab's own tests need the lab.
part-test-integration: part-test-unit part-lab-build
part-test-artefact: part-lab-build
part-%:
	$(TIMED) $(MAKE) --no-print-directory $*

lab-build: venv
	tests/lab/lab engine
	tests/lab/lab tools
	tests/lab/lab build --gateways arm64
	tests/lab/lab build --release trixie --images
	tests/lab/lab image --architecture armhf

test-lint: venv ## yamllint, ruff, mypy, ansible-lint, documentation
	yamllint -s .
	ruff check .
	mypy plugins/module_utils
	cd $(COLLECTION) && ansible-lint --offline
	antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck .

test-unit: venv build/app/.ready ## what needs no server: the collection, the demo, and the app by Streamlit's own AppTest
	pytest -n auto tests/unit --ignore tests/unit/app --cov --cov-report= --cov-fail-under=0
	build/app/bin/python -m pytest tests/unit/app

# The app's requirements are pinned for its hosts, not for the controller: an environment of its own.
build/app/.ready: roles/streamlit/files/requirements.txt tests/venv
	tests/venv build/app roles/streamlit/files/requirements.txt
	build/app/bin/python -m pip install --quiet --disable-pip-version-check pytest==9.2.0
	touch $@

# Branch coverage of module_utils counts what the unit tests ran just before, and what runs against the real servers.
# A server of yours is all that is asked then.
SERVERS := $(strip $(if $(EMQX_URL),tests/integration/emqx) $(if $(INFLUXDB_URL),tests/integration/influxdb))
test-integration: venv ## the modules against real servers (EMQX_URL=..., INFLUXDB_URL=...; else the lab's), and the lab itself
	pytest $(or $(SERVERS),tests/integration tests/lab --cov --cov-append --cov-report=term)

test-molecule: venv ## one scenario: SCENARIO=default
	EDGESTACK_BASE_IMAGE="$$(tests/lab/lab image | tail -1)" molecule test --scenario-name $(or $(SCENARIO),default)

# Everything that Ansible can print is printed, into logs that must hold no secret.
test-artefact: venv ## the collection as users install it, by its name, on new hosts, and no secret in its output
	rm -rf build/artefact build/installed
	ansible-galaxy collection build --output-path build/installed .
	ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/build/installed ansible-galaxy collection install --offline --no-deps build/installed/*.tar.gz
	tests/lab/lab up --fresh --lab artefact
	export ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/build/installed EDGESTACK_LAB=artefact && \
	    for book in site verify; do \
	        ansible-playbook -i inventories/demo -vvv --diff edgestack.iot.$$book >build/installed/$$book.log 2>&1 || \
	            { tail -n 40 build/installed/$$book.log; exit 1; }; \
	        tail -n 4 build/installed/$$book.log; \
	    done
	python tests/no_secrets.py build/artefact build/installed/site.log build/installed/verify.log
	tests/lab/lab down --lab artefact

test-sanity: venv ## ansible-test sanity
	tests/sanity

bench: venv ## benchmarks, beside the peers (BENCH=devices runs one part)
	python tests/bench/run.py

docs: venv ## the roles' README files, from their argument_specs
	python tests/role_readmes.py

.PHONY: help venv lab lab-build demo clean test test-lint test-unit test-integration test-molecule test-artefact test-sanity bench docs
