"""Labels in the formats of fastText, Prodigy, spaCy and Hugging Face."""

import gzip
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.data_settings import SourceSettings
from tasks.core.errors import InputError
from tasks.texts.sources.own_files import fetch_own
from tasks.texts.tables.annotations import IGNORED
from tasks.texts.tables.table_files import LABELLED, table_files
from tests.support.labelled_texts import LABELS, TEXTS, read

LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\ufeff"), max_size=40).filter(
    lambda text: "__label__" not in text and not text.endswith("\r")
)


@given(st.lists(st.tuples(LINES, LABELS), min_size=1, max_size=9), st.sampled_from(["a.txt", "a.ft", "a.txt.gz"]))
@settings(deadline=None, max_examples=40)
def test_fasttext_files_are_read_unchanged(rows, name):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        content = "".join(f"__label__{label} {text}\n" for text, label in rows).encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        assert table_files(Path(folder), LABELLED) == [path]
        assert read(path) == rows


def test_unlabelled_lines_have_a_null_label_and_blank_lines_are_skipped(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("__label__spam\tbuy now\n\njust text\n__label__\n  \n")
    assert read(path) == [("buy now", "spam"), ("just text", None), ("", "")]


@pytest.mark.parametrize("line", ["__label__a __label__b text", "__label__a text\t__label__b", "text __label__b"])
def test_a_line_with_several_labels_is_refused_with_its_number(tmp_path, line):
    path = tmp_path / "a.txt"
    path.write_text(f"__label__spam some text\n\n{line}\n")
    with pytest.raises(InputError, match=r"a.txt: line 3 has several labels; expected one __label__, at the start"):
        read(path)


def test_text_files_without_fasttext_labels_are_skipped(tmp_path):
    for name, content in (("a.txt", b"__label_spam text"), ("b.txt.gz", b"no gzip"), ("c.txt", b"")):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"a.txt, b.txt.gz, c.txt skipped; expected files in .csv"):
        table_files(tmp_path, LABELLED)


def lines(*records: dict) -> str:
    return "".join(f"{json.dumps(record)}\n" for record in records)


@pytest.mark.parametrize(
    ("record", "label"),
    [
        ({"label": "SPAM", "answer": "accept"}, "SPAM"),
        ({"label": "SPAM", "answer": "reject"}, "not SPAM"),
        ({"label": "SPAM", "answer": "ignore"}, IGNORED),
        ({"answer": "ignore"}, IGNORED),
        ({"label": "SPAM", "answer": "forty-two"}, "SPAM"),
        ({"label": None, "answer": "reject"}, None),
        ({"accept": ["A"], "options": [{"id": "A"}, {"id": "B"}], "answer": "accept"}, "A"),
        ({"accept": [], "answer": "accept"}, None),
        ({"cats": {"POSITIVE": 1.0, "NEGATIVE": 0.0}}, "POSITIVE"),
        ({"cats": {"POSITIVE": False, "NEGATIVE": True}}, "NEGATIVE"),
        ({"cats": {"POSITIVE": 0.0}}, "not POSITIVE"),
        ({"cats": {"A": 0.2, "B": 0.1}}, None),
        ({"cats": {"A": 1.0, "B": 1.0}, "label": "B"}, "B"),
    ],
)
def test_labels_are_read_from_prodigy_and_spacy_fields(tmp_path, record, label):
    (tmp_path / "a.jsonl").write_text(lines({"text": "first", "label": "x"}, {"text": "second"} | record))
    (tmp_path / "a.json").write_text(json.dumps([{"text": "first", "label": "x"}, {"text": "second"} | record]))
    assert read(tmp_path / "a.jsonl") == read(tmp_path / "a.json") == [("first", "x"), ("second", label)]


@given(st.lists(st.tuples(TEXTS, LABELS, st.booleans()), min_size=1, max_size=9))
@settings(deadline=None, max_examples=40)
def test_spacy_categories_and_prodigy_answers_are_read_back_as_labels(rows):
    labels = sorted({label for _text, label, _applies in rows})
    spacy = [{"text": text, "cats": {name: float(name == label) for name in labels}} for text, label, _ in rows]
    prodigy = [
        {"text": text, "label": label, "answer": "accept" if applies else "reject"} for text, label, applies in rows
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        path.write_text(lines(*spacy, {"text": "", "cats": {name: float(name == "x") for name in (*labels, "x")}}))
        assert read(path) == [*((text, label) for text, label, _applies in rows), ("", "x")]
        path.write_text(lines(*prodigy))
        assert read(path) == [(text, label if applies else f"not {label}") for text, label, applies in rows]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"cats": {"A": 1.0, "B": 0.9}}, "row 2 has the labels 'A', 'B'; expected one for each text"),
        ({"cats": {"A": "yes"}}, "row 2 has 'yes' in 'cats', expected a number for each category"),
    ],
)
def test_ambiguous_or_invalid_categories_are_refused_with_their_row(tmp_path, record, message):
    (tmp_path / "a.jsonl").write_text(lines({"text": "first", "label": "x"}, {"text": "second"} | record))
    with pytest.raises(InputError, match=message):
        read(tmp_path / "a.jsonl")


def test_ignored_answers_are_left_out_and_rejected_ones_are_negative(tmp_path):
    answers = ["accept", "reject", "accept", "ignore"] * 40
    records = [{"text": f"mail {row}", "label": "SPAM", "answer": answer} for row, answer in enumerate(answers)]
    (tmp_path / "a.jsonl").write_text(lines(*records))
    said: list[str] = []
    facts = fetch_own(SourceSettings(dataset=str(tmp_path / "a.jsonl")), tmp_path, said.append)
    assert facts["labels"] == ["not SPAM", "SPAM"]
    assert said == [f"{tmp_path / 'a.jsonl'}: 40 rows with the answer ignore left out"]
    rows = pq.read_table(tmp_path / "texts.parquet")["row"].to_pylist()
    assert rows == [row + 1 for row, answer in enumerate(answers) if answer != "ignore"]


def test_hugging_face_class_names_replace_numbers_if_metadata_has_them(tmp_path):
    for metadata in ("{", "[]", '{"info": 1}', '{"info": {"features": {"label": {"dtype": "int64"}}}}'):
        table = pa.table({"text": ["a"], "label": [1]}).replace_schema_metadata({"huggingface": metadata})
        pq.write_table(table, tmp_path / "a.parquet")
        assert read(tmp_path / "a.parquet") == [("a", 1)]
    names = json.dumps({"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}})
    table = pa.table({"text": ["a", "b", "c"], "label": pa.array([1, None, -1], pa.int8())})
    pq.write_table(table.replace_schema_metadata({"huggingface": names}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [("a", "yes"), ("b", None), ("c", "-1")]
