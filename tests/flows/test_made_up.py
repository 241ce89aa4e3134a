"""Generated files, folders and environments are accepted, or refused in a short error that names the place."""

import gzip
import io
import json
import os
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tasks.predict
from tasks.core.command_settings import PredictSettings
from tasks.core.data_settings import EncodeSettings, PadSettings, SourceSettings
from tasks.core.errors import MAX_LINES, PipelineError, UsageError, print_error
from tasks.core.run_settings import RunSettings
from tasks.download import download
from tasks.encode import encode
from tasks.pad import pad
from tasks.predict import check_places, predict_files
from tests.support.small_runs import parse_command_line

# Prefect's threads of earlier tests in this process use `random` while Hypothesis draws an example.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")

ODD = [
    "",
    " ",
    '"',
    "it's",
    ",",
    ";",
    "\t",
    "\r\n",
    "\x00",
    "\x85",
    "\u2028",
    "\ud7ff",
    "İΣς",
    "é",
    "NaN",
    "null",
    "[]",
]
CELLS = st.one_of(st.sampled_from(["good film", "bad", *ODD]), st.text(max_size=12))
LABELS = st.sampled_from(
    ["0", "1", "0.0", "1.0", " positive ", "negative", "", "x", "true", 0, 1, 1.0, None, True, [1]]
)
COLUMNS = st.sampled_from(["text", "label", "text", "label", "Text", "split", "", " text", "a\nb", "probability"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | CELLS,
    lambda its: st.lists(its, max_size=2) | st.dictionaries(CELLS, its, max_size=2),
    max_leaves=3,
)


@st.composite
def plain_rows(draw) -> list[dict]:
    """Draw rows that can be trained on, before a test changes them."""
    count = draw(st.sampled_from([80, 80, 80, 9, 1, 0]))
    odd = draw(st.lists(CELLS, max_size=3))
    return [{"text": f"film {row} {odd[row] if row < len(odd) else ''}", "label": str(row % 2)} for row in range(count)]


@st.composite
def odd_rows(draw) -> list[dict]:
    """Draw rows of any columns and values."""
    columns = draw(st.lists(COLUMNS, min_size=1, max_size=4))
    return draw(st.lists(st.fixed_dictionaries(dict.fromkeys(columns, LABELS | VALUES)), max_size=5))


ROWS = plain_rows() | odd_rows() | st.tuples(plain_rows(), odd_rows()).map(lambda both: both[0] + both[1])


def write_csv(rows: list[dict], comma: str, end: str, quoted: bool) -> str:
    """Return rows as a handwritten table; without quotes, a comma in a text adds a field."""

    def field(value: object) -> str:
        cell = "" if value is None else str(value)
        return '"' + cell.replace('"', '""') + '"' if quoted else cell

    names = list(rows[0]) if rows else ["text", "label"]
    lines = [names, *([row.get(name) for name in names] for row in rows)]
    return "".join(comma.join(map(field, line)) + end for line in lines)


@st.composite
def csv_files(draw) -> bytes:
    """Draw a CSV file: half of them well-formed, the others with any quotes, line ends and encodings."""
    if draw(st.booleans()):
        return write_csv(draw(plain_rows()), ",", "\n", quoted=True).encode()
    text = write_csv(
        draw(ROWS), draw(st.sampled_from(",;\t|")), draw(st.sampled_from(["\n", "\r\n", "\r"])), draw(st.booleans())
    )
    head = draw(st.sampled_from(["", "\n", "\ufeff"]))
    return (head + text).encode(draw(st.sampled_from(["utf-8", "latin-1", "utf-16"])), "replace")


@st.composite
def json_files(draw) -> bytes:
    """Draw JSON lines, or an array."""
    rows = draw(plain_rows() | ROWS | st.lists(VALUES, max_size=3))
    text = json.dumps(rows) if draw(st.booleans()) else "".join(json.dumps(row) + "\n" for row in rows)
    return text.encode()


@st.composite
def parquet_files(draw) -> bytes:
    """Draw a Parquet file with columns of any type and possibly duplicate names."""
    count = draw(st.sampled_from([80, 80, 3, 0]))
    texts = [f"film {row}" for row in range(count)]
    arrays = [
        pa.array(texts),
        pa.array(texts, pa.large_string()),
        pa.array(texts).dictionary_encode(),
        pa.array(texts, pa.string_view()),
        pa.array([text.encode() for text in texts]),
        pa.array([row % 2 for row in range(count)]),
        pa.array([row % 2 for row in range(count)], pa.float32()),
        pa.array([bool(row % 2) for row in range(count)]),
        pa.array([str(row % 2) if row else None for row in range(count)]),
        pa.array([str(row % 2) for row in range(count)]).dictionary_encode(),
        pa.array([Decimal(row % 2) for row in range(count)], pa.decimal128(5, 1)),
        pa.array([datetime(2026, 1, 1 + row % 2, tzinfo=UTC) for row in range(count)], pa.timestamp("us", "UTC")),
        pa.array([[row] for row in range(count)], pa.list_(pa.int64())),
        pa.array([{"a": row} for row in range(count)], pa.struct([("a", pa.int64())])),
        pa.nulls(count),
    ]
    chosen = draw(st.lists(st.sampled_from(arrays), max_size=3))
    names = draw(st.lists(st.sampled_from(["a", "b", "text"]), min_size=len(chosen), max_size=len(chosen)))
    text, label = arrays[draw(st.integers(0, 4))], arrays[draw(st.integers(5, len(arrays) - 1))]
    raw = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([text, label, *chosen], ["text", "label", *names]), raw)
    return raw.getvalue()


