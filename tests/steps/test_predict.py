import hashlib
import itertools
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import flows.predict_flow
import tasks.predict
import tasks.texts.tables.text_decoding
from flows.predict_flow import plan_scoring, predict_flow
from flows.runners import map_over
from tasks.core.command_settings import PredictSettings
from tasks.core.errors import InputError
from tasks.predict import files_to_score, predict_files, score_batch, score_file
from tasks.texts.tables.reading import read_batches
from tests.support.small_runs import SIX_WORDS


def ignore(_share, _name) -> None:
    """Show no progress."""


def ask(source, output, **values) -> PredictSettings:
    return PredictSettings(input=str(source), output=str(output), **values)


def test_scores_are_added_to_the_columns_of_every_input_format(classifier, tmp_path):
    its = [{"id": str(row), "text": "good film" if row % 2 else "bad, bad film"} for row in range(20)]
    (tmp_path / "a.csv").write_text("id,text\n" + "".join(f'{row["id"]},"{row["text"]}"\n' for row in its))
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in its))
    pq.write_table(pa.Table.from_pylist(its), tmp_path / "c.parquet")
    (tmp_path / "d.txt").write_text("".join(row["text"] + "\n" for row in its))
    tables = []
    for name in ("a.csv", "b.jsonl", "c.parquet", "d.txt"):
        output = tmp_path / f"{name}.scored.parquet"
        assert score_file(classifier, tmp_path / name, output, ask(name, output), [].append)["rows"] == 20
        tables.append(pq.read_table(output))
    expected = classifier.predict(pa.array([row["text"] for row in its]))
    for table in tables:
        assert np.allclose(table["probability"].to_numpy(), expected, atol=1e-6)
        assert set(table["predicted_label"].to_pylist()) <= {"negative", "positive"}
        assert table.schema.metadata[b"model"] == b"imdb-classifier version 1"
        assert table.schema.metadata[b"dataset_sha256"] == b"0" * 64
    assert [table.column_names[:-2] for table in tables] == [["id", "text"]] * 3 + [["text"]]
    assert tables[0].select(["id", "text"]).to_pylist() == its
    sha256 = hashlib.sha256((tmp_path / "a.csv").read_bytes()).hexdigest()
    assert tables[0].schema.metadata[b"input_sha256"] == sha256.encode()


@pytest.mark.parametrize("name", ["scored.csv", "scored.jsonl"])
def test_the_suffix_of_the_output_determines_its_format(champion, classifier, tmp_path, name):
    source, output = tmp_path / "a.jsonl", tmp_path / name
    its = [{"n": None, "text": 'good, "film"\nà'}, {"text": "bad", "n": 7, "more": {"a": [1, "é"]}}]
    source.write_text("\n".join(map(json.dumps, its)))
    assert predict_files(ask(source, output), "", ignore)["files"][0]["rows"] == 2
    found = [row for batch in read_batches(output) for row in batch.to_pylist()]
    expected = classifier.predict(pa.array([row["text"] for row in its]))
    assert [row["text"] for row in found] == [row["text"] for row in its]
    assert np.allclose([float(row["probability"]) for row in found], expected, atol=1e-6)
    assert {row["predicted_label"] for row in found} <= {"negative", "positive"}
    assert [json.loads(row["more"]) if row["more"] else None for row in found] == [None, {"a": [1, "é"]}]
    assert [row["n"] and int(row["n"]) for row in found] == [None, 7]
    assert sorted(path.name for path in tmp_path.iterdir() if "lock" not in path.name) == ["a.jsonl", name]


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


def test_interrupted_scoring_resumes_after_the_last_finished_part(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks.texts.tables.text_decoding, "ROWS_PER_BATCH", 5)
    source, output = tmp_path / "a.txt", tmp_path / "scored.parquet"
    source.write_text("".join(f"{SIX_WORDS[row % 6]} film\n" for row in range(23)))
    scored, number = [], itertools.count(1)

    def cut_short(_classifier, batch, *arguments):
        if next(number) == 3:
            raise KeyboardInterrupt
        scored.append(len(batch))
        return real(_classifier, batch, *arguments)

    real = tasks.predict.score_batch
    monkeypatch.setattr(tasks.predict, "score_batch", cut_short)
    with pytest.raises(KeyboardInterrupt):
        score_file(classifier, source, output, ask(source, output), [].append)
    assert not output.exists()
    assert score_file(classifier, source, output, ask(source, output), [].append)["rows"] == 23
    assert scored == [5, 5, 5, 5, 3]
    texts = source.read_text().splitlines()
    assert pq.read_table(output)["text"].to_pylist() == texts
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "scored.parquet"]


