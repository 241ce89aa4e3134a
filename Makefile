# Two commands are enough: `make run` and `make test`. Both make .venv first, where it is missing or out of date.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test check server worker deploy notify clean

run: .venv/installed
	$(BIN)/python flows/imdb_flow.py $(ARGS)

test: .venv/installed
	$(BIN)/pytest -n 3 $(ARGS)

check: .venv/installed  ## lint and types, as CI runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 14) or sys.exit("$(PYTHON) is Python %d.%d; 3.11 to 3.13 is needed: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

# A server, a worker and the nightly deployment, each in a terminal of its own; README.md has the whole story.
server: .venv/installed
	DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false $(BIN)/prefect server start

worker: .venv/installed
	DO_NOT_TRACK=1 $(BIN)/prefect worker start --pool local --type process

deploy: .venv/installed
	mkdir -p artifacts/inbox
	@$(BIN)/prefect work-pool inspect local >/dev/null 2>&1 || $(BIN)/prefect work-pool create local --type process
	DO_NOT_TRACK=1 $(BIN)/prefect --no-prompt deploy --all --prefect-file deployment.yaml

notify: .venv/installed  ## make notify WEBHOOK=https://… tells it of failed runs and new champions
	DO_NOT_TRACK=1 $(BIN)/python flows/notifications.py $(WEBHOOK)

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
