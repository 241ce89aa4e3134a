import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tasks.core.tables
from tasks.core.errors import InputError
from tasks.core.tables import read_batches, table_files


def test_lines_longer_than_the_limit_are_refused_by_number(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks.core.tables, "LONGEST_LINE", 20)
    (tmp_path / "a.txt").write_text("short\n" + "long " * 5 + "\n")
    with pytest.raises(InputError, match=r"a\.txt: line 2 is longer than 20 characters"):
        list(read_batches(tmp_path / "a.txt"))


def test_quotes_commas_and_line_breaks_stay_within_their_field(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbftext,label\r\n"one, ""two""\r\nthree",1\r\n"",0\r\n')
    (batch,) = read_batches(tmp_path / "a.csv")
    assert batch.to_pylist() == [{"text": 'one, "two"\r\nthree', "label": "1"}, {"text": "", "label": "0"}]


def test_large_files_come_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks.core.tables, "BLOCK", 2000)
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"review {row},1\n" for row in range(1000)))
    batches = list(read_batches(tmp_path / "a.csv"))
    assert len(batches) > 3
    assert [row["text"] for batch in batches for row in batch.to_pylist()] == [f"review {row}" for row in range(1000)]
    pq.write_table(pa.Table.from_batches(batches), tmp_path / "b.parquet")
    assert sum(map(len, read_batches(tmp_path / "b.parquet"))) == 1000


def test_of_a_folder_hidden_and_other_files_are_left_out(tmp_path):
    for name in ("b.csv", "a.jsonl", ".c.csv", "d.doc"):
        (tmp_path / name).write_text("")
    assert [path.name for path in table_files(tmp_path)] == ["a.jsonl", "b.csv"]
