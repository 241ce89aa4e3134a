import os
from pathlib import Path

import pytest

from tasks.core.errors import InputError
from tasks.texts.tables.table_files import LABELLED, describe_skipped, name_of, table_files


def names(paths) -> list[str]:
    return [path.name for path in paths]


def test_file_extensions_match_in_any_case_and_hidden_files_are_ignored(tmp_path):
    for name in ("a.csv", "B.CSV", "c.JsonL", "d.Parquet", "e.TXT", "g.Csv.GZ", ".f.csv"):
        (tmp_path / name).write_text("")
    assert names(table_files(tmp_path)) == ["B.CSV", "a.csv", "c.JsonL", "d.Parquet", "e.TXT", "g.Csv.GZ"]
    assert names(table_files(tmp_path / "B.CSV")) == ["B.CSV"]
    assert describe_skipped(tmp_path) is None
    assert describe_skipped(tmp_path / "a.csv") is None


@pytest.mark.parametrize(
    ("file", "name"),
    [("z.csv", "z"), ("z.csv.zst", "z"), ("z.v2.jsonl.GZ", "z.v2"), ("a", "a"), ("a.b", "a")],
)
def test_a_name_has_no_format_and_no_compression(file, name):
    assert name_of(Path("in") / file) == name


def test_skipped_files_and_folders_are_listed(tmp_path):
    for name in ("a.csv", "c.csv.zip", "README.txt", ".hidden"):
        (tmp_path / name).write_text("")
    (tmp_path / "old.csv").mkdir()
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nowhere")
    assert names(table_files(tmp_path, LABELLED)) == ["a.csv"]
    assert describe_skipped(tmp_path, LABELLED) == (
        f"{tmp_path}: README.txt, c.csv.zip, gone.csv, old.csv/ skipped; "
        "expected files in .csv, .tsv, .parquet, .jsonl, .json"
    )
    assert "README" not in describe_skipped(tmp_path)


def test_non_utf8_names_are_shown_escaped_and_refused_for_tables(tmp_path):
    (tmp_path / "a.csv").write_text("")
    (tmp_path / os.fsdecode(b"caf\xe9.doc")).write_text("")
    assert r"caf\udce9.doc skipped" in describe_skipped(tmp_path)
    (tmp_path / os.fsdecode(b"caf\xe9.csv")).write_text("")
    with pytest.raises(InputError, match=r"caf\\udce9\.csv: has a name that is not UTF-8; rename it"):
        table_files(tmp_path)


def test_skipped_files_after_the_fifth_are_counted(tmp_path):
    for number in range(1008):
        (tmp_path / f"{number:04}.doc").write_text("")
    assert "0000.doc, 0001.doc, 0002.doc, 0003.doc, 0004.doc and 1,003 more skipped" in describe_skipped(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "nowhere: no such file or folder"),
        ("a.csv.zip", r"a\.csv\.zip: expected a file that ends in \.csv, .*; unpack or convert it first"),
        ("empty", "empty: is empty; expected files in"),
        ("full", r"full: a\.doc skipped; expected files in \.csv"),
    ],
)
def test_a_path_without_a_table_is_refused_with_the_reason(tmp_path, name, message):
    (tmp_path / "a.csv.zip").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.doc").write_text("")
    with pytest.raises(InputError, match=message):
        table_files(tmp_path / name)
