"""Kinds of files: each is read, and the run reports the rows that it leaves out, or is refused in one line."""

import gzip
import json
import re
import unicodedata
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import InputError
from tasks.core.run_settings import RunSettings
from tasks.download import pin
from tasks.texts.sources.labels import MISSING, appearance, is_missing
from tasks.texts.sources.own_files import fetch_own
from tests.support.small_runs import parse_command_line

ROWS = 120
LABELS = ["neg", "pos"] * (ROWS // 2)


def texts(first: int = 0, count: int = ROWS) -> list[str]:
    return [f"{('dull', 'warm')[row % 2]} word{row} w{row * 7 % 40}" for row in range(first, first + count)]


def table(labels: list[str] | None = None, comma: str = ",", first: int = 0) -> str:
    labels = LABELS if labels is None else labels
    rows = zip(labels, texts(first, len(labels)), strict=True)
    return f"label{comma}text\n" + "".join(f"{label}{comma}{text}\n" for label, text in rows)


def labelled(*named: str) -> str:
    """Return a table in which every tenth row has another label, from `named` in turn."""
    return table([LABELS[row] if row % 10 else named[row // 10 % len(named)] for row in range(ROWS)])


def parquet(labels: pa.Array, **more: list) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": texts(), "label": labels, **more}), sink)
    return sink.getvalue().to_pybytes()


def json_lines(**more: str) -> str:
    rows = zip(texts(), LABELS, strict=True)
    extra = "".join(f', "{name}": {value}' for name, value in more.items())
    return "".join(f'{{"text": {json.dumps(text)}, "label": "{label}"{extra}}}\n' for text, label in rows)


def with_bytes(row: int, added: bytes, every: str = "") -> bytes:
    header, *rest = table().splitlines()
    lines = [header.encode(), *(f"{line}{every}".encode() for line in rest)]
    lines[row] += added
    return b"\n".join(lines) + b"\n"


BACKSLASHES = table().replace(",dull ", ',"dull \\"so\\", ').replace("\npos", '"\npos')
TEXT_FIRST = "text,label\n" + "".join(f"{text},{label}\n" for text, label in zip(texts(), LABELS, strict=True))
NUMBERED = "".join(f'{row},"{text}","{label}"\n' for row, (text, label) in enumerate(zip(texts(), LABELS, strict=True)))
SPLIT = {"train": 80, "validation": 20, "test": 20}
PARTS = {name: table(LABELS[:rows], first=first) for (name, rows), first in
         zip(SPLIT.items(), (0, 80, 100), strict=True)}  # fmt: skip
SPLIT_COLUMN = "split,label,text\nunsupervised,-1,x\n" + "".join(
    f"{name},{line}\n" for name, part in PARTS.items() for line in part.splitlines()[1:]
)
UNLABELLED = "id,text\n" + "".join(f"{row},{text}\n" for row, text in enumerate(texts(500, 20)))
LONE_QUOTE = table(comma="\t").replace("\tdull word30", '\t"dull word30')
SWALLOWED = LONE_QUOTE.replace("w0\n", 'w0"\n')

Files = dict[str, str | bytes]
TRAINED: list[tuple[str, Files, str, int | dict[str, int], str | None]] = [
    # name, files, flags, rows (or rows per split), and the line that the run reports
    ("plain", {"a.csv": table()}, "", ROWS, None),
    ("float labels", {"a.csv": table(["0.0", "1.0"] * 60)}, "", ROWS, "'0.0' as '0', '1.0' as '1'"),
    ("spaces", {"a.csv": table([" neg ", " pos "] * 60)}, "", ROWS, "' neg ' as 'neg'"),
    ("blank lines first", {"a.csv": "\n\n" + table()}, "", ROWS, None),
    ("Windows line ends", {"a.csv": table().replace("\n", "\r\n")}, "", ROWS, None),
    ("semicolons", {"a.csv": table(comma=";")}, "", ROWS, None),
    ("tabs", {"a.tsv": table(comma="\t")}, "", ROWS, None),
    ("U+00A0 in texts", {"a.csv": table().replace("dull ", "dull\xa0")}, "", ROWS, None),
    ("upper case name", {"B.CSV": table()}, "", ROWS, None),
    ("README", {"a.csv": table(), "README.txt": "x"}, "", ROWS, "README.txt skipped"),
    ("string views", {"a.parquet": parquet(pa.array(LABELS, pa.string_view()))}, "", ROWS, None),
    (
        "missing, dropped",
        {"a.csv": labelled("nan", "", "None")},
        "--data.unlabelled drop",
        108,
        "12 rows without a label left out",
    ),
    (
        "a letter, some rows without a label",
        {"a.csv": f'{TEXT_FIRST}nothing here,\n"Hello,\nThanks,\nAnna",pos\n'},
        "--data.unlabelled drop",
        ROWS + 1,
        "1 rows without a label left out",
    ),
    (
        "-1 as a label",
        {"a.csv": table(["-1", "0", "1"] * 40)},
        "",
        ROWS,
        "40 rows have the label -1.* --data.drop-labels -1",
    ),
    (
        "-1 dropped",
        {"a.csv": table(["-1", "0", "1"] * 40)},
        "--data.drop-labels -1",
        80,
        "40 rows with the label '-1' left",
    ),
    ("no quoting", {"a.tsv": LONE_QUOTE}, "--data.quoting none", ROWS, None),
    ("backslashes", {"a.csv": BACKSLASHES}, "--data.quoting backslash", ROWS, None),
    ("Excel's sep=", {"a.csv": "sep=;\n" + table(comma=";")}, "", ROWS, "the line 'sep=;' not read"),
    (
        "comments",
        {"a.csv": "# exported on Monday\n#\n" + table()},
        "",
        ROWS,
        "the line '# exported on Monday', .*not read",
    ),
    (
        "row numbers",
        {"a.csv": "".join(f"{row or ''},{line}\n" for row, line in enumerate(table().splitlines()))},
        "",
        ROWS,
        r"column 1 \(without a name\) not read",
    ),
    ("a column called #", {"a.csv": '#,"text","label"\n' + NUMBERED}, "", ROWS, None),
    ("big integers", {"a.jsonl": json_lines(id=str(10**30))}, "", ROWS, None),
    ("a key twice", {"a.jsonl": json_lines().replace('{"text"', '{"text": "first", "text"')}, "", ROWS, None),
    ("nested NaN", {"a.jsonl": json_lines(meta='{"score": NaN, "list": [1, Infinity]}')}, "", ROWS, None),
    (".ndjson", {"a.ndjson": json_lines()}, "", ROWS, None),
    (".jsonlines", {"a.jsonlines.gz": gzip.compress(json_lines().encode())}, "", ROWS, None),
    (".pq", {"a.pq": parquet(pa.array(LABELS))}, "", ROWS, None),
    (
        "bytes unused",
        {"a.parquet": parquet(pa.array(LABELS), raw=[b"\0\xff"] * ROWS, tree=[{"a": [1]}] * ROWS)},
        "",
        ROWS,
        None,
    ),
    (
        "decimals",
        {"a.parquet": parquet(pa.array([Decimal(row % 2) for row in range(ROWS)], pa.decimal128(5, 2)))},
        "",
        ROWS,
        "'0.00' as '0'",
    ),
    (
        "named files",
        {f"{name}.csv": part for name, part in PARTS.items()},
        "",
        SPLIT,
        "names say the split: train train.csv",
    ),
    (
        "named folders",
        {f"{name}/part-0.csv": part for name, part in PARTS.items()},
        "",
        SPLIT,
        "train train/part-0.csv",
    ),
    ("dotted names", {f"en.{name}.csv": part for name, part in PARTS.items()}, "", SPLIT, "train en.train.csv"),
    ("shards", {f"{name}-00000-of-00001.csv": part for name, part in PARTS.items()}, "", SPLIT, "names say the split"),
    (
        "Hive",
        {"split=train/a.csv": PARTS["train"], "split=test/a.csv": PARTS["test"]},
        "",
        {"train": 80, "test": 20},
        "train split=train/a.csv; test split=test/a.csv",
    ),
    (
        "no test file",
        {"train.csv": PARTS["train"], "dev.csv": PARTS["test"]},
        "",
        {"train": 80, "test": 20},
        "has no test file, so the validation file is for testing",
    ),
    (
        "unsupervised file",
        {"train.csv": PARTS["train"], "test.csv": PARTS["test"], "unsupervised.csv": table(["-1"] * 9)},
        "",
        {"train": 80, "test": 20},
        "unsupervised.csv left out",
    ),
    (
        "named files, grouped",
        {"train.csv": PARTS["train"], "test.csv": PARTS["test"], "unsupervised.csv": table(["-1"] * 9)},
        "--data.group-column text",
        {"train": 80, "test": 20},
        "names say the split: train train.csv; test test.csv",
    ),
    (
        "-1 in the test file",
        {"train.csv": PARTS["train"], "dev.csv": PARTS["validation"], "test.csv": table(["-1"] * 9)},
        "--data.drop-labels -1",
        {"train": 80, "test": 20},
        "test.csv left out: no rows with a label to train on",
    ),
    (
        "unsupervised rows",
        {"a.csv": SPLIT_COLUMN},
        "--data.split-column split",
        SPLIT,
        "1 rows of an unsupervised split",
    ),
    (
        "unlabelled next to train",
        {"train.csv": table(), "new.csv": UNLABELLED},
        "",
        ROWS,
        "left out: .*new.csv: has no column 'label'",
    ),
    ("more rows", {"train.csv": table(), "more.csv": table(first=ROWS)}, "", 2 * ROWS, "more.csv, train.csv: split as"),
    ("Kaggle", {"train.csv": table(), "test.csv": UNLABELLED}, "", ROWS, "left out: .*test.csv: has no column 'label'"),
    (
        "an empty part",
        {"a.csv": table(), "b.csv": "", "c.csv.gz": gzip.compress(b""), "d.csv": "label,text\n"},
        "",
        ROWS,
        "b.csv, c.csv.gz, d.csv left out: no rows",
    ),
]

LOOK_ALIKE = "look alike, but are {} and {}; write the same in every row"
REFUSED: list[tuple[str, Files, str]] = [
    ("only a header", {"a.csv": "label,text\n"}, "has no rows to train on"),
    ("one column", {"a.csv": "text\nx\n\ny\n"}, "has no column 'label', only text"),
    ("missing", {"a.csv": labelled("nan", "null", "None", "NaN", "")}, "row 1 has 'nan' in 'label', the first of 12"),
    ("null", {"a.parquet": parquet(pa.array([None, *LABELS[1:]]))}, "row 1 has nothing in 'label', the first of 1 "),
    ("all null", {"a.parquet": parquet(pa.nulls(ROWS))}, "row 1 has nothing in 'label', the first of 120 "),
    ("NaN", {"a.parquet": parquet(pa.array([0.0, float("nan")] * 60))}, "row 2 has 'nan' in 'label', the first of 60"),
    ("a footer", {"a.csv": table() + ",\n(120 rows),\n"}, "row 121 has nothing in 'label'"),
    (
        "a footer of one field",
        {"a.csv": table() + "(120 rows)\n"},
        r"row 121 has 1 columns.* '\(120 rows\)' is a comment",
    ),
    ("a comment", {"a.csv": table().replace("\npos", "\n# so\npos", 1)}, "row 2 has 1 columns.* '# so' is a comment"),
    (
        "row numbers without a name",
        {"a.csv": "text,label\n" + "".join(f"{row},{text},{row % 2}\n" for row, text in enumerate(texts()))},
        "row 1 has 3 columns, expected 2.*; if the first column has row numbers, name it in the header",
    ),
    (
        "NFC and NFD",
        {"a.csv": labelled("de\u0301cevant", "d\xe9cevant")},
        LOOK_ALIKE.format(r"'de\\u0301cevant'", r"'d\\xe9cevant'"),
    ),
    ("zero width", {"a.csv": labelled("neg\u200b")}, LOOK_ALIKE.format(r"'neg\\u200b'", "'neg'")),
    (
        "no-break",
        {"a.csv": labelled("very\xa0good", "very good")},
        LOOK_ALIKE.format(r"'very\\xa0good'", "'very good'"),
    ),
    ("case", {"a.csv": labelled("Neg")}, LOOK_ALIKE.format("'Neg'", "'neg'")),
    ("a space", {"a.csv": labelled("pos ")}, LOOK_ALIKE.format("'pos '", "'pos'")),
    ("1 and 1.0", {"a.csv": labelled("1", "1.0")}, LOOK_ALIKE.format("'1'", "'1.0'")),
    ("a dash", {"a.csv": labelled("so-so", "so\u2013so")}, LOOK_ALIKE.format("'so-so'", r"'so\\u2013so'")),
    (
        "over files",
        {"a.csv": table(), "b.csv": table(["NEG", "POS"])},
        r"'neg' \(a.csv row 1\) and 'NEG' \(b.csv row 1\)",
    ),
    (
        "a lone quote",
        {"a.tsv": LONE_QUOTE},
        r"row 31 \(line 32\): a double quote is never closed.* --data.quoting none",
    ),
    ("swallowed rows", {"a.tsv": SWALLOWED}, r"row 31 \(line 32\): .*opens a field of 11 lines.* --data.quoting none"),
    ("swallowed in CSV", {"a.csv": SWALLOWED.replace("\t", ",")}, r"row 31 \(line 32\): .*opens a field of 11 lines"),
    (
        "backslashes",
        {"a.csv": table().replace("dull word2 ", '"dull \\"word\\", two ').replace("w14\n", 'w14"\n')},
        r"row 3 .*give --data.quoting backslash",
    ),
    (
        "cut",
        {"a.csv": f"{table()}pos,sch\xf6n \xe9".encode()[:-1]},
        r"at byte [\d,]+ .line 122.: the file ends within a",
    ),
    ("CESU-8", {"a.csv": with_bytes(120, "\ud83d\ude00".encode(errors="surrogatepass"))}, "line 121.: .*CESU-8"),
    (
        "mixed",
        {"a.csv": with_bytes(60, b" \xe9", " \xe9")},
        r"line 61., and other characters are UTF-8: fix these bytes",
    ),
    ("a bad byte", {"a.csv": with_bytes(12, b"\x81")}, r"at byte [\d,]+ .line 13.; fix these bytes, or"),
    (
        "dates",
        {"a.parquet": parquet(pa.array([date(2020, 1, 1 + row % 2) for row in range(ROWS)]))},
        r"holds date32\[day\], expected text or numbers; name another column with --data.label-column; it has 'text'",
    ),
    ("a column twice", {"a.csv": "label,text,text\nneg,a,b\n"}, "has the column 'text' twice"),
    (
        "not all named",
        {"train.csv": PARTS["train"], "test.csv": PARTS["test"], "more.csv": table()},
        "more.csv is not named train, validation or test, but others are",
    ),
]


def fetch(folder: Path, files: Files, flags: str = "") -> tuple[dict[str, int], list[str]]:
    """Return the number of rows per split, and the lines that the run reports."""
    source, said = folder / "in", list[str]()
    for name, content in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    dataset = f"{source}/" if len(files) > 1 else str(source / next(iter(files)))
    settings = parse_command_line(RunSettings, ["--data.dataset", dataset, *flags.split()], "train", "").data
    (folder / "out").mkdir()
    fetch_own(pin(settings, said.append), folder / "out", said.append)
    return dict(Counter(pq.read_table(folder / "out" / "texts.parquet")["split"].to_pylist())), said


@pytest.mark.parametrize(("files", "flags", "rows", "line"), [pytest.param(*case, id=kind) for kind, *case in TRAINED])
def test_a_supported_file_is_read_and_its_oddities_are_reported(tmp_path, files, flags, rows, line):
    splits, said = fetch(tmp_path, files, flags)
    assert splits == rows if isinstance(rows, dict) else sum(splits.values()) == rows
    assert (not said) if line is None else any(re.search(line, one) for one in said), said


@pytest.mark.parametrize(("files", "line"), [pytest.param(*case, id=kind) for kind, *case in REFUSED])
def test_an_unusable_file_is_refused_in_one_line(tmp_path, files, line):
    with pytest.raises(InputError, match=line) as caught:
        fetch(tmp_path, files)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "in") in str(caught.value)


def test_escaped_quotes_reach_the_text_without_backslashes(tmp_path):
    rows = "".join(f'{label},"{text} \\"so\\", and"\n' for label, text in zip(LABELS, texts(), strict=True))
    fetch(tmp_path, {"a.csv": f"label,text\n{rows}"}, "--data.quoting backslash")
    assert pq.read_table(tmp_path / "out" / "texts.parquet")["text"][0].as_py() == f'{texts()[0]} "so", and'


@given(
    st.text(max_size=8),
    st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]),
    st.sampled_from([" ", "\u200b", "\xa0", "\ufeff"]),
)
def test_appearance_ignores_normal_forms_and_outer_invisible_characters(label, form, hidden):
    other = hidden + unicodedata.normalize(form, label) + hidden
    assert appearance(other) == appearance(label)
    assert is_missing(other) >= (label in MISSING)
