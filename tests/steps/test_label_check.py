import numpy as np
import pyarrow.csv
import pytest

from tasks.core.settings import RunSettings
from tests.support.metrics_page import DESCRIBED
from tests.support.small_runs import TRACED_SOONEST, small

SECTIONS = {"model": TRACED_SOONEST, "training": {"epochs": 1}}


def write_texts(path, count: int = 400) -> list[int]:
    """Write texts of your own with a few wrong labels, and return their rows."""
    rng, planted = np.random.default_rng(3), [17, 100, 151, 222, 309, 318]
    rows = []
    for row in range(1, count + 1):
        words = " ".join(f"w{word}" for word in rng.integers(0, 50, 8))
        said = "good" if (row % 2) ^ (row in planted) else "bad"
        rows.append(f"{said} {said}, {words} n{row}\t{'pos' if row % 2 else 'neg'}")
    path.write_text("\n".join(["text\tlabel", *rows]) + "\n")
    return planted


@pytest.mark.parametrize("whole_groups", [False, True])
def test_wrong_labels_are_listed_first_with_their_file_and_row(tmp_path, run, whole_groups):
    planted = write_texts(tmp_path / "own.tsv")
    data = {"dataset": str(tmp_path / "own.tsv"), "maxlen": 16, "whole_groups": whole_groups}
    metrics = run(small(None, data=data, **SECTIONS))
    assert metrics.keys() <= DESCRIBED
    issues = pyarrow.csv.read_csv(metrics["folder"] / "label_issues.csv").to_pylist()
    assert [its["score"] for its in issues] == sorted((its["score"] for its in issues), reverse=True)
    assert {its["row"] for its in issues[:6]} == set(planted)
    lines = (tmp_path / "own.tsv").read_text().splitlines()
    for its in issues:
        assert its["file"] == "own.tsv"
        assert lines[its["row"]] == f"{its['text']}\t{its['label']}"
        assert {its["label"], its["likelier label"]} == {"neg", "pos"}
        assert its["split"] in ("train", "validation", "test")
    assert metrics["label_issues"]["rows"] == len(issues)
    assert sum(its["rows"] for its in metrics["label_issues"]["by_label"]) == 400
    page = (metrics["folder"] / "report.html").read_text()
    assert page.count("· labelled <b>") >= len(planted)
    assert "Labels that are probably wrong" in page


def test_the_labels_of_hosted_texts_are_checked_if_asked(imdb, run):
    assert not RunSettings().checks_labels
    metrics = run(small(imdb, evaluation={"label_issues": True}, **SECTIONS))
    issues = pyarrow.csv.read_csv(metrics["folder"] / "label_issues.csv").to_pylist()
    assert {its["file"] for its in issues} <= {"train", "test"}
    assert all(its["text"].startswith("word") for its in issues)
