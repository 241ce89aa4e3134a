import json
import sys
from types import SimpleNamespace

import pytest

from flows import automl as module
from flows import compare_flow, imdb_flow
from flows.automl import Auto, check_auto, choose_settings, preset_settings
from tasks.core.command_settings import CompareSettings
from tasks.core.errors import InputError, TrainingError
from tasks.core.run_settings import ModelSettings, RunSettings, TrainingSettings
from tasks.store.artifact import Artifact
from tests.support.small_runs import TRACED_SOONEST, as_flags, small

NETWORK = {
    "data": {"maxlen": 64, "num_words": 200},
    "model": TRACED_SOONEST | {"units": 4, "embedding_dim": 4, "dense_units": 0},
    "training": {"epochs": 1, "batch_size": 32},
}
CHOSEN_BY_AUTO = {"model": ModelSettings(), "training": TrainingSettings()}


@pytest.fixture
def log_lines(monkeypatch) -> list[str]:
    """The logged lines."""
    lines: list[str] = []
    monkeypatch.setattr(module, "run_logger", lambda: SimpleNamespace(info=lambda line, *its: lines.append(line % its)))
    return lines


@pytest.fixture
def seconds_by_units(monkeypatch):
    """Every network is cached, and took three seconds for each of its units."""
    trained = Artifact(key="train/0", files={})
    monkeypatch.setattr(
        module, "train_trial", lambda its, _: trained.model_copy(update={"meta": {"seconds": [its.model.units] * 3}})
    )


def test_each_network_is_a_preset_with_the_data_settings_of_the_run(imdb):
    settings = small(imdb, data={"validation_split": 0.1, "max_reviews": 300})
    networks = preset_settings(settings)
    assert list(networks) == ["fast", "tuned"]
    assert networks["fast"].model.units == 16
    assert {(its.data.validation_split, its.data.whole_groups) for its in networks.values()} == {(0.1, False)}
    assert {(its.data.source, its.data.max_reviews) for its in networks.values()} == {(settings.data.source, 300)}
    assert networks["tuned"].evaluation.metric == "accuracy"
    assert {its.data for its in networks.values()} == {settings.data}
    assert {its.auto.minutes for its in networks.values()} == {None}, "repeating the run repeats the choice"


def test_a_comparison_refuses_the_auto_preset(imdb):
    with pytest.raises(InputError, match="--preset auto"):
        compare_flow.check(CompareSettings.model_validate(small(imdb, auto={"minutes": 5}).model_dump()))


def test_a_dry_run_says_when_each_stage_runs(imdb, trained, monkeypatch, capsys):
    settings = small(imdb, auto={"minutes": 5}).model_copy(update=CHOSEN_BY_AUTO)
    monkeypatch.setattr(sys, "argv", ["train", "--dry-run", "--json", *as_flags(settings)])
    assert imdb_flow.main() == 0
    plans = json.loads(capsys.readouterr().out)
    assert [(plan["step"], plan["status"]) for plan in plans] == [
        ("download", "cached"),
        ("linear", "unknown"),
        ("fast", "unknown"),
        ("tuned", "unknown"),
        ("search", "unknown"),
        ("refit", "unknown"),
    ]
    assert plans[1]["cause"] == "always"
    assert plans[3]["cause"] == "if the time allows 3 times that of fast"


def test_settings_that_auto_chooses_cannot_be_set(imdb):
    check_auto(RunSettings(auto={"minutes": 5}, data={"maxlen": 100}))
    check_auto(RunSettings(model={"units": 7}))
    with pytest.raises(InputError, match=r"so model\.units, training\.seed cannot be set"):
        check_auto(RunSettings(auto={"minutes": 5}, model={"units": 7}, training={"seed": 5}))


def test_a_run_without_a_command_line_refuses_them_too():
    with pytest.raises(InputError, match=r"so model\.units cannot be set"):
        imdb_flow.imdb_flow.fn(RunSettings(auto={"minutes": 5}, model={"units": 7}))


