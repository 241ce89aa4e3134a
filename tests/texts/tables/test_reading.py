import codecs
import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tasks.texts.tables.delimited
import tasks.texts.tables.json_objects
import tasks.texts.tables.reading
import tasks.texts.tables.text_decoding
from tasks.core.errors import InputError
from tasks.texts.tables.columns import ReadOptions, required_strings, texts_of
from tasks.texts.tables.reading import read_batches
from tasks.texts.tables.table_files import form_of
from tasks.texts.tables.text_decoding import guess_encoding

ROWS = [{"text": 'one, "two"\nthree; four', "label": "1"}, {"text": "Größe\tund mehr", "label": "0"}]
CSV = 'text,label\n"one, ""two""\nthree; four",1\nGröße\tund mehr,0\n'
COLUMNS = {"text": "text-column", "label": "label-column"}


def read(path, options: ReadOptions | None = None) -> list[dict]:
    return [row for batch in read_batches(path, options) for row in batch.to_pylist()]


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def gz(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)  # equal bytes each time, because they are part of a test's id


def zstd(content: bytes) -> bytes:
    return pa.compress(content, "zstd", asbytes=True)


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.csv", CSV, {}),
        ("a.CSV", CSV, {}),
        ("a.csv", codecs.BOM_UTF8 + CSV.encode(), {}),
        ("a.csv", "\n\r\n \n" + CSV, {}),
        ("a.csv", 'text;label\n"one, ""two""\nthree; four";1\n\nGröße\tund mehr;0\n', {}),
        ("a.csv", 'text|label\n"one, ""two""\nthree; four"|1\nGröße\tund mehr|0', {"delimiter": "|"}),
        ("a.tsv", 'text\tlabel\n"one, ""two""\nthree; four"\t1\n"Größe\tund mehr"\t0\n', {}),
        ("a.csv", CSV.encode("utf-16"), {"encoding": "utf-16"}),
        ("a.csv", CSV.encode("windows-1252"), {"encoding": "cp1252"}),
        ("a.csv.gz", gz(CSV.encode()), {}),
        ("a.csv.gz", gz(CSV[:20].encode()) + gz(CSV[20:].encode()), {}),
        ("A.Csv.Zst", zstd(CSV.encode()), {}),
        ("a.jsonl", "\n".join(map(json.dumps, ROWS)) + "\n\n", {}),
        ("a.jsonl.gz", gz("\n".join(map(json.dumps, ROWS)).encode()), {}),
        ("a.json", json.dumps(ROWS, indent=2), {}),
        ("a.json.zst", zstd(json.dumps(ROWS, ensure_ascii=False).encode("utf-16")), {"encoding": "utf-16"}),
    ],
)
def test_every_table_format_gives_the_same_rows(tmp_path, name, content, options):
    path = write(tmp_path / name, content)
    assert read(path, ReadOptions(**options)) == ROWS
    assert read(path, ReadOptions(columns={"label": "label-column"}, **options)) == [{"label": "1"}, {"label": "0"}]


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
        (pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
    ],
)
def test_any_parquet_string_type_is_read_as_text_and_lists_are_refused(tmp_path, values, kept):
    pq.write_table(pa.table({"text": values, "label": [[1], [2]]}), tmp_path / "a.parquet")
    path = tmp_path / "a.parquet"
    (batch,) = read_batches(path)
    assert texts_of(batch, "text", path, np.arange(1, 3)).to_pylist() == kept
    assert required_strings(batch, "text", path, np.arange(1, 3)) == kept
    with pytest.raises(
        InputError, match=r"the column 'label' holds list<.*>, expected text or numbers; .*it has 'text'"
    ):
        required_strings(batch, "label", path, np.arange(1, 3))


