from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest

from tasks.core.data_settings import DataSettings
from tasks.core.run_settings import RunSettings
from tasks.download import download
from tasks.encode import encode
from tasks.evaluation.predictions import Scores, by_label, read_scores, write_scores
from tasks.label_check import can_judge, estimate_shares, label_check, out_of_sample, rank_labels
from tasks.texts.downloaded import read_labels, read_rows
from tasks.texts.encoded import encoded_file
from tasks.texts.encoded import read_labels as read_encoded_labels
from tasks.texts.validation import rows_of_splits
from tests.support.metrics_page import DESCRIBED
from tests.support.small_runs import TRACED_SOONEST, small


def write_texts(path, count: int = 400) -> list[int]:
    """Write texts of your own with a few wrong labels, and return their rows."""
    rng, planted = np.random.default_rng(3), [17, 66, 157, 222, 309, 330]
    rows = []
    for row in range(1, count + 1):
        words = " ".join(f"w{word}" for word in rng.integers(0, 50, 8))
        said = "good" if (row % 2) ^ (row in planted) else "bad"
        rows.append(f"{said} {said}, {words} n{row}\t{'pos' if row % 2 else 'neg'}")
    path.write_text("\n".join(["text\tlabel", *rows]) + "\n")
    return planted


def fill_folders(tmp_path, probability: float) -> dict[str, Path]:
    """Write texts, and scores with this probability of each label, except of a wrong one, and return the folders."""
    write_texts(tmp_path / "own.tsv")
    folders = {name: tmp_path / name for name in ("downloaded", "scored", "baselined", "folder")}
    for folder in folders.values():
        folder.mkdir()
    download.function(settings=DataSettings(dataset=str(tmp_path / "own.tsv")), folder=folders["downloaded"])
    for split, labels in read_labels(folders["downloaded"]).items():
        probabilities = np.where(labels, probability, 1 - probability).astype(np.float32)
        if split == "train":
            probabilities[7] = 1 - probabilities[7]
        for name in ("scored", "baselined"):
            write_scores(folders[name], split, Scores(labels.astype(np.int8), probabilities))
    return folders


@pytest.mark.slow
def test_wrong_labels_are_listed_first_and_an_edited_list_stays(tmp_path, run):
    planted, lines = write_texts(tmp_path / "own.tsv"), (tmp_path / "own.tsv").read_text().splitlines()
    sections = {"model": TRACED_SOONEST, "training": {"epochs": 1}, "promotion": {"candidates": "best"}}
    first = run(small(None, data={"dataset": str(tmp_path / "own.tsv"), "maxlen": 16}, **sections))
    folder = first.pop("folder")
    assert set(first) <= DESCRIBED
    issues = pyarrow.csv.read_csv(folder / "label_issues.csv").to_pylist()
    assert [its["score"] for its in issues] == sorted((its["score"] for its in issues), reverse=True)
    assert {its["row"] for its in issues[:6]} == set(planted)
    for its in issues:
        assert its["file"] == "own.tsv"
        assert lines[its["row"]] == f"{its['text']}\t{its['label']}"
        assert {its["label"], its["likelier label"]} == {"neg", "pos"}
    assert {its["split"] for its in issues} <= {"train", "validation", "test"}
    assert first["label_issues"]["rows"] == len(issues)
    assert sum(its["rows"] for its in first["label_issues"]["by_label"]) == 400
    assert (folder / "report.html").read_text().count("likelier <b>") == min(len(issues), 20)


@pytest.mark.parametrize("values", [{}, {"whole_groups": True}, {"max_reviews": 50}, {"hosted": True}])
def test_scored_rows_map_to_downloaded_rows_with_the_same_labels(tmp_path, imdb, values):
    write_texts(tmp_path / "own.tsv")
    folders = {name: tmp_path / name for name in ("downloaded", "encoded")}
    for folder in folders.values():
        folder.mkdir()
    source = small(imdb).data if values.pop("hosted", False) else DataSettings(dataset=str(tmp_path / "own.tsv"))
    settings = source.model_copy(update=values)
    download.function(settings=settings, folder=folders["downloaded"])
    encode.function(downloaded=folders["downloaded"], settings=settings, folder=folders["encoded"])
    labels = read_labels(folders["downloaded"])
    for split, (source, rows) in rows_of_splits(folders["downloaded"], labels, settings).items():
        encoded = read_encoded_labels(encoded_file(folders["encoded"], split))
        assert labels[source][rows].tolist() == encoded.tolist()