def test_a_stage_runs_if_time_allows_and_the_best_so_far_is_logged(imdb, log_lines):
    auto = Auto(small(imdb), 10, SimpleNamespace())
    assert auto.run("linear", lambda seconds: -0.75 if seconds is None else 0)
    assert not auto.run("tuned", lambda _: pytest.fail("it was run"), predicted=600)
    assert auto.run("fast", lambda seconds: -0.75 if 500 < seconds <= 570 else 0, predicted=500)
    assert auto.best()["stage"] == "linear", "the first of equal ones"
    assert auto.best(network=True)["stage"] == "fast"
    assert log_lines[0].startswith("auto: linear: validation accuracy 0.7500 in 0 s; best so far: linear, 0.7500; ")
    assert log_lines[1].startswith("auto: tuned: skipped: 600 s needed, 510 s left; best so far: linear")


@pytest.mark.parametrize(
    ("minutes", "candidates", "stages", "units"),
    [
        (0.5, "best", ["linear", "fast", "refit"], 1),
        (0.5, "network", ["linear", "fast", "tuned", "refit"], 16),
        (10, "best", ["linear", "fast", "tuned", "refit"], 64),
    ],
)
def test_networks_are_tried_if_time_allows_or_the_linear_model_is_excluded(
    imdb, log_lines, monkeypatch, minutes, candidates, stages, units
):
    def run(auto: Auto, stage: str, cost_within, *, predicted: float | None = None) -> bool:
        """Record a stage of 10 seconds with a fixed value, or skip it if time is short."""
        note = None if predicted is None else auto.reason_to_skip(predicted)
        value = {"linear": 0.7, "fast": 0.8, "tuned": 0.9}[stage] if note is None else None
        auto.tried.append({"stage": stage, "seconds": 10.0, "value": value, "note": note})
        return note is None

    monkeypatch.setattr(Auto, "run", run)
    monkeypatch.setattr(Auto, "seconds_of", lambda _, tried: tried["seconds"])
    monkeypatch.setattr(Auto, "search_around", lambda *_: None)
    without_validation = SimpleNamespace(meta={"dataset": {}})
    chosen, record = choose_settings(small(imdb, promotion={"candidates": candidates}), minutes, without_validation)
    assert [its["stage"] for its in record["tried"]] == stages
    assert chosen.model.units == units
    assert chosen.data.validation_split == 0.04
    assert len(log_lines) == (2 if units == 1 else 1)


@pytest.mark.parametrize(
    ("splits", "share", "seconds"),
    [({"validation": {"rows": 9}}, 0.2, 1), ({"train": {"rows": 1_000}}, 0.2, 1), ({}, 0.04, 1), ({}, 0.2, 999)],
)
def test_no_refit_if_validation_texts_are_few_or_separate_or_time_is_short(
    imdb, log_lines, seconds_by_units, splits, share, seconds
):
    downloaded = SimpleNamespace(meta={"dataset": {"check": {"splits": splits}}})
    auto = Auto(small(imdb, data={"validation_split": share}), 10, downloaded)
    auto.tried.append({"stage": "fast", "seconds": seconds, "value": 0.8, "note": None})
    auto.plan_refit()
    assert auto.final_settings().data.validation_split == share
    assert not log_lines


@pytest.mark.parametrize(
    ("candidates", "linear", "fast", "minutes", "units", "share"),
    [
        ("best", 0.9, 0.8, 2, 1, 0.04),
        ("best", 0.9, 0.8, 4, 16, 0.04),  # enough time for both
        ("best", 0.9, 0.8, 0.5, 16, 0.2),  # enough for neither
        ("best", 0.7, 0.8, 2, 16, 0.2),
        ("network", 0.9, 0.8, 2, 16, 0.2),
        ("best", 0.9, None, 2, 1, 0.04),
        ("best", 0.9, None, 0.5, 1, 0.2),
    ],
)
def test_a_leading_linear_model_learns_from_more_texts_if_the_time_allows_only_that(
    imdb, log_lines, seconds_by_units, candidates, linear, fast, minutes, units, share
):
    settings = small(imdb, promotion={"candidates": candidates})
    auto = Auto(settings, minutes, SimpleNamespace(meta={"dataset": {}}))
    auto.tried += [
        {"stage": "linear", "seconds": 30, "value": linear, "note": None},
        {"stage": "fast", "seconds": 150, "value": fast, "note": None},
    ]
    auto.plan_refit()
    chosen = auto.final_settings()
    assert (chosen.model.units, chosen.data.validation_split) == (units, share)