def test_quotes_commas_and_line_breaks_stay_within_their_field(tmp_path):
    path = write(tmp_path / "a.csv", b'text,label\r\n"one, ""two""\r\nthree",1\r\n"",0\r\n')
    assert read(path) == [{"text": 'one, "two"\r\nthree', "label": "1"}, {"text": "", "label": "0"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text\nfine\n\ndull\n\n"),
        ("a.csv", 'text\nfine\n""\ndull\n""\n'),
        ("a.csv", "id,text\n1,fine\n2,\n3,dull\n\n4,\n"),
        ("a.csv", 'id,text\n1,fine\n2,""\n3,dull\n4,""\n'),
        ("a.txt", "fine\n\ndull\n\n"),
        ("a.jsonl", '{"text": "fine"}\n\n{"text": ""}\n{"text": "dull"}\n{"text": ""}\n'),
    ],
)
def test_an_empty_text_is_a_row_in_every_format(tmp_path, name, content):
    (batch,) = read_batches(write(tmp_path / name, content))
    assert texts_of(batch, "text", tmp_path, np.arange(1, 5)).to_pylist() == ["fine", "", "dull", ""]


def test_requested_json_columns_become_text_and_others_are_ignored(tmp_path):
    others = [{"id": None}, {"id": 7}, {"id": "x"}, {"more": [1]}, {}]
    lines = [json.dumps(others[row % 5] | {"text": f"t{row}", "label": row % 2}) for row in range(5000)]
    path = write(tmp_path / "a.jsonl", "\n".join(lines))
    assert read(path, ReadOptions(columns=COLUMNS)) == [
        {"text": f"t{row}", "label": str(row % 2)} for row in range(5000)
    ]
    path = write(tmp_path / "b.jsonl", '{"text": "a", "label": 1.0}\n{"label": true, "text": "b"}')
    assert read(path, ReadOptions(columns=COLUMNS)) == [{"text": "a", "label": "1.0"}, {"text": "b", "label": "true"}]


def test_json_columns_have_their_own_types_and_mixed_ones_are_json(tmp_path):
    its = [
        {"text": f"t{row}", "n": row, "x": row / 2 if row % 3 else row, "yes": row % 2 == 0, "s": "ä", "none": None}
        for row in range(3000)
    ]
    its[2500] |= {"n": None, "late": 1, "mixed": [1, {"a": "ß"}], "huge": 1 << 70}
    its[2501] |= {"mixed": "word"}
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, its)))
    table = pa.Table.from_batches(read_batches(path))
    json_type = pa.json_(pa.string())
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == {
        "text": pa.string(), "n": pa.int64(), "x": pa.float64(), "yes": pa.bool_(), "s": pa.string(),
        "none": pa.string(), "late": pa.int64(), "mixed": json_type, "huge": json_type,
    }  # fmt: skip
    found = table.to_pylist()
    assert [{name: row[name] for name in its[0]} for row in found[:2500]] == its[:2500]
    assert found[2500]["mixed"] == '[1, {"a": "ß"}]'
    assert found[2501]["mixed"] == '"word"'
    assert found[2500]["huge"] == str(1 << 70)
    assert found[0]["late"] is None


def test_a_json_array_is_read_correctly_in_pieces_of_any_size(tmp_path, monkeypatch):
    path = write(tmp_path / "a.json", json.dumps([row | {"n": [1, {"b": "]}"}]} for row in ROWS * 3], indent=1))
    for piece in (1, 2, 7):
        monkeypatch.setattr(tasks.texts.tables.json_objects, "PIECE", piece)
        assert read(path, ReadOptions(columns=COLUMNS)) == ROWS * 3


