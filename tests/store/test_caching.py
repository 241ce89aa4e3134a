import contextlib
import shutil
from pathlib import Path

import pytest
from prefect import flow, task

from tasks.core.data_settings import DataSettings, PadSettings
from tasks.figures import figures
from tasks.pad import pad
from tasks.store import caching
from tasks.store.artifact import Artifact
from tasks.store.caching import BY_CONTENT, cache_key, fingerprint, keep, project_modules
from tasks.store.store import Store
from tasks.train import train


def artifact(key: str, content: str) -> Artifact:
    return Artifact(key=key, files={"a": {"size": 1, "sha256": content}})


def test_a_step_depends_on_the_settings_that_it_reads_and_no_others():
    encoded = artifact("encode/1", "aa")
    keys = [
        cache_key(pad.fn, "pad", {"encoded": encoded, "settings": settings})
        for settings in (DataSettings(), DataSettings(num_words=77, source="x"), DataSettings(maxlen=99))
    ]
    assert keys[0] == keys[1]
    assert keys[0] != keys[2]


def test_a_step_depends_on_the_content_of_what_it_is_given_not_on_its_name():
    settings = DataSettings()
    keys = [
        cache_key(pad.fn, "pad", {"encoded": encoded, "settings": settings})
        for encoded in (artifact("encode/1", "aa"), artifact("encode/2", "aa"), artifact("encode/1", "bb"))
    ]
    assert keys[0] == keys[1]
    assert keys[0] != keys[2]


def test_a_step_depends_on_the_modules_that_it_imports_and_no_others():
    assert {"tasks.pad", "tasks.texts.vocabulary", "tasks.store.store"} <= set(project_modules("tasks.pad"))
    assert not {"tasks.train", "tasks.network.keras_files", "flows.imdb_flow"} & set(project_modules("tasks.pad"))
    assert "tasks.network.checkpoint" in project_modules("tasks.train")
    assert "tasks.network.checkpoint" not in project_modules("tasks.figures")


def test_a_changed_module_changes_the_keys_of_what_imports_it(monkeypatch):
    def keys() -> list[str]:
        return [cache_key(step.fn, step.name, {}) for step in (pad, train, figures)]

    before = keys()
    monkeypatch.setattr(
        caching, "fingerprint", lambda path: "new" if path.name == "checkpoint.py" else fingerprint(path)
    )
    after = keys()
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True]


def test_comments_docstrings_and_layout_change_no_fingerprint(tmp_path):
    def of(source: str) -> str:
        path = tmp_path / f"{abs(hash(source))}.py"
        path.write_text(source)
        return fingerprint(path)

    plain = of("def f(x):\n    return x + 1\n")
    assert of('"""Words."""\n\ndef f(x):  # a comment\n    """More words."""\n    return (x + 1)\n') == plain
    assert of("def f(x):\n    return x + 2\n") != plain


@task(cache_policy=BY_CONTENT, result_serializer="json")
def count(settings: PadSettings) -> Artifact:
    def fill(folder: Path) -> dict:
        (folder / "made.txt").write_text(str(settings.maxlen))
        return {}

    return keep(fill)


@pytest.fixture
def run_count(store, prefect_server):
    """A flow of one task; it returns the artifact and whether it was cached."""

    @flow(result_storage=store / "results", result_serializer="json")
    def counting():
        state = count(DataSettings(), return_state=True)
        return state.result(), state.name == "Cached"

    return counting


def record_of(store: Path, made: Artifact) -> Path:
    return store / "results" / made.key


def test_a_second_run_is_cached(run_count, store):
    made, cached = run_count()
    assert not cached
    assert run_count() == (made, True)
    assert Store(store).find(made.key) == made


def test_a_rotten_artifact_is_made_again(run_count, store):
    made, _ = run_count()
    (store / made.key / "made.txt").write_text("666")
    assert run_count() == (made, False)
    assert (store / made.key / "made.txt").read_text() == "256"
    assert run_count() == (made, True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.write_bytes(b""),
        lambda record: record.write_bytes(record.read_bytes()[:-20]),
        lambda record: record.write_text(record.read_text().replace('"type":"json"', '"type":"pickle"')),
        lambda record: record.write_text(record.read_text().replace("made.txt", "mode.txt")),
    ],
    ids=["empty", "truncated", "claims to be a pickle", "names another file"],
)
def test_a_rotten_record_is_dropped_and_the_whole_artifact_taken(run_count, store, damage):
    made, _ = run_count()
    time_made = (store / made.key / "made.txt").stat().st_mtime_ns
    damage(record_of(store, made))
    assert run_count() == (made, False)
    assert (store / made.key / "made.txt").stat().st_mtime_ns == time_made
    assert run_count() == (made, True)


def test_what_is_pruned_between_a_runs_look_and_its_lock_is_made_again(run_count, store, monkeypatch):
    made, _ = run_count()
    real, prunings = Store.locked, iter([True])

    @contextlib.contextmanager
    def lock_after_pruning(self, key):
        with real(self, key):
            if next(prunings, False):
                record_of(store, made).unlink()
                shutil.rmtree(store / made.key)
            yield

    monkeypatch.setattr(Store, "locked", lock_after_pruning)
    assert run_count() == (made, False)
    assert Store(store).find(made.key) == made


def test_a_parse_that_another_thread_disturbs_is_tried_again(monkeypatch):
    real, disturbed = caching.ast.parse, iter([True, True, False])

    def parse(source):
        if next(disturbed, True):
            raise SystemError("AST constructor recursion depth mismatch")
        return real(source)

    monkeypatch.setattr(caching.ast, "parse", parse)
    assert caching.parse_beside_threads(b"a = 1").body
    with pytest.raises(SystemError):
        caching.parse_beside_threads(b"a = 1")