def test_the_time_for_a_refit_is_that_of_a_whole_training_of_the_best_network(
    imdb, log_lines, seconds_by_units, monkeypatch
):
    trial = {"loss": -0.9, "point": {"model.units": "96"}}
    monkeypatch.setattr(
        module, "search_flow", SimpleNamespace(with_options=lambda **_: lambda asked, _: [trial] * asked.trials)
    )
    monkeypatch.setattr(module, "MAX_TRIALS", 1)
    for minutes, reserved in ((10, 288 + 5), (2, None)):
        auto = Auto(small(imdb), minutes, SimpleNamespace(meta={"dataset": {}}))
        auto.tried.append({"stage": "linear", "seconds": 5, "value": 0.7, "note": None})
        auto.tried.append({"stage": "fast", "seconds": 0.1, "value": 0.8, "note": None})
        auto.plan_refit()
        assert auto.reserved == 48 + 5, "the texts are encoded, and the linear model is fitted, again"
        auto.search_around(auto.tried[1])
        assert auto.reserved == reserved, "the search leads with a larger network"
        assert auto.final_settings().model.units == 96


def test_an_optional_stage_may_fail_or_time_out(imdb, log_lines):
    def fail(error: Exception) -> float:
        raise error

    auto = Auto(small(imdb), 10, SimpleNamespace())
    auto.run("linear", lambda _: -0.75)
    assert not auto.run("fast", lambda _: fail(TimeoutError()), predicted=1)
    assert not auto.run("tuned", lambda _: fail(TrainingError("the loss is nan")), predicted=1)
    assert [its["note"] for its in auto.tried] == [None, "stopped: the time is over", "failed: the loss is nan"]
    with pytest.raises(TrainingError):
        auto.run("fast", lambda _: fail(TrainingError("the first network has to be trained")))
    assert auto.run("tuned", lambda _: -1, predicted=1)
    assert not auto.run("search", lambda _: -1, predicted=1)
    assert auto.tried[-1]["note"] == "skipped: nothing can be better"


@pytest.mark.slow
def test_only_the_best_network_is_scored_on_the_test_texts(imdb, store, prefect_server, monkeypatch):
    wide = NETWORK | {"model": NETWORK["model"] | {"cell": "gru"}}
    monkeypatch.setattr(module, "read_preset", {"fast": NETWORK, "tuned": wide}.__getitem__)
    monkeypatch.setattr(module, "SEARCH", "model.units=2..3")
    monkeypatch.setattr(module, "MAX_TRIALS", 1)
    monkeypatch.setattr(Auto, "reason_to_skip", lambda *_: None)  # however slow this machine is
    few = {"validation_split": 0.04}  # so small that there is no refit
    settings = small(imdb, data=few, auto={"minutes": 5}, evaluation={"metric": "roc_auc"})
    settings = settings.model_copy(update=CHOSEN_BY_AUTO)
    folder = imdb_flow.imdb_flow(settings)
    metrics = json.loads((folder / "metrics.json").read_text())
    tried = {its["stage"]: its["value"] for its in metrics["auto"]["tried"]}
    assert list(tried) == ["linear", "fast", "tuned", "search"]
    best = max(value for stage, value in tried.items() if stage != "linear")
    assert metrics["history"][-1]["val_roc_auc"] == pytest.approx(best)
    assert RunSettings.model_validate_json((folder / "config.json").read_text()).auto.minutes is None
    assert len(list((store / "train").iterdir())) == 3
    assert len(list((store / "score").iterdir())) == 1
    assert "What was tried" in (folder / "report.html").read_text()
    again = json.loads((imdb_flow.imdb_flow(settings) / "metrics.json").read_text())
    assert [step["cached"] for step in again["steps"] if step["name"] == "train"] == [True]
    assert [its["value"] for its in again["auto"]["tried"]] == list(tried.values())
