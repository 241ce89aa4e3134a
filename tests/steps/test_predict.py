import hashlib
import itertools
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tasks.predict
import tasks.texts.tables.text_decoding
from flows.predict_flow import predict_flow
from tasks.core.errors import InputError
from tasks.predict import predict_files, score_batch, score_file
from tasks.texts.tables.reading import read_batches
from tests.support.scoring import ask, ignore
from tests.support.small_runs import SIX_WORDS


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


def test_explained_texts_are_kept_a_few_at_a_time(classifier, tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("good\n" * 5)
    monkeypatch.setattr(tasks.predict, "ROWS_EXPLAINED", 2)
    sizes = []
    score = tasks.predict.score_batch
    monkeypatch.setattr(tasks.predict, "score_batch", lambda *its: sizes.append(len(its[1])) or score(*its))
    output = tmp_path / "a.parquet"
    assert score_file(classifier, tmp_path / "a.txt", output, ask("a.txt", output, explain=1), [].append)["rows"] == 5
    assert sizes == [2, 2, 1]


def test_rows_without_a_known_word_are_counted_in_the_log(champion, prefect_server, tmp_path, caplog):
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