def test_arrays_of_token_ids_are_shown_as_words(tmp_path, imdb):
    files, rows, texts = (column.to_pylist() for column in read_rows(imdb, "test", np.array([3, 70])).columns)
    assert files == ["test", "test"]
    assert rows == [4, 71]
    lists = np.load(imdb / "imdb.npz", allow_pickle=True)["x_test"]
    assert texts == [" ".join(f"word{rank}" for rank in lists[row]) for row in (3, 70)]


def test_labels_are_checked_by_default_only_for_own_texts():
    assert not RunSettings().checks_labels
    assert RunSettings(data={"dataset": "a.csv"}).checks_labels


def test_only_texts_outside_training_get_the_mean_score_of_both_models(tmp_path):
    labels = np.array([0, 1], np.int8)
    for model, probability in (("network", 0.2), ("linear", 0.4)):
        (tmp_path / model).mkdir()
        for split in ("train", "validation", "test"):
            write_scores(tmp_path / model, split, Scores(labels, np.full(2, probability, np.float32)))
    (tmp_path / "network" / "train.parquet").unlink()
    train, validation, test = out_of_sample(tmp_path / "network", tmp_path / "linear")
    assert train.probabilities.tolist() == read_scores(tmp_path / "linear", "train").probabilities.tolist()
    for its in (validation, test):
        assert its.labels.tolist() == [0, 1]
        assert its.probabilities == pytest.approx([0.3, 0.3])
    assert by_label(test.probabilities) == pytest.approx(np.array([[0.7, 0.3]] * 2))


def test_a_model_that_knows_nothing_calls_no_label_wrong(rng):
    labels = (np.arange(3000) >= 30).astype(np.int8)
    probabilities = by_label(np.clip(rng.normal(0.98, 0.01, 3000), 0.9, 0.999))
    assert not can_judge(labels, probabilities)
    assert can_judge(labels, by_label(np.where(labels, 0.9, 0.1)))


def test_rare_labels_are_not_suspected_as_such_and_wrong_ones_of_frequent_labels_are_found(rng):
    labels = np.repeat(np.arange(3), [4, 1000, 1000])
    probabilities = np.full((2004, 3), 0.1)
    probabilities[np.arange(2004), labels] = rng.uniform(0.6, 0.9, 2004)
    probabilities[:4] = [0.15, 0.5, 0.35]  # of the rare label: a frequent one is more probable, as in all its rows
    probabilities[[9, 1500]] = [[0.05, 0.1, 0.85], [0.05, 0.85, 0.1]]
    likelier, contradiction = rank_labels(labels, probabilities)
    assert np.flatnonzero(likelier != labels).tolist() == [9, 1500]
    assert likelier[[9, 1500]].tolist() == [2, 1]
    assert set(np.argsort(-contradiction)[:2].tolist()) == {9, 1500}
    shares = {its["label"]: its["wrong"] for its in estimate_shares(labels, probabilities, ["a", "b", "c"])}
    assert shares["a"] == 0
    assert 0 < shares["b"] < 0.01


def test_a_label_less_probable_than_the_row_s_own_is_not_called_likelier():
    labels = np.repeat(np.arange(3), [1000, 1000, 20])
    probabilities = np.repeat([[0.85, 0.13, 0.02], [0.13, 0.85, 0.02], [0.5, 0.45, 0.05]], [1000, 1000, 20], axis=0)
    probabilities[5] = [0.3, 0.66, 0.04]  # 0.04 is near the mean of the rare label in its rows, and 0.66 is not
    likelier, _contradiction = rank_labels(labels, probabilities)
    assert likelier[5] == 1
    assert np.flatnonzero(likelier != labels).tolist() == [5]


def test_without_an_estimate_no_row_is_listed(tmp_path):
    folders = fill_folders(tmp_path, 0.5)
    assert label_check.function(data=DataSettings(dataset=str(tmp_path / "own.tsv")), **folders) == {
        "rows": 0,
        "by_label": None,
    }
    assert pyarrow.csv.read_csv(folders["folder"] / "label_issues.csv").num_rows == 0


def test_a_split_without_label_issues_is_not_listed(tmp_path):
    folders = fill_folders(tmp_path, 0.9)
    found = label_check.function(data=DataSettings(dataset=str(tmp_path / "own.tsv")), **folders)
    assert found["rows"] == 1
    assert pyarrow.csv.read_csv(folders["folder"] / "label_issues.csv")["split"].to_pylist() == ["train"]
