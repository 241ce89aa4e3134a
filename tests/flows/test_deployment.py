import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from jsonschema import Draft202012Validator
from prefect.client.schemas.schedules import CronSchedule
from prefect.events import DeploymentEventTrigger
from prefect.flows import load_flow_from_entrypoint

from tasks.core.run_settings import RunSettings
from tasks.reporting.prefect_ui import REVIEWS_DRIFTED, resource_of

PROJECT = Path(__file__).parents[2]


DEPLOYMENTS = {
    deployment["name"]: deployment
    for deployment in yaml.safe_load((PROJECT / "deployment.yaml").read_text())["deployments"]
}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("nightly", {"data": {"maxlin": 3}}),
        ("nightly", {"data": {"maxlen": -3}}),
        ("weekly", {"action": "burn"}),
        ("hourly", {"max_drift": 0}),
        ("weekly", {"days": -1}),
        ("comparison", {"seeds": 0}),
        ("comparison", {"cells": ["transformer"]}),
        ("own-reviews", {"data": {"dataset": 3}}),
    ],
)
def test_parameters_of_each_deployment_match_the_schema_of_its_flow(name, wrong, monkeypatch):
    monkeypatch.chdir(PROJECT)
    flow = load_flow_from_entrypoint(DEPLOYMENTS[name]["entrypoint"])
    assert flow.name.startswith("imdb-pipeline")  # the server may also have flows of other projects
    schema = flow.parameters.model_dump()
    schema["definitions"] = schema.get("definitions") or {}
    validator = Draft202012Validator(schema)
    validator.validate(DEPLOYMENTS[name]["parameters"])
    flow.validate_parameters(DEPLOYMENTS[name]["parameters"])
    assert not validator.is_valid({"settings": wrong})


@pytest.mark.parametrize("name", ["nightly", "comparison"])
def test_scheduled_runs_never_train_on_the_sample(name):
    assert DEPLOYMENTS[name]["parameters"]["settings"]["data"]["on_unreachable"] == "fail"


@pytest.mark.parametrize(
    ("name", "cron"),
    [
        ("nightly", r"\d+ \d+ \* \* \*"),
        ("weekly", r"\d+ \d+ \* \* 0"),
        ("comparison", r"\d+ \d+ \* \* 6"),
        ("hourly", r"\d+ \* \* \* \*"),
        ("own-reviews", r"\d+ \d+ \* \* \*"),
    ],
)
def test_each_deployment_has_a_schedule_and_runs_one_at_a_time(name, cron):
    (schedule,) = DEPLOYMENTS[name]["schedules"]
    assert CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
    assert ZoneInfo(schedule["timezone"])
    assert re.fullmatch(cron, schedule["cron"])
    assert DEPLOYMENTS[name]["concurrency_limit"]["limit"] == 1
    assert DEPLOYMENTS[name]["work_pool"]["name"] == "imdb-pipeline"


@pytest.mark.parametrize(("name", "model"), [("nightly", "imdb-classifier"), ("own-reviews", "reviews-classifier")])
def test_drifted_reviews_retrain_only_the_model_that_scored_them(name, model):
    (trigger,) = DEPLOYMENTS[name]["triggers"]
    automation = DeploymentEventTrigger.model_validate(trigger)
    assert automation.enabled
    assert automation.expect == {REVIEWS_DRIFTED}
    assert automation.match.matches({"prefect.resource.id": resource_of(model)})
    assert not automation.match.matches({"prefect.resource.id": resource_of("another-classifier")})


def test_scheduled_scoring_names_its_model():
    assert DEPLOYMENTS["hourly"]["parameters"]["settings"]["registered_model"] == "imdb-classifier"


def test_own_reviews_train_the_model_of_the_trigger_and_are_not_scheduled():
    settings = RunSettings.model_validate(DEPLOYMENTS["own-reviews"]["parameters"]["settings"])
    assert settings.data.is_own
    assert f"{Path(settings.data.dataset).stem}-classifier" == "reviews-classifier"
    assert not DEPLOYMENTS["own-reviews"]["schedules"][0]["active"]
