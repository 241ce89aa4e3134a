from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.errors import ModelError
from tasks.core.run_settings import RunSettings
from tasks.evaluation.run_differences import compare_data, find_differences
from tasks.store.run_record import Recorded, RunRecord
from tasks.store.store import Store
from tasks.texts.dataset_info import Dataset

LABELS, SPLITS = ("bad", "good"), ("train", "test", "validation")


def downloaded(store: Store, number: int, rows: list[tuple[str, int, str]]) -> RunRecord:
    """The record of a run that downloaded these texts, each with its split and label."""

    def fill(folder: Path) -> dict:
        columns = [pa.array(column) for column in zip(*rows, strict=True)]
        pq.write_table(pa.table(columns, names=["split", "label", "text"]), folder / "texts.parquet")
        Dataset(name="a", sha256="0", labels=LABELS).write(folder)
        return {}

    made, _ = store.get_or_make(f"download/{number}", fill)
    recorded = Recorded(key=made.key, files={}, content=made.sha256)
    return RunRecord(Path(f"run{number}"), RunSettings(), {}, {"download": recorded})


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from(SPLITS), st.integers(0, 1)), min_size=4, max_size=20),
    st.sets(st.integers(0, 19)),
    st.sets(st.integers(0, 19)),
    st.sets(st.integers(0, 19)),
    st.integers(0, 5),
)
def test_added_removed_relabelled_and_moved_texts_are_counted(places, removed, relabelled, moved, added):
    before = [(split, label, f"text {row}") for row, (split, label) in enumerate(places)]
    after = [
        (
            SPLITS[(SPLITS.index(split) + (row in moved)) % 3],
            1 - label if row in relabelled else label,
            text,
        )
        for row, (split, label, text) in enumerate(before)
        if row not in removed or row == 0
    ] + [("train", 0, f"new {row}") for row in range(added)]
    kept = {row for row in range(len(before)) if row not in removed or row == 0}
    with TemporaryDirectory() as scratch:
        store = Store(Path(scratch))
        found = compare_data(downloaded(store, 1, before), downloaded(store, 2, after[::-1]), store)
    counts = (added, len(before) - len(kept), len(relabelled & kept), len(moved & kept))
    assert (found["added"], found["removed"], found["relabelled"], found["moved"]) == counts
    assert all(its["text"] for its in found["examples"])


def test_each_added_copy_of_a_text_is_counted(store):
    once = [("train", 0, "a"), ("test", 1, "b")]
    found = compare_data(
        downloaded(Store(store), 1, once), downloaded(Store(store), 2, [*once, once[0], once[0]]), Store(store)
    )
    assert (found["added"], found["removed"], found["relabelled"], found["moved"]) == (2, 0, 0, 0)
    assert found["examples"][0] == {"change": "added", "before": None, "after": "train, bad", "text": "a"}


def test_comparing_runs_with_pruned_texts_fails_with_a_remedy(store):
    first, second = (downloaded(Store(store), row, [("train", row, "a")]) for row in (0, 1))
    (store / "download" / "0").rename(store / "gone")
    with pytest.raises(ModelError, match=r"run0: download/.* is no longer in the store; .*--preset .*run0/config.json"):
        compare_data(first, second, Store(store))


PARTS = {"setting training.epochs": 9, "module tasks.pad": "bb", "library numpy": "3", "machine commit": "ff"}


@pytest.mark.parametrize("changed", PARTS)
def test_only_the_changed_setting_module_library_or_commit_is_reported(changed):
    def record(parts: dict) -> RunRecord:
        chosen = RunSettings.model_validate({"training": {"epochs": parts.get("setting training.epochs", 5)}})
        artifact = Recorded(
            key="pad/1", files={}, content="0", made_of={"module tasks.pad": parts.get("module tasks.pad", "aa")}
        )
        metrics = {
            "versions": {"numpy": parts.get("library numpy", "2")},
            "machine": {"commit": parts.get("machine commit", "00")},
        }
        return RunRecord(Path("run"), chosen, metrics, {"pad": artifact})

    (cause,) = find_differences(record({}), record({changed: PARTS[changed]}))
    assert f"{cause.kind} {cause.name}" == changed


def test_steps_that_only_one_run_has_are_not_differences():
    def record(*steps: str) -> RunRecord:
        artifacts = {
            step: Recorded(key=f"{step}/1", files={}, content="0", made_of={f"module tasks.{step}": "aa"})
            for step in steps
        }
        return RunRecord(Path("run"), RunSettings(), {"versions": {}, "machine": {}}, artifacts)

    assert find_differences(record("pad", "phrases"), record("pad", "slices")) == []
