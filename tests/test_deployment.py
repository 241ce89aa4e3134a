import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from jsonschema import Draft202012Validator
from prefect.client.schemas.schedules import CronSchedule
from prefect.flows import load_flow_from_entrypoint

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def nightly() -> dict:
    (deployment,) = yaml.safe_load((PROJECT / "deployment.yaml").read_text())["deployments"]
    return deployment


def test_the_entry_point_is_the_flow_and_its_parameters_fit_the_schema(nightly, monkeypatch):
    monkeypatch.chdir(PROJECT)
    flow = load_flow_from_entrypoint(nightly["entrypoint"])
    schema = flow.parameters.model_dump()
    schema["definitions"] = schema.get("definitions") or {}
    validator = Draft202012Validator(schema)
    validator.validate(nightly["parameters"])
    flow.validate_parameters(nightly["parameters"])
    assert not validator.is_valid({"settings": {"data": {"maxlin": 3}}})
    assert not validator.is_valid({"settings": {"data": {"maxlen": -3}}})


def test_a_nightly_model_is_never_one_of_the_sample(nightly):
    assert nightly["parameters"]["settings"]["data"]["on_unreachable"] == "fail"


def test_one_run_at_a_time_every_night(nightly):
    (schedule,) = nightly["schedules"]
    assert CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
    assert ZoneInfo(schedule["timezone"])
    assert re.fullmatch(r"\d+ \d+ \* \* \*", schedule["cron"])
    assert nightly["concurrency_limit"]["limit"] == 1
    assert nightly["work_pool"]["name"] == "local"