def test_only_one_command_at_a_time_scores_to_an_output(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks.texts.tables.text_decoding, "ROWS_PER_BATCH", 5)
    output = tmp_path / "scored.parquet"
    sources = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for source, word in zip(sources, ("good", "bad"), strict=True):
        source.write_text(f"{word} film\n" * 23)
    real, at_work, most = tasks.predict.score_batch, [], []

    def slow(*arguments):
        at_work.append(threading.get_ident())
        most.append(len(set(at_work)))
        time.sleep(0.02)
        try:
            return real(*arguments)
        finally:
            at_work.remove(threading.get_ident())

    monkeypatch.setattr(tasks.predict, "score_batch", slow)
    with ThreadPoolExecutor(2) as both:
        scoring = [both.submit(score_file, classifier, its, output, ask(its, output), [].append) for its in sources]
    assert [its.result()["rows"] for its in scoring] == [23, 23]
    assert max(most) == 1
    assert len(set(pq.read_table(output)["text"].to_pylist())) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt", "scored.parquet"]


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


def test_scoring_restarts_if_a_different_model_has_the_same_name(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks.texts.tables.text_decoding, "ROWS_PER_BATCH", 5)
    source, output = tmp_path / "a.txt", tmp_path / "scored.parquet"
    source.write_text("good film\n" * 12)
    before = replace(classifier, sha256="1" * 64, score=lambda padded: np.zeros(len(padded.lengths), np.float32))
    batches = itertools.count(1)

    def cut_short(*arguments):
        if next(batches) == 2:
            raise KeyboardInterrupt
        return score_batch(*arguments)

    monkeypatch.setattr(tasks.predict, "score_batch", cut_short)
    with pytest.raises(KeyboardInterrupt):
        score_file(before, source, output, ask(source, output), [].append)
    score_file(classifier, source, output, ask(source, output), [].append)
    table = pq.read_table(output)
    assert len(set(table["probability"].to_pylist())) == 1
    assert table.schema.metadata[b"model_sha256"] == classifier.sha256.encode()


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


def test_explained_texts_are_kept_a_few_at_a_time(classifier, tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("good\n" * 5)
    monkeypatch.setattr(tasks.predict, "ROWS_EXPLAINED", 2)
    sizes = []
    score = tasks.predict.score_batch
    monkeypatch.setattr(tasks.predict, "score_batch", lambda *its: sizes.append(len(its[1])) or score(*its))
    output = tmp_path / "a.parquet"
    assert score_file(classifier, tmp_path / "a.txt", output, ask("a.txt", output, explain=1), [].append)["rows"] == 5
    assert sizes == [2, 2, 1]


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


def test_rows_without_a_known_word_are_counted_in_the_log(champion, tmp_path, caplog):
    (tmp_path / "a.csv").write_text('text\ngood\n""\nzzzz qqqq\n')
    result = predict_flow(ask(tmp_path / "a.csv", tmp_path / "scored.csv"))
    assert result["files"][0]["no_known_words"] == 2
    assert "a.csv: rows without a known word, whose labels mean nothing: 2" in caplog.text


def test_drift_from_the_training_texts_is_detected(classifier, tmp_path):
    source, output = tmp_path / "a.txt", tmp_path / "scored.parquet"
    source.write_text("good film the a bad it's film\n" * 300)
    scored = score_file(classifier, source, output, ask(source, output), [].append)
    assert scored["drifted"]
    assert scored["drift"]["length"] > 0.25
    metadata = pq.read_schema(output).metadata
    assert json.loads(metadata[b"drift"]) == scored["drift"]
    assert json.loads(metadata[b"profile"])["lengths"] == [0, 0, 300]
    few = score_file(classifier, source, output, ask(source, output, min_drift_rows=301), [].append)
    assert not few["drifted"]
    assert not score_file(classifier, source, output, ask(source, output, max_drift=99), [].append)["drifted"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "id,words\n1,good\n", "has no column 'text', only id, words; name it with --text-column"),
        ("a.csv", "text,probability\ngood,1\n", "has a column 'probability' already; rename it"),
        ("a.jsonl", '{"text": "good"}\n{"text": null}\n', "row 2 has no text"),
        ("a.jsonl", '{"text": "good"}\nno json\n', "expected one JSON object per line"),
        ("a.parquet", "no parquet", "expected a Parquet file"),
        ("a.txt", "", "has no rows to score"),
        ("a.doc", "good", r"expected a file that ends in \.csv"),
    ],
)
def test_input_that_cannot_be_scored_is_refused_and_nothing_is_written(
    champion, tmp_path, prefect_server, name, content, message
):
    (tmp_path / name).write_text(content)
    output = tmp_path / "scored.parquet"
    with pytest.raises(InputError, match=message):
        predict_flow(ask(tmp_path / name, output))
    assert not output.exists()