def test_hugging_face_class_names_replace_numbers_if_metadata_has_them(tmp_path):
    path, options = tmp_path / "a.parquet", ReadOptions(columns=COLUMNS)
    for metadata in ("{", "[]", '{"info": 1}', '{"info": {"features": {"label": {"dtype": "int64"}}}}'):
        table = pa.table({"text": ["a"], "label": [1]}).replace_schema_metadata({"huggingface": metadata})
        pq.write_table(table, path)
        assert read(path, options) == [{"text": "a", "label": 1}]
    names = json.dumps({"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}})
    table = pa.table({"text": ["a", "b", "c"], "label": pa.array([1, None, -1], pa.int8())})
    pq.write_table(table.replace_schema_metadata({"huggingface": names}), path)
    assert [row["label"] for row in read(path, options)] == ["yes", None, "-1"]


def test_unnamed_columns_are_named_by_their_position(tmp_path):
    path = write(tmp_path / "a.csv", "v1,v2,,,\nham,hello,,x,\n")
    assert read(path, ReadOptions("v2")) == [
        {"v1": "ham", "v2": "hello", "column 3": None, "column 4": "x", "column 5": None}
    ]


def test_duplicate_columns_are_refused_only_if_they_are_read(tmp_path):
    table = pa.table([["a"], ["b"], ["c"]], names=["text", "x", "x"])
    pq.write_table(table, tmp_path / "a.parquet")
    write(tmp_path / "a.csv", "text,x,x\na,b,c\n")
    for name in ("a.parquet", "a.csv"):
        assert read(tmp_path / name, ReadOptions(columns={"text": "text-column"})) == [{"text": "a"}]
        with pytest.raises(InputError, match="has the column 'x' twice; rename one"):
            read(tmp_path / name)


def test_large_files_are_read_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks.texts.tables.text_decoding, "ROWS_PER_BATCH", 300)
    write(tmp_path / "a.csv", "text,label\n" + "".join(f"review {row},1\n" for row in range(3000)))
    batches = list(read_batches(tmp_path / "a.csv"))
    assert [len(batch) for batch in batches] == [300] * 10
    assert [row["text"] for batch in batches for row in batch.to_pylist()] == [f"review {row}" for row in range(3000)]
    pq.write_table(pa.Table.from_batches(batches), tmp_path / "b.parquet")
    assert sum(map(len, read_batches(tmp_path / "b.parquet"))) == 3000
    monkeypatch.setattr(tasks.texts.tables.text_decoding, "CHARACTERS_PER_BATCH", 500)
    assert max(batch.nbytes for batch in read_batches(tmp_path / "a.csv")) < 4500


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.b.CSV", (".csv", None)),
        ("a.csv.gz", (".csv", "gzip")),
        ("a.txt.ZST", (".txt", "zstd")),
        ("gz", ("", None)),
        (".gz", ("", None)),
        ("a.gz", ("", "gzip")),
    ],
)
def test_format_and_compression_follow_from_the_file_name(tmp_path, name, form):
    assert form_of(tmp_path / name) == form


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,label\n" + "good,1\n" * 1700 + "bad\n", "row 1,701 has 1 columns, expected 2; put a text"),
        ("a.csv", "text,label\ngood,1\n" + "x" * 9000 + ",1\n", "row 2 .line 3.: a double quote is never closed, or"),
        ("a.csv", 'text,label\ngood,1\n"never closed,1\n' + "bad,0\n" * 9000, "row 2 .line 3.: a double quote is"),
        ("a.csv", 'text,label\ngood,1\n"never closed,1\nbad,0\n', "row 2 .line 3.: a double quote is never closed"),
        ("a.csv", 'text,label\n\n"a "b" c",1\n', "row 1 .line 3.: a quoted field contains a double quote"),
        ("a.csv", 'text,"label\n', "its first line is not a header"),
        ("a.csv", "\n\n", "is empty; expected a header"),
        ("a.csv", "x,y\n1,2\n", "has no column 'text', only x, y; name it with --text-column"),
        ("a.csv", b"text,label\n" + b"good,1\n" * 1500 + b"caf\xe9 au lait,1\n",
         "holds bytes that are not UTF-8, first at byte 10,514 .line 1,502.; they are probably windows-1252: give "
         "--encoding windows-1252"),
        ("a.csv", b"text,caf\xe9\n", "holds bytes that are not UTF-8, first at byte 8 .line 1.; they are probably "
         "windows-1252"),
        ("a.csv", "text\ngood\n".encode("utf-16") + b"\0\xdc\n\0", "is UTF-16, not UTF-8"),
        ("a.csv", CSV.encode("utf-16"), "is UTF-16, not UTF-8; give --encoding utf-16"),
        ("a.csv", CSV.encode("utf-16-le"), "is UTF-16-LE, not UTF-8; give --encoding utf-16-le"),
        ("a.csv.gz", gz(CSV.encode() * 90)[:-9], "after row 0: Truncated .*; expected a whole gzip file"),
        ("a.csv.gz", CSV, "expected a whole gzip file"),
        ("a.csv.zst", zstd(CSV.encode() * 90)[:-9], "expected a whole zstd file"),
        ("a.parquet", CSV, "expected a Parquet file"),
        ("a.txt", b"good\nb\xe4d\n", "holds bytes that are not UTF-8, first at byte 6 .line 2."),
        ("a.jsonl", '{"text": "good"}\n' * 4000 + '{"text"\n', r"row 4,001: .*expected one JSON object per line"),
        ("a.jsonl", '{"text": "good"}\n["x"]\n', "row 2 is an array, expected a JSON object"),
        ("a.jsonl", '{"text": "good"}\n' + "[" * 100_000, "row 2: .*expected one JSON object per line"),
        ("a.jsonl", '{"text": "good"}\n{"text": 7}\n', "row 2 has a number in 'text', expected text"),
        ("a.jsonl", '{"text": "\\ud83d"}\n', "row 1, 'text': holds half of a character"),
        ("a.jsonl", '{"text": "a", "x": 1}\n{"text": "b", "x": "\\ud83d"}\n', "row 2, 'x': holds half of a character"),
        ("a.jsonl", '{"x": 1, "y": 2}\n', "has no column 'text', only x, y; name it with --text-column"),
        ("a.json", '{"text": "good"}', "is not a JSON array of objects"),
        ("a.json", '[{"text": "good"}, 3]', "row 2 is a number, expected a JSON object"),
        ("a.json", '[{"text": "good"}, {"text": "b', "row 2 is cut off or is not JSON"),
        ("a.json", '[{"text": "good"}, ', "row 2 is cut off or is not JSON"),
        ("a.json", "", "is not a JSON array of objects"),
    ],
)  # fmt: skip
def test_an_unreadable_table_is_refused_with_its_path_and_the_reason(tmp_path, monkeypatch, name, content, message):
    monkeypatch.setattr(tasks.texts.tables.delimited, "MAX_ROW", 4000)
    path = write(tmp_path / name, content)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("encoding", "bad"),
    [
        ("utf-8", b"\x80"),
        ("utf-16", b"\0\xdc"),
        ("utf-16-be", b"\xdc\0"),
        ("gb18030", b"\xff"),
        ("cp1252", b"\x81"),
    ],
)
@pytest.mark.parametrize("columns", [None, COLUMNS])
def test_an_undecodable_byte_in_any_column_is_reported_with_its_position(tmp_path, monkeypatch, encoding, bad, columns):
    before = "text,label,other\n" + "good,1,2\n" * 700 + "fine,0,"
    content = before.encode(encoding) + bad + "\n".encode("utf-16-le" if encoding == "utf-16" else encoding)
    monkeypatch.setattr(tasks.texts.tables.text_decoding, "CHUNK", 1000)
    place = f"first at byte {len(before.encode(encoding)):,} .line 702."
    with pytest.raises(InputError, match=f"a.csv: holds bytes that are not {encoding.upper()}, {place}"):
        read(write(tmp_path / "a.csv", content), ReadOptions(columns=columns, encoding=encoding))