@st.composite
def damaged(draw, files) -> bytes:
    """Draw a file, sometimes with a part removed or replaced."""
    content = draw(files)
    if content and draw(st.sampled_from([False, False, False, True])):
        place = draw(st.integers(0, len(content) - 1))
        content = content[:place] + draw(st.binary(max_size=2)) + content[place + draw(st.integers(0, len(content))) :]
    return content


CSV, JSON, PARQUET = damaged(csv_files()), damaged(json_files()), damaged(parquet_files())
FILES = st.one_of(
    st.tuples(st.sampled_from(["a.csv", "B.CSV", "c.tsv"]), CSV),
    st.tuples(st.sampled_from(["a.csv.gz", "a.jsonl.gz"]), damaged((csv_files() | json_files()).map(gzip.compress))),
    st.tuples(st.sampled_from(["a.jsonl", "a.json", "README.txt"]), JSON),
    st.tuples(st.just("a.parquet"), PARQUET),
    st.tuples(
        st.sampled_from(["a.csv", "a.parquet", "a.csv.zst", "a.txt", "a.doc", "a", "gz"]), st.binary(max_size=40)
    ),
)


@contextmanager
def on_disk(files: list[tuple[str, bytes]], whole: bool):
    """Yield a working folder and the path of the input: the folder of the files, or the first file."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "in"
        (folder / "old.csv").mkdir(parents=True)
        for name, content in files:
            (folder / name).write_bytes(content)
        yield Path(scratch), folder if whole or not files else folder / files[0][0]


def check_refusal(error: Exception, place: Path, capsys) -> None:
    """Check that an error is a short PipelineError that names the place."""
    assert isinstance(error, PipelineError)
    assert str(place) in str(error)
    capsys.readouterr()
    print_error("train", str(error))
    assert 1 <= capsys.readouterr().err.count("\n") <= MAX_LINES
    assert "pyarrow" not in str(error)


EXAMPLES = int(os.environ.get("MADE_UP", "40"))
many = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))


@many
@given(st.lists(FILES, max_size=2), st.booleans(), st.sampled_from([None, None, "1", "x"]), st.booleans())
def test_any_files_are_trained_on_or_refused_with_a_short_error(capsys, files, whole, positive, strict):
    with on_disk(files, whole) as (scratch, place):
        limits = {} if strict else {"min_class_share": 0, "max_leaks": 0.99}
        asked = SourceSettings(dataset=str(place), positive_label=positive, **limits)
        downloaded, encoded, padded = (scratch / name for name in ("downloaded", "encoded", "padded"))
        for folder in (downloaded, encoded, padded):
            folder.mkdir()
        try:
            download.function(settings=asked, folder=downloaded)
            encode.function(downloaded=downloaded, settings=EncodeSettings(), folder=encoded)
            rows = pad.function(encoded=encoded, settings=PadSettings(maxlen=8), folder=padded)
        except PipelineError as error:
            # Errors about a whole split name the split instead of the place.
            check_refusal(error, Path("texts") if "texts" in str(error) else place, capsys)
        else:
            assert set(rows) == {"train", "validation", "test"}
            assert min(rows.values()) > 0


@many
@given(st.lists(FILES, max_size=3), st.booleans(), st.sampled_from(["out", "in", "out.parquet", "in/old.csv/x"]))
def test_any_files_are_scored_or_refused_with_a_short_error(classifier, capsys, files, whole, output):
    with on_disk(files, whole) as (scratch, place):
        before = {path: path.read_bytes() for path in place.parent.rglob("*") if path.is_file()}
        asked = PredictSettings(input=str(place), output=str(scratch / output))
        with patch.object(tasks.predict, "load_classifier", lambda *_: classifier):
            try:
                check_places(asked)
                result = predict_files(asked, None, lambda *_: None)
            except PipelineError as error:
                check_refusal(error, scratch, capsys)
                assert not (scratch / "out").exists()
            else:
                for file in result["files"]:
                    assert pq.read_metadata(file["output"]).num_rows == file["rows"] > 0
                for message in result["refused"]:
                    assert str(place) in message
        assert {path: path.read_bytes() for path in before} == before


VARIABLES = ("IMDB_PRESET", "IMDB_DATA", "IMDB_DATA__MAXLEN", "IMDB_DATA__DATASET", "IMDB_DATA__SOURCE",
             "IMDB_DATA__MAXLIN", "IMDB_MODEL__CELL", "IMDB_STORE", "IMDB_DEBUG")  # fmt: skip
GIVEN = st.sampled_from(["", "none", "-1", "{", "[]", "1e400", "/", "~0", "gru"]) | st.text(max_size=9)


@many
@given(st.dictionaries(st.sampled_from(VARIABLES), GIVEN.filter(str.isprintable)))
def test_any_variables_are_accepted_or_refused_with_a_short_error(capsys, environment):
    with patch.dict(os.environ, environment):
        try:
            assert isinstance(parse_command_line(RunSettings, [], "train", ""), RunSettings)
        except UsageError as error:
            check_refusal(error, Path("IMDB_"), capsys)
            for line in str(error).splitlines():
                # The settings of a section that do not fit together are those of several variables.
                assert line.startswith(tuple(environment)) or "; the environment sets IMDB_" in line, environment


@pytest.mark.parametrize("flags", [[], ["--debug"]])
def test_an_unexpected_error_is_one_line_and_debug_shows_its_traceback(capsys, monkeypatch, flags):
    from tasks.reporting import command_line, prefect_server

    def fall(_settings: RunSettings) -> Path:
        raise KeyError("no such thing")

    monkeypatch.setattr("sys.argv", ["train", *flags])
    monkeypatch.setenv("IMDB_DEBUG", str(bool(flags)).lower())
    monkeypatch.setattr(prefect_server, "check_server", lambda **_: None)
    monkeypatch.setattr(command_line, "unfinished_step", lambda: None)  # earlier tests in this process leave some
    assert command_line.run_flow(fall, RunSettings, lambda _: 0) == 1
    said = capsys.readouterr().err
    assert ("Traceback" in said) == bool(flags)
    assert "train: the run failed: unexpected KeyError at test_made_up.py" in said.splitlines()[-1]