@pytest.mark.parametrize("name", ["scores.csv", "scores.jsonl"])
def test_columns_the_output_cannot_hold_are_refused_before_scoring(champion, tmp_path, monkeypatch, name):
    columns = {"text": ["good"], "raw": pa.array([b"\0"], pa.large_binary()), "tree": [{"a": [1]}]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    monkeypatch.setattr(tasks.predict, "score_batch", pytest.fail)
    refused = predict_files(ask(tmp_path / "a.parquet", tmp_path / name), "", ignore)["refused"]
    lost = "'raw' (large_binary)" + (", 'tree' (struct<a: list<element: int64>>)" if name == "scores.csv" else "")
    assert f"cannot hold the columns {lost}; remove them, or write Parquet" in refused[0]
    assert sorted(path.name for path in tmp_path.iterdir() if "lock" not in path.name) == ["a.parquet"]


@pytest.mark.parametrize(
    ("source", "output", "message"),
    [
        ("in", "in", "in: has the texts, which scores must not replace; name another place with --output"),
        ("in", "link", "link: has the texts"),
        ("in", "in/a.parquet", r"because .*in/a\.parquet is a file; name another place"),
        ("in/a.parquet", "in/a.parquet", r"a\.parquet: has the texts, which scores must not replace"),
        ("in/a.parquet", "link/a.parquet", r"a\.parquet: has the texts"),
        ("in/a.parquet", "in", "in: scores are not written so; name a file that ends in .parquet, .csv, .jsonl"),
        ("in/a.parquet", "in/a.parquet/b.parquet", r"because .*in/a\.parquet is a file; name another place"),
        ("in", "in/a.parquet/out", r"because .*in/a\.parquet is a file; name another place"),
        ("in/a.parquet", "scores.tsv", "scores are not written so; name a file that ends in .parquet, .csv, .jsonl"),
        ("nowhere", "out", "nowhere: no such file or folder"),
        ("in", "scores.csv", "the input is a folder of tables; name a folder for the scores of each"),
    ],
)
def test_invalid_paths_are_refused_before_a_model_is_loaded(tmp_path, monkeypatch, source, output, message):
    monkeypatch.setattr(tasks.predict, "load_classifier", pytest.fail)
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    pq.write_table(pa.table({"text": ["good"]}), tmp_path / "in" / "a.parquet")
    before = (tmp_path / "in" / "a.parquet").read_bytes()
    with pytest.raises(InputError, match=message):
        predict_files(ask(tmp_path / source, tmp_path / output), "", ignore)
    assert (tmp_path / "in" / "a.parquet").read_bytes() == before
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.parquet"]


def test_suffixes_match_in_any_case_and_skipped_files_are_named(champion, tmp_path, prefect_server, caplog):
    (tmp_path / "in").mkdir()
    for name in ("a.txt", "B.TXT", "c.txt.zip"):
        (tmp_path / "in" / name).write_text("good\n")
    assert [file["rows"] for file in predict_flow(ask(tmp_path / "in", tmp_path / "out"))["files"]] == [1, 1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["B.TXT.parquet", "a.txt.parquet"]
    assert "c.txt.zip skipped; expected files in .csv, .tsv, .parquet, .jsonl, .json, .txt" in caplog.text
