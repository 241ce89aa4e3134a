"""Slices: parts of the test reviews that share a value, as those of one film, in the order in which they are scored."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SLICES = "slices.parquet"
COLUMN = b"column"


@dataclass(frozen=True)
class Slices:
    """The value of a column for each of n test reviews.

    Attributes:
        column: its name.
        values: of large slices, each once.
        places: (n,) int32 places among them; -1 where a review's value has too few reviews to be judged alone.
    """

    column: str
    values: list[str]
    places: np.ndarray


def large_slices(column: str, values: pa.Array, least: int) -> Slices:
    """Return the slices of n values, told apart where at least `least` reviews share one.

    Args:
        column: its name.
        values: (n,) strings.
        least: reviews.
    """
    encoded = values.dictionary_encode()
    places = encoded.indices.to_numpy()
    counts = np.bincount(places, minlength=len(encoded.dictionary))
    kept = np.flatnonzero(counts >= least)
    place_of_value = np.full(len(counts), -1, np.int32)
    place_of_value[kept] = np.arange(len(kept))
    return Slices(column, encoded.dictionary.take(pa.array(kept)).to_pylist(), place_of_value[places])


def write_slices(folder: Path, slices: Slices) -> None:
    """Write the value of each review as a row, null where it is a rare one."""
    places = pa.array(slices.places, mask=slices.places < 0)
    values = pa.DictionaryArray.from_arrays(places, pa.array(slices.values, pa.string()))
    table = pa.table({"value": values}).replace_schema_metadata({COLUMN: slices.column})
    pq.write_table(table, folder / SLICES, compression="zstd")


def read_slices(folder: Path) -> Slices:
    """Return what `write_slices` wrote."""
    table = pq.read_table(folder / SLICES)
    values = table["value"].combine_chunks()
    return Slices(
        table.schema.metadata[COLUMN].decode(),
        values.dictionary.to_pylist(),
        values.indices.fill_null(-1).to_numpy().astype(np.int32),
    )
