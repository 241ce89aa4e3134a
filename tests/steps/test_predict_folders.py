import os
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import flows.predict_flow
import tasks.predict
import tasks.texts.tables.text_decoding
from flows.predict_flow import plan_scoring, predict_flow
from flows.runners import map_over
from tasks.core.errors import InputError
from tasks.predict import files_to_score, predict_files, score_batch, score_file
from tests.support.scoring import ask, ignore


def test_a_folder_of_texts_per_label_is_scored_into_one_table(champion, classifier, tmp_path, prefect_server, caplog):
    for name, text in (("train/pos/1_9.txt", "good film"), ("train/neg/0_2.txt", "bad"), ("test/pos/2_7.txt", "good"),
                       ("train/unsup/3_0.txt", "unlabelled"), ("README.txt", "about")):  # fmt: skip
        (tmp_path / "acl" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "acl" / name).write_text(text)
    output = tmp_path / "scored.parquet"
    (scored,) = predict_flow(ask(tmp_path / "acl", output))["files"]
    assert (scored["input"], scored["output"], scored["rows"]) == (str(tmp_path / "acl"), str(output), 3)
    table = pq.read_table(output)
    assert table.select(["text", "label", "file"]).to_pylist() == [
        {"text": "good", "label": "pos", "file": "test/pos/2_7.txt"},
        {"text": "bad", "label": "neg", "file": "train/neg/0_2.txt"},
        {"text": "good film", "label": "pos", "file": "train/pos/1_9.txt"},
    ]
    assert np.allclose(table["probability"].to_numpy(), classifier.predict(table["text"].combine_chunks()), atol=1e-6)
    assert "README.txt skipped; expected a folder of .txt files per label" in caplog.text
    (tmp_path / "acl/README.txt").unlink()
    assert predict_flow(ask(tmp_path / "acl", tmp_path / "out"))["files"] == []
    assert (
        "train/ skipped; expected files in .csv, .tsv, .parquet, .jsonl, .json, .txt; to score a folder" in caplog.text
    )
    (tmp_path / "acl/more.csv").write_text("text\ngood\n")
    with pytest.raises(InputError, match=r"mixes layouts: more.csv and test/pos/2_7.txt"):
        predict_flow(ask(tmp_path / "acl", output))


def test_a_file_of_a_folder_with_existing_scores_is_not_scored_again(classifier, tmp_path):
    inbox, outbox = tmp_path / "in", tmp_path / "out"
    inbox.mkdir()
    (inbox / "a.txt").write_text("good\n")
    asked = (classifier, inbox / "a.txt", outbox / "a.txt.parquet", ask(inbox, outbox), [].append)
    assert score_file(*asked)["rows"] == 1
    assert score_file(*asked) is None


def test_a_file_of_a_folder_that_is_replaced_is_scored_again(
    champion, classifier, tmp_path, monkeypatch, prefect_server, caplog
):
    (tmp_path / "in").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "in" / name).write_text("text\ngood\n")
    asked = ask(tmp_path / "in", tmp_path / "out", model="1")
    monkeypatch.setattr(flows.predict_flow, "find_version", lambda *_arguments: classifier)
    assert len(predict_flow(asked)["files"]) == 2
    newer = tmp_path / "newer.csv"
    newer.write_text("text\nbad\nfilm\n")
    os.utime(newer, (0, 0))  # written before the scores, moved to its place after them
    newer.rename(tmp_path / "in" / "a.csv")
    plans = plan_scoring(asked)
    assert [(plan.step, plan.status) for plan in plans] == [("a.csv", "runs"), ("b.csv", "cached")]
    assert plans[0].cause.endswith("a.csv.parquet, by imdb-classifier version 1; it has changed since it was scored")
    (scored,) = predict_flow(asked)["files"]
    assert (scored["input"], scored["rows"]) == (str(tmp_path / "in" / "a.csv"), 2)
    assert pq.read_table(scored["output"])["text"].to_pylist() == ["bad", "film"]
    assert [its.message for its in caplog.records if "changed" in its.message] == [
        f"{tmp_path / 'in' / 'a.csv'} has changed since it was scored, and is scored again"
    ]
    (tmp_path / "in" / "b.csv").touch()
    assert predict_flow(asked)["files"] == []


