import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.data_settings import DataSettings
from tasks.core.environment import store_root
from tasks.core.errors import InputError
from tasks.core.run_settings import RunSettings, SliceSettings
from tasks.download import download
from tasks.encode import encode
from tasks.slices import slices
from tasks.texts.encoded import Encoding, encoded_file, read_vocabulary
from tasks.texts.groups import read_slices
from tests.support.small_runs import small

FILMS = ("Alien", "Brazil", " Alien ", None, "7")


@pytest.fixture
def own_data(tmp_path):
    """400 own texts, each of which contains the number of its film."""
    rows = [
        {"text": f"{'good' if row % 2 else 'bad'} film{row % 5} n{row}", "label": row % 2, "film": FILMS[row % 5],
         "row": row, "tags": ["a"]}
        for row in range(400)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "own.parquet")
    for folder in ("downloaded", "encoded", "divided"):
        (tmp_path / folder).mkdir()
    data = DataSettings(dataset=str(tmp_path / "own.parquet"))
    download.function(settings=data, folder=tmp_path / "downloaded")
    return data


def run_slices(tmp_path, data, **values):
    slices.function(
        downloaded=tmp_path / "downloaded", data=data, settings=SliceSettings(**values), folder=tmp_path / "divided"
    )
    return read_slices(tmp_path / "divided")


@pytest.mark.parametrize(("max_reviews", "unlabelled"), [(None, False), (40, False), (None, True)])
def test_slice_values_are_in_the_order_of_the_encoded_test_texts(own_data, tmp_path, max_reviews, unlabelled):
    data = own_data.model_copy(update={"max_reviews": max_reviews, "unlabelled": "drop"})
    if unlabelled:
        rows = pq.read_table(tmp_path / "own.parquet").to_pylist()
        rows = [row | {"label": row["label"] if row["row"] % 7 else None} for row in rows]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "own.parquet")
        download.function(settings=data, folder=tmp_path / "downloaded")
    encode.function(downloaded=tmp_path / "downloaded", settings=data, folder=tmp_path / "encoded")
    slices = run_slices(tmp_path, data, slice_column="film", min_slice_rows=2)
    words, encoding = read_vocabulary(tmp_path / "encoded"), Encoding.read(tmp_path / "encoded")
    tokens = pq.read_table(encoded_file(tmp_path / "encoded", "test"))["tokens"].to_pylist()
    assert len(slices) == len(tokens) == (max_reviews or len(tokens))
    for value, ids in zip(slices.to_pylist(), tokens, strict=True):
        known = [words[its - 1 - encoding.index_from] for its in ids[1:] if its > encoding.index_from]
        (film,) = (int(word[4:]) for word in known if word.startswith("film"))
        assert value == (FILMS[film] or "").strip()
    assert set(slices.dictionary.to_pylist()) == {"Alien", "Brazil", "", "7"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"slice_column": "actor"}, "has no column 'actor', only .*; name it with --evaluation.slice-column"),
        (
            {"slice_column": "row"},
            r"'row' has (\d+) values in \1 test rows, and none in 30 or more; name another with --ev",
        ),
        ({"slice_column": "tags"}, "the column 'tags' holds list.*, expected text or numbers"),
    ],
)
def test_an_unusable_slice_column_is_refused_by_name(own_data, tmp_path, values, message):
    with pytest.raises(InputError, match=message):
        run_slices(tmp_path, own_data, **values)
    assert list((tmp_path / "divided").iterdir()) == []


def test_files_that_changed_since_the_download_are_refused(own_data, tmp_path):
    pq.write_table(pq.read_table(tmp_path / "own.parquet").slice(1), tmp_path / "own.parquet")
    with pytest.raises(InputError, match="its content has changed since the run began; run again"):
        run_slices(tmp_path, own_data, slice_column="film")


def test_a_slice_column_is_refused_for_the_imdb_dataset():
    with pytest.raises(ValueError, match="slice_column is for your texts"):
        RunSettings.model_validate({"evaluation": {"slice_column": "film"}})


@pytest.mark.slow
def test_another_slice_column_repeats_neither_training_nor_scoring(own_data, run, tmp_path):
    data = {"dataset": str(tmp_path / "own.parquet"), "maxlen": 16}
    sections = {"data": data, "training": {"epochs": 1}}
    by_film, by_label = (
        run(small(None, **sections, evaluation={"slice_column": column, "min_slice_rows": 10}))
        for column in ("film", "label")
    )
    again = [step["name"] for step in by_label["steps"] if not step["cached"]]
    assert again == ["slices", "evaluate", "figures", "package"]
    rows = by_film["test"]["by_slice"]
    assert sum(row["reviews"] for row in rows) == by_film["dataset"]["test"]
    assert {row["value"] for row in rows} >= {"Alien", ""}
    page = (by_film["folder"] / "report.html").read_text()
    assert "<h2>By film</h2>" in page
    assert "(nothing)" in page
    assert json.loads((by_film["folder"] / "config.json").read_text())["evaluation"]["slice_column"] == "film"


def test_a_misspelt_slice_column_is_found_before_training(own_data, tmp_path, run):
    with pytest.raises(InputError, match="has no column 'flim'"):
        run(small(None, data=own_data.model_dump(), evaluation={"slice_column": "flim"}))
    assert not (store_root() / "encode").exists()