def test_lines_longer_than_the_limit_are_refused_with_their_number(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks.texts.tables.text_decoding, "MAX_ROW", 20)
    with pytest.raises(InputError, match=r"a\.txt: line 2 is longer than 20 characters"):
        read(write(tmp_path / "a.txt", "short\n" + "long " * 5 + "\n"))


def test_a_wrong_delimiter_is_refused_and_the_likely_one_is_suggested(tmp_path):
    path = write(tmp_path / "a.csv", "text;label\ngood;1\n")
    with pytest.raises(InputError, match=r"has no ','; fields seem to be separated by ';': give --data.delimiter ';'"):
        read(path, ReadOptions(delimiter=",", flags="--data."))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("It\u2019s a \u201cgreat\u201d film \u2026 café", "windows-1252"),
        ("Der Film war schön, Grüße aus Köln", "windows-1252"),
        ("这部电影非常好看、演员演技出色、剧情紧凑" * 3, "gb18030"),
    ],
)
def test_the_probable_encoding_is_guessed(text, encoding):
    assert guess_encoding(text.encode(encoding)) == encoding


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.txt", "a.parquet"])
def test_reading_progress_never_falls_and_ends_at_one(tmp_path, monkeypatch, name):
    monkeypatch.setattr(tasks.texts.tables.text_decoding, "ROWS_PER_BATCH", 400)
    monkeypatch.setattr(tasks.texts.tables.json_objects, "PIECE", 4000)
    monkeypatch.setattr(tasks.texts.tables.reading, "ROWS_PER_BATCH", 400)
    its = [{"text": f"some words {row * 7919 % 10007}", "label": "1"} for row in range(20_000)]
    if name == "a.parquet":
        pq.write_table(pa.Table.from_pylist(its), tmp_path / name)
    elif name == "a.csv":
        write(tmp_path / name, "text,label\n" + "".join(f"{row['text']},1\n" for row in its))
    else:
        write(tmp_path / name, json.dumps(its) if name == "a.json" else "\n".join(map(json.dumps, its)))
    shares: list[float] = []
    assert sum(map(len, read_batches(tmp_path / name, on_read=shares.append))) == 20_000
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.7
    assert shares[-1] == 1


