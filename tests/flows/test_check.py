"""`imdb-pipeline check`: its output and files, and the findings in a run."""

import csv
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from flows import command
from tests.support.web import serving

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def texts(tmp_path) -> Path:
    """A file of 300 texts: some contain an id that gives away the label, and two are near-duplicates."""
    rng, words = random.Random(1), [f"word{letter}{other}" for letter in "abcdefgh" for other in "klmnop"]
    rows = [[" ".join(rng.choices(words, k=30)), "yes" if row % 2 else "no"] for row in range(300)]
    for row in range(1, 121, 2):
        rows[row][0] += " ref4711"
    rows[200][0] = rows[100][0] + " indeed"
    path = tmp_path / "tickets.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["body", "urgent"], *rows])
    return path


FLAGS = ("--data.text-column", "body", "--data.label-column", "urgent")


@pytest.fixture
def call(monkeypatch, capsys, store):
    """A function that runs `imdb-pipeline check` and returns its status, output and errors."""

    def run(*words: str):
        monkeypatch.setattr(sys, "argv", ["imdb-pipeline", "check", *words])
        return command.main(), *capsys.readouterr()

    return run


def test_findings_are_printed_and_saved(texts, call, store):
    status, output, _errors = call(str(texts), *FLAGS)
    assert status == 0
    folder = (store / "checks" / "latest").resolve()
    assert sorted(path.name for path in folder.iterdir()) == ["check.html", "check.json", "suspects.csv"]
    assert folder.name.endswith("-tickets")
    for shown in ("300 texts", "near-duplicate", "ref4711", "No finding is above its limit", str(folder)):
        assert shown in output
    page = (folder / "check.html").read_text()
    assert "ref4711" in page
    assert "http" not in page.replace("http-equiv", "")
    found = json.loads((folder / "check.json").read_text())
    assert [its["phrase"] for its in found["giveaways"]] == ["ref4711"]
    assert found["flagged"]["near-duplicate"]["rows"] == 1
    with (folder / "suspects.csv").open(newline="") as file:
        suspects = list(csv.DictReader(file))
    assert ("201", "near-duplicate of tickets.csv row 101, labelled no") in [
        (its["row"], its["finding"]) for its in suspects
    ]


def test_texts_at_a_url_are_downloaded_again_only_with_refresh(texts, call):
    with serving(texts.parent) as (url, seen):
        for flag, age in (("", "read"), ("", "the copy in the store is used; --data.refresh reads it again"),
                          ("--data.refresh", "read again: unchanged")):  # fmt: skip
            status, output, errors = call(f"{url}/plain/tickets.csv", *FLAGS, *filter(None, [flag]))
            assert (status, "300 texts" in output, f"/plain/tickets.csv: {age}\n" in errors) == (0, True, True)
        assert seen["/plain/tickets.csv"] == 2


def test_strict_exits_with_one_if_a_limit_is_exceeded(texts, call):
    assert call(str(texts), *FLAGS, "--strict")[0] == 0
    status, output, _errors = call(str(texts), *FLAGS, "--strict", "--max-giveaway", "0.3")
    assert status == 1
    assert "'ref4711' gives away yes: 0.4, more than --max-giveaway 0.3" in output
    assert call(str(texts), *FLAGS, "--max-giveaway", "0.3")[0] == 0


def test_texts_that_a_run_would_refuse_are_reported(tmp_path, call):
    path = tmp_path / "names.csv"
    path.write_text("text,label\n" + "".join(f"name{row},{row % 2}\n" for row in range(300)))
    status, output, _errors = call(str(path), "--strict", "--json")
    (line,) = [line for line in json.loads(output)["exceeded"] if line.startswith("a run")]
    assert status == 1
    assert line.startswith("a run with --preset fast refuses these texts: 100.0% of the words")


def test_findings_are_printed_as_json_and_a_dry_run_checks_nothing(texts, call, store):
    status, output, _errors = call(str(texts), *FLAGS, "--json")
    assert (status, json.loads(output)["exceeded"]) == (0, [])
    status, output, _errors = call(str(texts), *FLAGS, "--dry-run", "--json")
    (plan,) = json.loads(output)
    assert (status, plan["step"], plan["status"]) == (0, "check", "runs")
    assert plan["cause"] == f"checks {texts} and writes to {store / 'checks'}"
    assert len(list((store / "checks").iterdir())) == 2  # one check, and `latest`


@pytest.mark.parametrize(
    ("content", "flags", "said", "expected"),
    [
        ("body,urgent\nfine,yes\nfine,\n", FLAGS, "row 2", 1),
        (None, FLAGS, "tickets.csv", 2),
        ("body,urgent\nfine,yes\n", (), "text", 1),
        ("body,urgent\nfine,yes\n", (*FLAGS, "--max-leaks", "two"), "--max-leaks", 2),
    ],
)
def test_bad_input_is_reported_in_one_line(texts, call, content, flags, said, expected):
    texts.unlink()
    if content:
        texts.write_text(content)
    status, output, errors = call(str(texts), *flags)
    assert (status, output) == (expected, "")
    assert len(errors.strip().splitlines()) == 1
    assert said in errors


def test_neither_prefect_nor_tensorflow_is_imported(texts, store):
    code = (
        "import sys; from flows.check_flow import main; status = main(); "
        "heavy = {'prefect', 'tensorflow', 'keras', 'mlflow', 'sklearn'} & set(sys.modules); "
        "print(sorted(heavy), status)"
    )
    command = [sys.executable, "-c", code, str(texts), *FLAGS]
    environment = {**os.environ, "ARTIFACTS_STORE": str(store), "PYTHONPATH": str(PROJECT)}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert ran.stdout.splitlines()[-1] == "[] 0", ran.stderr


def test_metrics_and_report_of_a_run_contain_the_findings(first_run):
    folder = first_run / "runs" / "latest"
    found = json.loads((folder / "metrics.json").read_text())["data_check"]
    assert found["rows"] == {"all": 320, "checked": 320}
    report = (folder / "report.html").read_text()
    assert "The texts before training" in report
    assert "near-duplicate in another split" in report
