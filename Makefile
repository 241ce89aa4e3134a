# Start with `make run` or `make test`. Every target creates or updates .venv first if necessary.

PYTHON ?= python3
BIN := .venv/bin
# Connections to this machine bypass proxies, also those of Prefect's own commands.
COMMA := ,
export NO_PROXY := $(if $(or $(no_proxy),$(NO_PROXY)),$(or $(no_proxy),$(NO_PROXY))$(COMMA),)127.0.0.1,localhost,::1
export no_proxy := $(NO_PROXY)
# pip installs into .venv, whatever the user's variables and pip.conf say.
export PIP_USER := 0
unexport PIP_TARGET PIP_PREFIX PIP_ROOT
# Python keeps what it has compiled: the tests start many processes.
unexport PYTHONDONTWRITEBYTECODE
# Extras of pyproject.toml: EXTRAS=gpu, or EXTRAS=cpu,s3. After a change between cpu and gpu: make clean.
EXTRAS ?= cpu

.PHONY: help run test check serve server worker deploy notify clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/installed  ## train and evaluate the case study's model; ARGS="--model.cell gru" passes flags
	$(BIN)/python flows/imdb_flow.py $(ARGS)

test: .venv/installed-dev  ## run the tests; ARGS=tests/steps/test_pad.py selects some
	$(BIN)/pytest -n 3 --dist worksteal $(ARGS)

check: .venv/installed-dev  ## check lint, format, types, layers and the container and cluster files, as CI does
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/hadolint deploy/docker/Dockerfile deploy/docker/Dockerfile.pipeline
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deploy/docker/compose.yaml
	$(BIN)/kubernetes-validate --strict --quiet deploy/kubernetes/*.yaml

.venv/installed .venv/installed-dev: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 14) or sys.exit("$(PYTHON) is Python %d.%d; 3.11 to 3.13 is needed: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)$(if $(findstring dev,$@),$(COMMA)dev)]'
	@touch .venv/installed $@

serve: .venv/installed  ## serve the champion on http://127.0.0.1:8000; ARGS="--port 9000" passes flags
	MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=1048576 MALLOC_MMAP_THRESHOLD_=33554432 $(BIN)/python -m serving $(ARGS)

# The server and the worker each need their own terminal; see docs/schedule.md.
server: .venv/installed  ## start Prefect's server and UI on http://127.0.0.1:4200
	PREFECT_UI_URL=$${PREFECT_UI_URL:-http://127.0.0.1:$${PREFECT_SERVER_API_PORT:-4200}} \
		DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false $(BIN)/prefect server start

worker: .venv/installed  ## start a worker that executes scheduled runs
	DO_NOT_TRACK=1 $(BIN)/prefect worker start --pool imdb-pipeline --type process

deploy: .venv/installed  ## create the deployments and schedules of deployment.yaml on the server
	mkdir -p artifacts/inbox
	@$(BIN)/prefect work-pool inspect imdb-pipeline >/dev/null 2>&1 || $(BIN)/prefect work-pool create imdb-pipeline --type process
	DO_NOT_TRACK=1 $(BIN)/prefect --no-prompt deploy --all --prefect-file deployment.yaml
	$(BIN)/python flows/automations.py recovery

notify: .venv/installed  ## notify WEBHOOK=https://... about failed, crashed and untracked runs and new champions
	@DO_NOT_TRACK=1 $(BIN)/python flows/automations.py notifications

clean:  ## remove .venv, builds and tool caches; keeps artifacts/
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
