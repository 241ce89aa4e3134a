import contextlib
import shutil
from pathlib import Path

import pytest
from prefect import flow
from prefect.settings import PREFECT_TASKS_REFRESH_CACHE, temporary_settings

from tasks.core.data_settings import DataSettings, PadSettings
from tasks.core.run_settings import TrainingSettings
from tasks.pad import pad
from tasks.store.artifact import Artifact, Resume
from tasks.store.step import planning, step
from tasks.store.store import Store


def artifact(key: str, content: str) -> Artifact:
    return Artifact(key=key, files={"a": {"size": 1, "sha256": content}})


def test_a_step_depends_only_on_the_settings_that_it_reads():
    encoded = artifact("encode/1", "aa")
    keys = [
        pad.key({"encoded": encoded, "settings": settings})
        for settings in (DataSettings(), DataSettings(num_words=77, source="x"), DataSettings(maxlen=99))
    ]
    assert keys[0] == keys[1]
    assert keys[0] != keys[2]


def test_a_step_depends_on_the_content_of_its_inputs_not_on_their_keys():
    settings = DataSettings()
    keys = [
        pad.key({"encoded": encoded, "settings": settings})
        for encoded in (artifact("encode/1", "aa"), artifact("encode/2", "aa"), artifact("encode/1", "bb"))
    ]
    assert keys[0] == keys[1]
    assert keys[0] != keys[2]


def test_swapped_missing_and_unknown_inputs_are_errors():
    encoded, padded = artifact("encode/1", "aa"), artifact("pad/1", "bb")
    with pytest.raises(TypeError, match="pad: encoded is made by encode, not by pad"):
        pad(encoded=padded, settings=DataSettings())
    with pytest.raises(TypeError, match="pad: settings is TrainingSettings, expected PadSettings"):
        pad(encoded=encoded, settings=TrainingSettings())
    with pytest.raises(TypeError, match="settings"):
        pad(encoded=encoded)
    with pytest.raises(TypeError, match="padded"):
        pad(encoded=encoded, padded=padded, settings=DataSettings())
    with pytest.raises(TypeError):
        pad(encoded, DataSettings())


@step()
def count(*, settings: PadSettings, folder: Path) -> dict:
    (folder / "made.txt").write_text(str(settings.maxlen))
    return {}


@pytest.fixture
def run_count(store, prefect_server):
    """A flow of one step that returns the artifact and whether it was cached."""

    @flow
    def counting():
        state = count.task(settings=DataSettings(), return_state=True)
        return state.result(), state.name == "Cached"

    return counting


def test_a_second_run_is_cached_and_prefect_shows_it(run_count, store):
    made, cached = run_count()
    assert not cached
    assert run_count() == (made, True)
    assert Store(store).find(made.key) == made
    assert not (store / "results").exists()


def test_a_damaged_artifact_is_rebuilt(run_count, store):
    made, _ = run_count()
    (store / made.key / "made.txt").write_text("666")
    assert run_count() == (made, False)
    assert (store / made.key / "made.txt").read_text() == "256"
    assert run_count() == (made, True)


def test_refreshing_the_cache_rebuilds_an_artifact(run_count, store):
    made, _ = run_count()
    before = (store / made.key / "made.txt").stat().st_mtime_ns
    with temporary_settings({PREFECT_TASKS_REFRESH_CACHE: True}):
        assert run_count() == (made, False)
    assert (store / made.key / "made.txt").stat().st_mtime_ns > before


def test_an_artifact_pruned_while_a_run_waits_for_its_lock_is_rebuilt(run_count, store, monkeypatch):
    made, _ = run_count()
    real, prunings = Store.locked, iter([True])

    @contextlib.contextmanager
    def lock_after_pruning(self, key, **options):
        with real(self, key, **options):
            if next(prunings, False):
                shutil.rmtree(store / made.key)
            yield True

    monkeypatch.setattr(Store, "locked", lock_after_pruning)
    assert run_count() == (made, False)
    assert Store(store).find(made.key) == made


def test_runs_that_differ_only_in_epochs_share_a_resume_key(store):
    taken = []

    @step(resumes_on=lambda settings: settings.model_copy(update={"epochs": 1}))
    def train(*, settings: TrainingSettings, resume: Resume, folder: Path) -> None:
        taken.append(resume)

    for epochs in (5, 6):
        train.run({"settings": TrainingSettings(epochs=epochs)})
    train.run({"settings": TrainingSettings(batch_size=7)}, refresh=True)
    train.run({"settings": TrainingSettings(batch_size=7)}, refresh=True, is_retry=True)
    train.run({"settings": TrainingSettings(batch_size=7, epochs=9)}, refresh=True, is_retry=True)
    assert taken[0] == taken[1]
    assert taken[2].key != taken[0].key
    # A retry of a refreshed step may resume from the first attempt.
    assert [resume.ignored for resume in taken] == [False, False, True, False, False]


@step(resumes_on=lambda settings: settings.model_copy(update={"epochs": 1}))
def build(*, settings: TrainingSettings, resume: Resume, folder: Path) -> None:
    (folder / "made.txt").write_text(str(settings.epochs))


def test_a_plan_reports_status_and_cause_and_writes_nothing(store):
    five = {"settings": TrainingSettings()}
    made, plan = build.run(five)
    assert (plan.status, plan.cause) == ("runs", "first run")
    files = sorted(store.rglob("*"))
    with planning() as plans:
        assert build(**five) == made
        absent = build(settings=TrainingSettings(epochs=6))
        padded = pad(encoded=Artifact(key="encode/unknown", files={}), settings=DataSettings())
    assert [(plan.step, plan.status, plan.cause) for plan in plans] == [
        ("build", "cached", ""),
        ("build", "runs", "training.epochs 5 → 6"),
        ("pad", "unknown", "encode has not run"),
    ]
    assert not absent.files
    assert not padded.files
    assert sorted(store.rglob("*")) == files
