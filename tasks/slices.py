"""Slices: group the test texts by a column of your files, to evaluate the chosen model on each value."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.core.data_settings import SlicedDataSettings
from tasks.core.errors import InputError
from tasks.core.run_settings import SliceSettings
from tasks.store.step import step
from tasks.texts.dataset_info import TEXTS, Dataset
from tasks.texts.downloaded import scored_order, take_rows
from tasks.texts.groups import large_slices, write_slices
from tasks.texts.sources.layouts import hash_files
from tasks.texts.sources.own_files import read_options
from tasks.texts.sources.remote import dataset_path
from tasks.texts.tables.columns import strings_of
from tasks.texts.tables.reading import read_batches

FLAG = "--evaluation.slice-column"


def read_values(path: Path, column: str, tests: pa.Table, settings: SlicedDataSettings) -> pa.Array:
    """Return a column for the test rows, each with its file and row, in their order: strings, "" for null."""
    found, options = [], read_options(settings, {column: FLAG})
    for name in tests["file"].unique().to_pylist():
        rows = tests.filter(pc.equal(tests["file"], name))["row"].to_numpy()
        file = path / name if path.is_dir() else path
        values = (strings_of(batch, column, file, FLAG) for batch in read_batches(file, options))
        batches = (pa.record_batch({column: pc.utf8_trim_whitespace(its)}) for its in values)
        found += take_rows(batches, rows - 1)[column].chunks
    return pa.concat_arrays(found)


@step(run_name="slice by {settings.slice_column}")
def slices(*, downloaded: Path, data: SlicedDataSettings, settings: SliceSettings, folder: Path) -> dict[str, int]:
    """Write slices.parquet: the value of the column for each test text.

    Return how many values have enough texts to be evaluated alone, and how many texts these have. Raise InputError if
    the files have changed, lack the column, or no value has enough test texts.
    """
    path, column = dataset_path(data), str(settings.slice_column)
    if hash_files(path) != Dataset.read(downloaded).sha256:
        raise InputError(f"{path}: its content has changed since the run began; run again")
    texts = pq.read_table(downloaded / TEXTS, columns=["split", "file", "row"])
    values = read_values(path, column, texts.filter(pc.equal(texts["split"], "test")), data)
    scored = values.take(pa.array(scored_order(downloaded, data)))
    large = large_slices(scored, settings.min_slice_rows)
    if not len(large.dictionary):
        raise InputError(
            f"{path}: the column {column!r} has {len(scored.unique()):,} values in {len(scored):,} test rows, and none "
            f"in {settings.min_slice_rows:,} or more; name another with --evaluation.slice-column, or lower "
            "--evaluation.min-slice-rows"
        )
    write_slices(folder, large)
    return {"values": len(large.dictionary), "reviews": len(large) - large.null_count}
