# Two commands are enough: `make run` and `make test`. Both make .venv first, where it is missing or out of date.

PYTHON ?= python3
BIN := .venv/bin
# What listens on this machine is never asked for through a proxy, by prefect's own commands neither.
COMMA := ,
export NO_PROXY := $(if $(or $(no_proxy),$(NO_PROXY)),$(or $(no_proxy),$(NO_PROXY))$(COMMA),)127.0.0.1,localhost,::1
export no_proxy := $(NO_PROXY)

.PHONY: help run test check serve server worker deploy notify clean
.DEFAULT_GOAL := help

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/installed  ## train and judge the case study's model; ARGS="--model.cell gru" hands flags on
	$(BIN)/python flows/imdb_flow.py $(ARGS)

test: .venv/installed  ## the tests; ARGS=tests/steps/test_pad.py for some
	$(BIN)/pytest -n 3 --dist worksteal $(ARGS)

check: .venv/installed  ## lint, format, types, the floors of the house and the files of containers and clusters, as CI runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/hadolint deploy/docker/Dockerfile deploy/docker/Dockerfile.pipeline
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deploy/docker/compose.yaml
	$(BIN)/kubernetes-validate --strict --quiet deploy/kubernetes/*.yaml

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 14) or sys.exit("$(PYTHON) is Python %d.%d; 3.11 to 3.13 is needed: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

serve: .venv/installed  ## the champion behind HTTP, on http://127.0.0.1:8000; ARGS="--port 9000" hands flags on
	MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=1048576 MALLOC_MMAP_THRESHOLD_=33554432 $(BIN)/python -m serving $(ARGS)

# A server, a worker and the deployments, each in a terminal of its own; docs/schedule.md has the whole story.
server: .venv/installed  ## Prefect's server and UI, on http://127.0.0.1:4200
	DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false $(BIN)/prefect server start

worker: .venv/installed  ## runs what is scheduled
	DO_NOT_TRACK=1 $(BIN)/prefect worker start --pool imdb-pipeline --type process

deploy: .venv/installed  ## tell the server what to run and when: deployment.yaml
	mkdir -p artifacts/inbox
	@$(BIN)/prefect work-pool inspect imdb-pipeline >/dev/null 2>&1 || $(BIN)/prefect work-pool create imdb-pipeline --type process
	DO_NOT_TRACK=1 $(BIN)/prefect --no-prompt deploy --all --prefect-file deployment.yaml
	$(BIN)/python flows/automations.py recovery

notify: .venv/installed  ## tell WEBHOOK=https://... of failed runs and new champions
	@DO_NOT_TRACK=1 $(BIN)/python flows/automations.py notifications

clean:  ## remove .venv and what tools have left; artifacts/ stays
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
