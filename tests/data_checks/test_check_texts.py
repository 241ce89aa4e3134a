"""Findings of a small table, each with its rows in suspects.csv."""

import csv
import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.command_settings import CheckLimits
from tasks.data_checks import read_texts
from tasks.data_checks.check_texts import check_texts, find_exceeded
from tasks.data_checks.text_statistics import first_mates, is_conflicting
from tasks.texts.dataset_info import Dataset
from tests.support.small_reviews import write_imdb


def plain_rows() -> list[dict]:
    rng = random.Random(1)
    words = [f"{a}{b}{c}" for a in "bdfg" for b in "aeiou" for c in ("n", "r", "st", "mp", "x")]
    splits = ["train"] * 60 + ["validation"] * 10 + ["test"] * 30
    return [
        {"split": split, "label": row % 2, "text": " ".join(rng.choices(words, k=40)), "file": "a.csv", "row": row + 1}
        for row, split in enumerate(splits)
    ]


def check(folder, rows) -> tuple[dict, list[dict]]:
    """Return the findings on rows of a download, and those in suspects.csv."""
    downloaded = folder / "downloaded"
    downloaded.mkdir()
    table = pa.Table.from_pylist(rows)
    pq.write_table(table.set_column(1, "label", table["label"].cast(pa.int8())), downloaded / "texts.parquet")
    Dataset(name="made", sha256="0", labels=("bad", "good")).write(downloaded)
    found = check_texts(downloaded, folder)
    assert json.loads((folder / "check.json").read_text()) == found
    with (folder / "suspects.csv").open(newline="") as file:
        return found, list(csv.DictReader(file))


def test_clean_texts_have_no_findings(tmp_path):
    found, suspects = check(tmp_path, plain_rows())
    assert {its["rows"] for its in found["flagged"].values()} == {0}
    assert (found["giveaways"], found["rows"], suspects) == ([], {"all": 100, "checked": 100}, [])
    assert {name: its["rows"] for name, its in found["splits"].items()} == {"train": 60, "validation": 10, "test": 30}
    assert found["scripts"] == {"Latin": 1.0}
    assert find_exceeded(found, CheckLimits()) == []


def test_each_finding_is_counted_and_its_rows_are_listed(tmp_path):
    rows = plain_rows()
    rows[3]["text"] = rows[1]["text"].upper() + "!"  # in training, with the same label
    rows[75]["text"] = rows[5]["text"]  # in test
    rows[7]["text"] = rows[9]["text"] + " indeed"
    rows[80]["text"] = "indeed " + rows[10]["text"]
    rows[12]["text"] = rows[11]["text"]  # another label
    rows[20]["text"] += " caf\ufffd"
    rows[21]["text"] += " cafÃ©"
    rows[22]["text"] += " it\x80s"
    rows[23]["text"], rows[24]["text"] = "", " -- "
    rows[25]["text"] = " ".join(row["text"] for row in rows[40:55])
    found, suspects = check(tmp_path, rows)
    listed = {}
    for its in suspects:
        listed.setdefault(its["finding"].partition(" of ")[0], []).append(int(its["row"]) - 1)
    assert listed == {
        "replacement characters": [20],
        "mojibake": [21],
        "control characters": [22],
        "without words": [23, 24],
        "very long": [25],
        "equal text with another label": [11, 12],
        "duplicate": [3, 12],
        "duplicate in another split": [75],
        "near-duplicate": [9],
        "near-duplicate in another split": [80],
    }
    assert {name: its["rows"] for name, its in found["flagged"].items()} == {
        name: len(its) for name, its in listed.items()
    }
    near = next(its for its in suspects if its["finding"].startswith("near-duplicate of"))
    assert near == {
        "file": "a.csv", "row": "10", "split": "train", "text": rows[9]["text"], "label": "good",
        "finding": "near-duplicate of a.csv row 8, labelled good",
    }  # fmt: skip


def test_a_duplicate_of_a_removed_row_is_still_reported(tmp_path):
    rows = plain_rows()
    rows[75]["text"], rows[5]["split"] = rows[5]["text"], "removed"
    found, suspects = check(tmp_path, rows)
    assert found["flagged"]["duplicate in another split"]["rows"] == 1
    assert [(its["row"], its["split"]) for its in suspects] == [("76", "test")]
    assert found["splits"]["removed"]["rows"] == 1


@pytest.mark.parametrize("strict", [{"max_leaks": 0.0}, {"max_share": 0.001}, {"max_giveaway": 0.3}])
def test_each_exceeded_limit_is_reported_with_its_flag(tmp_path, strict):
    rows = plain_rows()
    rows[75]["text"], rows[20]["text"] = rows[5]["text"], "caf\ufffd"
    for row in rows[:60:2]:
        row["text"] += " id4711"
    found, _suspects = check(tmp_path, rows)
    assert find_exceeded(found, CheckLimits(max_giveaway=0.9)) == []
    lines = find_exceeded(found, CheckLimits(**{"max_giveaway": 0.9} | strict))
    assert len(lines) == 1
    assert f"more than --{next(iter(strict)).replace('_', '-')} " in lines[0]


def test_keras_arrays_have_equal_findings_with_and_without_a_word_index(tmp_path):
    for name in ("with_index", "without"):
        (tmp_path / name).mkdir()
        write_imdb(tmp_path / name)
        Dataset(name="imdb", sha256="0", labels=("negative", "positive")).write(tmp_path / name)
    (tmp_path / "without" / "imdb_word_index.json").unlink()
    both = []
    for name in ("with_index", "without"):
        (tmp_path / f"{name}_out").mkdir()
        both.append(check_texts(tmp_path / name, tmp_path / f"{name}_out"))
    assert both[0]["splits"] == both[1]["splits"]
    assert both[0]["flagged"] == both[1]["flagged"]
    assert set(both[0]["splits"]) == {"train", "test"}


def test_only_a_sample_of_a_large_dataset_is_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(read_texts, "MAX_WORDS", 1000)
    monkeypatch.setattr(read_texts, "ROWS_PER_PART", 10)
    rows = plain_rows()
    rows[90]["text"] = rows[0]["text"]  # the first of a part, which is always checked
    found, suspects = check(tmp_path, rows)
    assert found["rows"]["all"] == 100
    assert 20 <= found["rows"]["checked"] <= 60
    (suspect,) = suspects
    assert (suspect["row"], suspect["text"]) == ("91", rows[90]["text"])
    assert suspect["finding"].startswith("duplicate in another split of a.csv row 1,")


def test_the_words_of_a_sample_do_not_grow_with_the_dataset(tmp_path, monkeypatch):
    monkeypatch.setattr(read_texts, "MAX_WORDS", 2_000)
    monkeypatch.setattr(read_texts, "ROWS_PER_PART", 20)
    found, _suspects = check(tmp_path, plain_rows() * 10)  # 40,000 words
    assert 25 <= found["rows"]["checked"] <= 70 + 20


def test_duplicates_map_to_a_training_row_and_label_conflicts_are_found():
    numbers, splits = np.array([7, 7, 7, 1, 1, 2]), np.array([2, 0, 3, 2, 1, 2], np.int8)
    assert first_mates(numbers, splits).tolist() == [1, 1, 1, 4, 4, 5]
    assert is_conflicting(np.array([0, 0, 0, 3]), np.array([1, 1, 0, 1])).tolist() == [True, True, True, False]
