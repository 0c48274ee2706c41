# Everything runs from .venv through its own Python: nothing is activated, nothing global is changed.
VENV   := .venv
PY     := $(VENV)/bin/python
STAMPS := $(VENV)/.stamps
PIP    := $(PY) -m pip --disable-pip-version-check --no-input -q
# Runs a command against a throwaway PostgreSQL and Valkey, with the settings' environment set.
LOCAL  := $(PY) -m deploy.local.throwaway

# The first Python that is new enough; `make PYTHON=/path/to/python` chooses another one.
NEW_ENOUGH = import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach p,python3.11 python3 python3.12 python3.13 python3.14,\
            $(shell $(p) -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && echo $(p))))

CHECKED_TYPES = $(wildcard */services.py */services/*.py */states.py config/env.py) agents/edge agents/server deploy/local
PROTOS  := $(wildcard protos/agent/v1/*.proto)
LOCKS   := dev demo server agent node

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup assets demo demo-reset test smoke faults seed-large bench bench-publish check fmt-check lint types imports \
        migrations-check deploy-check fmt proto messages screenshots lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMPS)/dev $(STAMPS)/assets ## Create .venv and install everything; does nothing when up to date

demo: $(STAMPS)/demo $(STAMPS)/assets ## Run the whole product on this machine; Ctrl-C stops it
	@$(PY) -m deploy.local.demo

demo-reset: $(STAMPS)/demo ## Wipe the demo's data
	@$(PY) -m deploy.local.demo reset

test: setup ## Run the tests against real PostgreSQL, Valkey and Envoy; ARGS="-k name" narrows, WORKERS=0 is one process
	@$(PY) -m pytest -n $(or $(WORKERS),2) --dist loadfile $(ARGS)

smoke: $(STAMPS)/demo $(STAMPS)/assets ## Do the main job headless, then break things; SMOKE=main: only the first minute
	@$(PY) -m deploy.local.smoke

faults: $(STAMPS)/demo $(STAMPS)/assets ## Random work and random faults by seed, then a check of everything; SEEDS=50 FIRST=1
	@$(PY) -m deploy.local.faults --seeds $(or $(SEEDS),3) --first $(or $(FIRST),1)

bench: setup ## Measure everything (three quarters of an hour); ARGS="--quick", ARGS="publish revoke" for less
	@$(PY) -m benchmarks $(ARGS)

seed-large: $(STAMPS)/demo ## Fill a running demo with 200 clusters, 2,000 agents, 500 products and 2,000 publishes
	@$(PY) -m deploy.local.demo seed-large

bench-publish: $(STAMPS)/demo ## Measure from the click on Publish to the first 200, in under a minute
	@$(PY) -m benchmarks publish

check: fmt-check lint types imports migrations-check deploy-check test ## All that CI runs

fmt-check: setup ## Fail if a file is not formatted
	@echo "ruff format --check" && $(PY) -m ruff format --check .

lint: setup ## Lint
	@echo "ruff check" && $(PY) -m ruff check .

types: setup ## Check types
	@echo "mypy" && $(LOCAL) -m mypy $(CHECKED_TYPES)

imports: setup ## Check who may import whom
	@echo "lint-imports" && $(PY) -c "from importlinter.cli import lint_imports_command as c; c()"

migrations-check: setup ## Fail if a model has no migration
	@echo "makemigrations --check" && $(LOCAL) manage.py makemigrations --check --dry-run

deploy-check: setup ## Run Django's checks for production
	@echo "check --deploy" && $(LOCAL) manage.py check --deploy --fail-level WARNING

fmt: setup ## Format, and fix what the linter can fix
	@$(PY) -m ruff check --fix-only --quiet . && $(PY) -m ruff format .

proto: setup ## Generate agents/wire from protos/
	@$(PY) -m grpc_tools.protoc -Iagents/wire=protos/agent/v1 --python_out=. --pyi_out=. \
	    --grpc_python_out=. $(patsubst protos/agent/v1/%,agents/wire/%,$(PROTOS))

assets: $(STAMPS)/demo $(STAMPS)/node ## Fetch the front-end packages and rebuild static/vendor
	@$(PY) -m deploy.local.assets && touch $(STAMPS)/assets

screenshots: setup ## Take pictures of every page into build/screenshots; ARGS=--readme renews the README's
	@$(PY) -m deploy.local.screenshots $(ARGS)

messages: setup ## Bring locale/ in step with the source and compile it
	@$(LOCAL) manage.py messages && $(LOCAL) manage.py compilepo

lock: $(PY) ## Write the lock files anew from the .in files and package.json; UPGRADE=1 takes newer versions
	@test -x $(VENV)/.uv/bin/uv || { $(PY) -m venv $(VENV)/.uv && $(VENV)/.uv/bin/pip install -q uv; }
	@cd requirements && for name in $(LOCKS); do \
	    case $$name in dev|node) like= ;; *) like="-c dev.txt" ;; esac; echo "requirements/$$name.txt"; \
	    ../$(VENV)/.uv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	      --no-emit-index-url --no-emit-find-links --no-header $(if $(UPGRADE),--upgrade) \
	      $$like $$name.in -o $$name.txt || exit 1; done
	@$(PY) -m deploy.local.npm_lock

clean: ## Remove everything that can be made again, but not the demo's data
	rm -rf $(VENV) node_modules static/vendor staticfiles .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@test -n "$(PYTHON)" || { echo "imp-gateway needs Python 3.11 or newer, and none was found on PATH."; \
	  echo "Install it, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c '$(NEW_ENOUGH)' || { echo "$(PYTHON) is older than Python 3.11."; exit 1; }
	@echo "Creating $(VENV) with $(PYTHON) ..."
	@$(PYTHON) -m venv $(VENV)

$(STAMPS): | $(PY)
	@mkdir -p $@

$(STAMPS)/demo: requirements/demo.txt pyproject.toml | $(STAMPS)
	@echo "Installing Python packages (under a minute the first time) ..."
	@$(PIP) install --require-hashes -r requirements/demo.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(STAMPS)/dev: requirements/dev.txt $(STAMPS)/demo
	@echo "Installing test tools ..."
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

$(STAMPS)/node: requirements/node.txt | $(STAMPS)
	@command -v npm >/dev/null 2>&1 || { echo "No Node.js on PATH: installing it into $(VENV) ..."; \
	  $(PIP) install --require-hashes -r requirements/node.txt; }
	@touch $@

$(STAMPS)/assets: package.json package-lock.json static/ui/icons.txt deploy/local/assets.py $(STAMPS)/demo $(STAMPS)/node
	@echo "Fetching front-end packages ..."
	@$(PY) -m deploy.local.assets
	@touch $@