def test_only_backslashes_before_quotes_and_backslashes_have_a_meaning(tmp_path):
    path = write(tmp_path / "a.csv", 'text,path\n"say \\"hi\\", C:\\new","a\\\\b\\n"\n')
    assert read(path, ReadOptions(quoting="backslash")) == [{"text": 'say "hi", C:\\new', "path": "a\\b\\n"}]


@pytest.mark.parametrize(
    ("delimiter", "content", "text"),
    [(",", "text,label\nGreat\\, really,pos\n", "Great, really"), ("\t", "text\tlabel\na\\\nb\\\tc\tpos\n", "a\nb\tc")],
)
def test_a_backslash_keeps_a_delimiter_and_a_line_end_in_their_field(tmp_path, delimiter, content, text):
    options = ReadOptions(quoting="backslash", delimiter=delimiter)
    assert read(write(tmp_path / "a.csv", content), options) == [{"text": text, "label": "pos"}]


@pytest.mark.parametrize("header", ["text;Preis (EUR, netto)", "id;text;Betrag, netto, EUR"])
def test_the_delimiter_is_the_one_that_shows_the_column_of_texts(tmp_path, header):
    path = write(tmp_path / "a.csv", f"{header}\n{';'.join('abc'[: header.count(';') + 1])}\n")
    assert "text" in read(path)[0]


def test_large_whole_numbers_next_to_fractions_are_kept_as_they_are(tmp_path):
    lines = [f'{{"text": "a", "id": {number}}}' for number in ("1234567890123456789", "1.5", "null")]
    values = [row["id"] for row in read(write(tmp_path / "a.jsonl", "\n".join(lines)))]
    assert [json.loads(value) if value else value for value in values] == [1234567890123456789, 1.5, None]
