"""Layouts: each is read like a table of the same texts, and mixtures are refused."""

import json
import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.data_settings import DataSettings, SourceSettings
from tasks.core.errors import InputError
from tasks.download import pin
from tasks.texts.sources.layouts import describe_unread, hash_files, labelled_files
from tasks.texts.sources.own_files import fetch_own
from tasks.texts.tables.columns import ReadOptions
from tasks.texts.tables.reading import read_batches
from tests.support.labelled_texts import LABELS, TEXTS, read

said: list[str] = []


def write(path: Path, content: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode())


def fetch(tmp_path: Path, dataset: Path, **values):
    said.clear()
    folder = tmp_path / "out"
    folder.mkdir(exist_ok=True)
    facts = fetch_own(SourceSettings(dataset=f"{dataset}/", **values), folder, said.append)
    return facts, pq.read_table(folder / "texts.parquet").to_pylist()


def reviews(name: str, count: int) -> list[tuple[str, str, str]]:
    """Return file, text and label of each text."""
    return [
        (f"{name}/{label}/{row}_{row % 10}.txt", f"{label} film {row} of {name}", label)
        for label in ("neg", "pos")
        for row in range(count)
    ]


@pytest.fixture
def acl_imdb(tmp_path):
    """Return a folder with the layout of the published IMDB, with fewer texts."""
    folder = tmp_path / "aclImdb"
    for name, count in (("train", 12), ("test", 6)):
        for file, text, _label in reviews(name, count):
            write(folder / file, text)
        write(folder / name / "urls_pos.txt", "http://")
        write(folder / name / "labeledBow.feat", "9 0:9")
    write(folder / "train/unsup/0_0.txt", "unlabelled")
    write(folder / "README", "about")
    write(folder / "imdb.vocab", "the")
    return folder


def test_the_published_imdb_folder_is_read_like_a_table_of_its_texts(tmp_path, acl_imdb):
    facts, rows = fetch(tmp_path, acl_imdb)
    table = sorted(
        (file, text, label, name)
        for name, count in (("train", 12), ("test", 6))
        for file, text, label in reviews(name, count)
    )
    pq.write_table(pa.table([*zip(*table, strict=True)], ["f", "text", "label", "part"]), tmp_path / "a.parquet")
    settings = SourceSettings(dataset=str(tmp_path / "a.parquet"), split_column="part")
    other = fetch_own(settings, tmp_path / "out", said.append)
    same = pq.read_table(tmp_path / "out/texts.parquet").to_pylist()
    assert [row | {"file": "", "row": 0} for row in rows] == [row | {"file": "", "row": 0} for row in same]
    assert facts["check"] == other["check"]
    assert facts["labels"] == ["neg", "pos"]
    assert [(row["file"], row["row"]) for row in rows] == [(file, 1) for file, *_ in table]


def test_skipped_files_are_reported_and_new_texts_change_the_hash(tmp_path, acl_imdb):
    write(acl_imdb / "train/pos/notes.md")
    warned: list[str] = []
    pinned = pin(DataSettings(dataset=f"{acl_imdb}/"), warned.append)
    assert warned == [
        f"{acl_imdb}: README, imdb.vocab skipped; expected a folder of .txt files per label; "
        f"{acl_imdb}/test: labeledBow.feat, urls_pos.txt skipped; expected a folder of .txt files per label; "
        f"{acl_imdb}/train: labeledBow.feat, unsup/, urls_pos.txt skipped; expected a folder of .txt files per label; "
        f"{acl_imdb}: train/pos/notes.md skipped; expected .txt files"
    ]
    write(acl_imdb / "test/pos/0_0.txt", "another text")
    assert pin(DataSettings(dataset=f"{acl_imdb}/"), warned.append).sha256 != pinned.sha256


def test_labels_named_like_splits_are_split_by_hash(tmp_path):
    for label in ("valid", "invalid"):
        for row in range(60):
            write(tmp_path / "forms" / label / f"{row}.txt", f"{label} form {row}")
    facts, rows = fetch(tmp_path, tmp_path / "forms")
    found = {(row["split"], row["label"]) for row in rows}
    assert found == {("train", 0), ("train", 1), ("test", 0), ("test", 1)}, "pad takes validation from training"
    assert (facts["labels"], len(rows)) == (["invalid", "valid"], 120)


