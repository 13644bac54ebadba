# Each target makes what it needs itself, in .venv beside this file, and does nothing twice.
#   make test PYTHON=python3.12       another Python, from 3.11 on
#   make test ARGS="-k breaker -x"    arguments for pytest, the demo or the benchmarks

PYTHON ?= python3
VENV := .venv
ARGS ?=

# .venv belongs to one folder and one Python: a copied or moved checkout would run the code of the old place.
MADE := $(VENV)/made-for
OWNER := $(CURDIR) $(PYTHON)
ifneq ($(file <$(MADE)),$(OWNER))
.PHONY: $(MADE)
endif
# Its Python may have gone, or have become another version.
ifneq ($(shell $(VENV)/bin/python -c 'import pip; print("runs")' 2>/dev/null),runs)
.PHONY: $(MADE)
endif

.PHONY: help demo test simulate proof coverage mutate lint bench docs deb clean system-packages
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

help:
	@echo 'make demo    a simulated gateway, faults and their healing on the terminal (about 60 s; ARGS="--seconds 30")'
	@echo 'make test    all tests (ARGS="..." for pytest; with CI=true none is skipped)'
	@echo 'make simulate  random schedules of faults in virtual time, and the figures (SCHEDULES=1000 SEED=0 RUNS=20)'
	@echo 'make proof   30,000 of them, and docs/proof.md with their figures (about an hour; SCHEDULES, SEED, RUNS)'
	@echo 'make coverage  which lines and branches of the decider its unit tests reach; fails when any is missed (minutes)'
	@echo 'make mutate  breaks the decider in many small ways and tells what no test notices (hours; MODULES="gates")'
	@echo 'make lint    ruff, mypy, import-linter'
	@echo 'make bench   print the benchmarks'
	@echo 'make docs    renew docs/decisions.md and the heads of docs/reasons/ from the tables of the program'
	@echo 'make deb     dist/wasupervisor_VERSION_ARCH.deb, on Debian 12 (VERSION=0.1.0+mine1 for another version)'
	@echo 'make clean   remove .venv and every cache'

demo: $(VENV)/installed
	@$(VENV)/bin/wasupervisor demo $(ARGS)

test: $(VENV)/installed-test $(VENV)/installed-queues system-packages
	@$(VENV)/bin/python -m pytest $(ARGS)

SIMULATE = $(VENV)/bin/python tests/simulation/simulate.py --seed $(or $(SEED),0) --processes $(or $(PROCESSES),0)

simulate: $(VENV)/installed-test
	@$(SIMULATE) --schedules $(or $(SCHEDULES),1000) --runs $(or $(RUNS),20)

proof: $(VENV)/installed-test
	@$(SIMULATE) --schedules $(or $(SCHEDULES),30000) --runs $(or $(RUNS),100) --proof docs/proof.md

coverage: $(VENV)/installed-measure
	@$(VENV)/bin/coverage run --data-file=$(VENV)/coverage -m pytest tests/unit/decide -q -p no:cacheprovider $(ARGS)
	@$(VENV)/bin/coverage report --data-file=$(VENV)/coverage

mutate: $(VENV)/installed-measure
	@$(VENV)/bin/python tests/mutation/mutate.py $(MODULES) --seconds $(or $(SECONDS),15) --jobs $(or $(JOBS),1) --every $(or $(EVERY),1)

lint: $(VENV)/installed-lint
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(VENV)/installed-test
	@$(VENV)/bin/python benchmarks/run.py $(ARGS)

docs: $(VENV)/installed
	@$(VENV)/bin/python docs/generate.py

# With Debian's own Python, whatever PYTHON is: what it compiles and links to must be the host's.
deb:
	@packaging/deb/build.sh $(VERSION)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(MADE):
	@echo 'Making $(VENV) with $(PYTHON)'
	@packaging/venv.sh '$(PYTHON)' $(VENV)
	@printf '%s' '$(OWNER)' >$@

# pip's chatter is shown only when it fails.
PIP_INSTALL = pip_install() { $(VENV)/bin/python -m pip install --disable-pip-version-check --progress-bar off -e "$$1" \
	>$(VENV)/pip.log 2>&1 || { cat $(VENV)/pip.log; exit 1; }; }; pip_install

$(VENV)/installed: $(MADE) pyproject.toml
	@echo 'Installing wasupervisor in $(VENV)'
	@$(PIP_INSTALL) .
	@touch $@

$(VENV)/installed-test: $(MADE) pyproject.toml
	@echo 'Installing wasupervisor and what its tests need in $(VENV)'
	@$(PIP_INSTALL) '.[test]'
	@touch $@

$(VENV)/installed-measure: $(MADE) pyproject.toml
	@echo 'Installing what measures the tests'
	@$(PIP_INSTALL) '.[test,measure]'
	@touch $@

# Bull and BullMQ as gateways run them, and PM2 as it runs gateways, for node. Elsewhere than in CI their tests are
# skipped where it cannot be done.
QUEUES = bull@4 bullmq@5 bullmq3@npm:bullmq@3 bullmq4@npm:bullmq@4 bullmq6@npm:bullmq@6
PM2 = pm2@7
$(VENV)/installed-queues: $(MADE) Makefile
	@echo 'Installing Bull, BullMQ and PM2 for the tests in $(VENV)/npm'
	@mkdir -p $(VENV)/npm
	@if npm install --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --prefix $(VENV)/npm $(QUEUES) $(PM2) \
	>$(VENV)/npm.log 2>&1; then touch $@; else cat $(VENV)/npm.log; [ '$(CI)' != true ]; fi

# mypy reads the tests too, so their libraries must be there.
$(VENV)/installed-lint: $(MADE) pyproject.toml
	@echo 'Installing the linters in $(VENV)'
	@$(PIP_INSTALL) '.[test,lint]'
	@touch $@

# The tests boot systemd in a container and start a Redis. Elsewhere than in CI nothing is installed: they are skipped, with the reason.
system-packages:
ifeq ($(CI),true)
	@command -v systemd-nspawn >/dev/null || packaging/apt-install.sh systemd-container
	@command -v pkaction >/dev/null || packaging/apt-install.sh polkitd
	@command -v redis-server >/dev/null || packaging/apt-install.sh redis-server
	@command -v haproxy >/dev/null || packaging/apt-install.sh haproxy
	@command -v nginx >/dev/null || packaging/apt-install.sh nginx-light
	@command -v openssl >/dev/null || packaging/apt-install.sh openssl
	@command -v lintian >/dev/null || packaging/apt-install.sh lintian
	@command -v mmdebstrap >/dev/null || packaging/apt-install.sh mmdebstrap
endif
