"""`imdb-pipeline why` names the one setting, input, module or library that changed."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.imdb_flow import plan_run
from tasks.pad import pad
from tasks.store import step as module
from tasks.store.artifact import FileRecord
from tasks.store.store import Store
from tests.support.small_runs import small

CHANGES = {
    "data.sha256": "0" * 64,
    "data.max_reviews": 100,
    "data.num_words": 150,
    "data.maxlen": 40,
    "data.validation_split": 0.3,
    "baseline.inverse_penalty": 3.0,
    "model.units": 5,
    "model.cell": "gru",
    "training.epochs": 9,
    "training.seed": 7,
    "training.batch_size": 8,
    "evaluation.threshold": 0.3,
    "evaluation.calibration_bins": 7,
}
describe_code = module.describe_code


@pytest.fixture
def finished(first_run, monkeypatch):
    """The artifacts of a finished run, with the parts of their keys; its store is the current one."""
    monkeypatch.setenv("ARTIFACTS_STORE", str(first_run))
    named = json.loads((first_run / "runs" / "latest" / "metrics.json").read_text())["artifacts"]
    return {step: Store(first_run).find(its["key"]) for step, its in named.items()}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_why_names_only_the_setting_module_or_library_that_changed(imdb, finished, data):
    code = sorted(
        {name for its in finished.values() for name in its.made_of if name.startswith(("module ", "library "))}
    )
    changed = data.draw(st.sampled_from([*CHANGES, *code]))
    sections = {}
    if changed in CHANGES:
        section, _, field = changed.partition(".")
        sections = {section: {field: CHANGES[changed]}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            module,
            "describe_code",
            lambda name: {part: "9.9" if part == changed else its for part, its in describe_code(name).items()},
        )
        plans = plan_run(small(imdb, **sections))
    assert {cause.name for plan in plans for cause in plan.causes} == {changed.rpartition(" ")[2]}
    first = next(plan for plan in plans if plan.status != "cached")
    assert changed.rpartition(" ")[2] in first.cause


def test_why_names_a_changed_input(imdb, finished):
    files = {"a": FileRecord(size=1, sha256="0" * 64)}
    encoded = finished["encode"].model_copy(update={"files": files})
    _, plan = pad.plan({"encoded": encoded, "settings": small(imdb).data})
    assert (plan.status, plan.cause) == ("runs", "input encoded changed")