@pytest.mark.parametrize(
    ("files", "conflict"),
    [
        (["a.csv", "neg/1.txt", "pos/1.txt"], "a.csv and neg/1.txt"),
        (["train/a.jsonl", "train/neg/1.txt", "train/pos/1.txt"], "train/a.jsonl and train/neg/1.txt"),
        (["train/neg/1.txt", "train/pos/1.txt", "other/2.txt", "other/1.txt"], "other/1.txt and train/neg/1.txt"),
    ],
)
def test_mixed_layouts_are_refused_with_two_conflicting_files(tmp_path, files, conflict):
    for file in files:
        write(tmp_path / file)
    with pytest.raises(InputError, match=f"mixes layouts: {conflict}; expected either tables, or text files"):
        labelled_files(tmp_path)


@pytest.mark.parametrize("files", [["train/1.txt", "test/1.txt"], ["pos/1.txt"], ["pos/1.csv", "neg/1.csv"]])
def test_folders_that_are_not_labels_are_refused(tmp_path, files):
    for file in files:
        write(tmp_path / file)
    with pytest.raises(InputError, match=r"skipped; expected files in \.csv"):
        labelled_files(tmp_path)


def test_an_unreadable_text_file_is_reported_by_name(tmp_path):
    for label in ("neg", "pos"):
        write(tmp_path / "in" / label / "1.txt", "a text")
    (tmp_path / "in/pos/2.txt").write_bytes(b"caf\xe9 au lait")
    with pytest.raises(InputError, match=r"in/pos/2.txt: .*first at byte 3 .*give --data.encoding windows-1252"):
        fetch(tmp_path, tmp_path / "in")
    (batch,) = read_batches(tmp_path / "in/pos", ReadOptions(encoding="windows-1252"))
    assert batch["text"].to_pylist() == ["a text", "caf\xe9 au lait"]
    (tmp_path / "in/pos/2.txt").rename(tmp_path / "in/pos" / os.fsdecode(b"\xe9.txt"))
    with pytest.raises(InputError, match=r"\\udce9.txt: has a name that is not UTF-8"):
        hash_files(tmp_path / "in")


def test_hugging_face_shards_have_their_splits_and_class_names(tmp_path):
    """The files are named as in the repository stanfordnlp/imdb."""
    features = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}, "text": {"dtype": "string"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    folder = tmp_path / "imdb/plain_text"
    folder.mkdir(parents=True)
    write(tmp_path / "imdb/README.md", "---")
    write(tmp_path / "imdb/dataset_infos.json", "{}")
    for name, rows in (("train-00000-of-00002", 8), ("train-00001-of-00002", 8), ("test-00000-of-00001", 6)):
        table = pa.table({"text": [f"{name} {row}" for row in range(rows)], "label": [row % 2 for row in range(rows)]})
        pq.write_table(table.replace_schema_metadata(metadata), folder / f"{name}.parquet")
    table = pa.table({"text": ["unknown"] * 4, "label": [-1] * 4}).replace_schema_metadata(metadata)
    pq.write_table(table, folder / "unsupervised-00000-of-00001.parquet")
    facts, rows = fetch(tmp_path, tmp_path / "imdb")
    assert facts["labels"] == ["neg", "pos"]
    assert [(row["split"], row["label"]) for row in rows] == [("test", row % 2) for row in range(6)] + [
        ("train", row % 2) for row in range(16)
    ]
    assert describe_unread(tmp_path / "imdb") == (
        f"{tmp_path / 'imdb'}: README.md, dataset_infos.json skipped; "
        "expected files in .csv, .tsv, .parquet, .jsonl, .json"
    )


@given(st.dictionaries(LABELS, st.lists(TEXTS, min_size=1, max_size=4), min_size=1, max_size=4))
@settings(deadline=None, max_examples=40)
def test_texts_in_a_folder_per_label_are_read_unchanged(texts):
    with tempfile.TemporaryDirectory() as name:
        expected, found = [], []
        for number, (label, its) in enumerate(texts.items()):
            folder = Path(name) / str(number) / label
            for row, text in enumerate(its):
                write(folder / f"{row}.txt", text)
            expected += [(text, label) for text in its]
            found += read(folder)
        assert found == expected
