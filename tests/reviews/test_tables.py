import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tasks.reviews.tables
from tasks.core.errors import InputError
from tasks.reviews.tables import read_batches, table_files


def test_lines_longer_than_the_limit_are_refused_by_number(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks.reviews.tables, "LONGEST_LINE", 20)
    (tmp_path / "a.txt").write_text("short\n" + "long " * 5 + "\n")
    with pytest.raises(InputError, match=r"a\.txt: line 2 is longer than 20 characters"):
        list(read_batches(tmp_path / "a.txt"))


def test_quotes_commas_and_line_breaks_stay_within_their_field(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbftext,label\r\n"one, ""two""\r\nthree",1\r\n"",0\r\n')
    (batch,) = read_batches(tmp_path / "a.csv")
    assert batch.to_pylist() == [{"text": 'one, "two"\r\nthree', "label": "1"}, {"text": "", "label": "0"}]


def test_large_files_come_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks.reviews.tables, "BLOCK", 2000)
    monkeypatch.setattr(tasks.reviews.tables, "ROWS_A_BATCH", 300)
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"review {row},1\n" for row in range(1000)))
    batches = list(read_batches(tmp_path / "a.csv"))
    assert [len(batch) for batch in batches] == [300, 300, 300, 100]
    assert [row["text"] for batch in batches for row in batch.to_pylist()] == [f"review {row}" for row in range(1000)]
    pq.write_table(pa.Table.from_batches(batches), tmp_path / "b.parquet")
    assert sum(map(len, read_batches(tmp_path / "b.parquet"))) == 1000
    monkeypatch.setattr(tasks.reviews.tables, "LARGEST_BATCH", 1500)
    assert max(batch.nbytes for batch in read_batches(tmp_path / "a.csv")) < 4500


def test_of_a_folder_hidden_and_other_files_are_left_out(tmp_path):
    for name in ("b.csv", "a.jsonl", ".c.csv", "d.doc"):
        (tmp_path / name).write_text("")
    assert [path.name for path in table_files(tmp_path)] == ["a.jsonl", "b.csv"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,label\n" + "good,1\n" * 700 + "bad\n", "row 701 has 1 columns, expected 2; put a text"),
        ("a.csv", "text,label\ngood,1\n" + "x" * 9000 + ",1\n", "after row 1 comes one longer than"),
        ("a.csv", 'text,label\ngood,1\n"never closed,1\n' + "bad,0\n" * 9000, "or a double quote that is never closed"),
        (
            "a.csv",
            'text,label\ngood,1\n"never closed,1\nbad,0\n',
            "row 2 has 1 columns, expected 2; .*close each",
        ),
        ("a.csv", "x" * 200_000, "its first line is no header"),
        ("a.jsonl", '{"text": "good"}\n' + '{"text": "' + "x" * 9000 + '"}\n', "after row 1 comes one longer than"),
        ("a.jsonl", '{"text": "good"}\n' * 400 + '{"text"\n', r"row 401: JSON parse error: .*expected one JSON object"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_row(tmp_path, monkeypatch, name, content, message):
    monkeypatch.setattr(tasks.reviews.tables, "BLOCK", 4000)
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        list(read_batches(tmp_path / name))
    assert str(caught.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt", "a.parquet"])
def test_the_share_that_has_been_read_grows_to_the_whole(tmp_path, monkeypatch, name):
    monkeypatch.setattr(tasks.reviews.tables, "BLOCK", 4000)
    monkeypatch.setattr(tasks.reviews.tables, "ROWS_A_BATCH", 400)
    line = {"a.csv": '"some words",1\n', "a.jsonl": '{"text": "some words"}\n', "a.txt": "some words\n"}
    if name == "a.parquet":
        pq.write_table(pa.table({"text": ["some words"] * 2000}), tmp_path / name)
    else:
        (tmp_path / name).write_text(("text,label\n" if name == "a.csv" else "") + line[name] * 2000)
    shares: list[float] = []
    assert sum(map(len, read_batches(tmp_path / name, on_read=shares.append))) == 2000
    assert len(shares) > 3
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.5
    assert shares[-1] == 1
