"""Slices: test texts that share a value of a column, such as a film, in the order in which they are scored."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SLICES = "slices.parquet"
COLUMN = b"column"


@dataclass(frozen=True)
class Slices:
    """The value of a column for n test texts.

    Attributes:
        column: its name.
        values: distinct values of large slices.
        places: (n,) int32 places in `values`; -1 if too few texts share a text's value.
    """

    column: str
    values: list[str]
    places: np.ndarray


def large_slices(column: str, values: pa.Array, min_rows: int) -> Slices:
    """Return the slices of n strings that have at least `min_rows` rows."""
    encoded = values.dictionary_encode()
    places = encoded.indices.to_numpy()
    counts = np.bincount(places, minlength=len(encoded.dictionary))
    kept = np.flatnonzero(counts >= min_rows)
    place_of_value = np.full(len(counts), -1, np.int32)
    place_of_value[kept] = np.arange(len(kept))
    return Slices(column, encoded.dictionary.take(pa.array(kept)).to_pylist(), place_of_value[places])


def write_slices(folder: Path, slices: Slices) -> None:
    """Write the value of each text, null for rare ones."""
    places = pa.array(slices.places, mask=slices.places < 0)
    values = pa.DictionaryArray.from_arrays(places, pa.array(slices.values, pa.string()))
    table = pa.table({"value": values}).replace_schema_metadata({COLUMN: slices.column})
    pq.write_table(table, folder / SLICES, compression="zstd")


def read_slices(folder: Path) -> Slices:
    """Read slices.parquet."""
    table = pq.read_table(folder / SLICES)
    values = table["value"].combine_chunks()
    return Slices(
        table.schema.metadata[COLUMN].decode(),
        values.dictionary.to_pylist(),
        values.indices.fill_null(-1).to_numpy().astype(np.int32),
    )