def test_only_files_that_have_changed_are_hashed(champion, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.txt").write_text("good\n")
    asked = ask(tmp_path / "in", tmp_path / "out")
    assert len(predict_files(asked, "", ignore)["files"]) == 3
    monkeypatch.setattr(tasks.predict, "hash_file", pytest.fail)
    assert files_to_score(asked) == []


def test_a_file_that_is_replaced_while_it_is_scored_is_scored_again(champion, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("good\n")

    def replaced(*arguments):
        time.sleep(0.05)  # a file's time is only as fine as the kernel's clock
        (tmp_path / "in" / "a.txt").write_text("bad\nfilm\n")
        return score_batch(*arguments)

    monkeypatch.setattr(tasks.predict, "score_batch", replaced)
    asked = ask(tmp_path / "in", tmp_path / "out")
    assert predict_files(asked, "", ignore)["files"][0]["rows"] == 1
    assert predict_files(asked, "", ignore)["files"][0]["rows"] == 2


def test_scores_that_someone_else_has_written_stay(champion, tmp_path):
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
    pq.write_table(pa.table({"n": [1]}), tmp_path / "out" / "a.txt.parquet")
    (tmp_path / "out" / "b.txt.parquet").write_text("not Parquet")
    for name in "ab":
        (tmp_path / "in" / f"{name}.txt").write_text("good\n")
    assert predict_files(ask(tmp_path / "in", tmp_path / "out"), "", ignore)["files"] == []


def test_parallel_scoring_skips_files_that_another_command_has_scored(champion, tmp_path, monkeypatch, prefect_server):
    inbox, outbox, scored = tmp_path / "in", tmp_path / "out", []
    inbox.mkdir()
    for name in "ab":
        (inbox / f"{name}.txt").write_text("good\n")

    def count(*arguments):
        scored.append(arguments)
        return score_batch(*arguments)

    def another_command_first(*arguments):
        predict_files(ask(inbox, outbox), "", ignore)
        return map_over(*arguments)

    monkeypatch.setattr(tasks.predict, "score_batch", count)
    monkeypatch.setattr(flows.predict_flow, "map_over", another_command_first)
    predict_flow(ask(inbox, outbox, model="1", runner="threads"))
    assert len(scored) == 2


def test_an_inbox_that_nobody_has_made_yet_is_empty(store, prefect_server, tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "artifacts").symlink_to(store)
    monkeypatch.chdir(tmp_path / "project")
    assert predict_flow(ask("artifacts/inbox", "artifacts/scored")) == {"files": [], "refused": []}
    with pytest.raises(InputError, match="no such file or folder"):
        predict_flow(ask("artifacts/outbox", "artifacts/scored"))


def test_each_file_in_a_folder_is_scored_once(champion, tmp_path):
    inbox, outbox = tmp_path / "in", tmp_path / "out"
    inbox.mkdir()
    assert predict_files(ask(inbox, outbox), "", ignore) == {"files": [], "refused": []}
    (inbox / "a.txt").write_text("good\n")
    first = predict_files(ask(inbox, outbox), "", ignore)
    (inbox / "b.txt").write_text("bad\nfilm\n")
    second = predict_files(ask(inbox, outbox), "", ignore)
    assert [[file["rows"] for file in its["files"]] for its in (first, second)] == [[1], [2]]
    assert predict_files(ask(inbox, outbox), "", ignore) == {"files": [], "refused": []}
    assert sorted(path.name for path in outbox.iterdir()) == ["a.txt.parquet", "b.txt.parquet"]


def test_an_export_without_rows_fails_no_run_of_its_folder(champion, tmp_path, prefect_server, caplog):
    for name, content in (("a.csv", "text\ngood\n"), ("b.csv", "text\n"), ("c.csv", "")):
        (tmp_path / name).write_text(content)
    for count in (1, 0):
        assert len(predict_flow(ask(tmp_path, tmp_path / "out"))["files"]) == count
        assert caplog.text.count("skipped: ") == 2 * (2 - count)


def test_a_file_that_cannot_be_scored_does_not_stop_later_files(champion, tmp_path, prefect_server):
    inbox, outbox = tmp_path / "in", tmp_path / "out"
    inbox.mkdir()
    (inbox / "a.csv").write_text("words\ngood\n")
    (inbox / "b.txt").write_text("bad\n")
    with pytest.raises(InputError, match=r"a\.csv: has no column 'text'"):
        predict_flow(ask(inbox, outbox))
    assert [path.name for path in outbox.iterdir()] == ["b.txt.parquet"]


def test_progress_is_reported_across_all_files(champion, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        (tmp_path / "in" / f"{name}.txt").write_text("good\n")
    reported: list = []
    predict_files(ask(tmp_path / "in", tmp_path / "out"), "", lambda *its: reported.append(its))
    assert reported == [(0.5, "a.txt"), (1.0, "b.txt")]


def test_suffixes_match_in_any_case_and_skipped_files_are_named(champion, tmp_path, prefect_server, caplog):
    (tmp_path / "in").mkdir()
    for name in ("a.txt", "B.TXT", "c.txt.zip"):
        (tmp_path / "in" / name).write_text("good\n")
    assert [file["rows"] for file in predict_flow(ask(tmp_path / "in", tmp_path / "out"))["files"]] == [1, 1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["B.TXT.parquet", "a.txt.parquet"]
    assert "c.txt.zip skipped; expected files in .csv, .tsv, .parquet, .jsonl, .json, .txt" in caplog.text
