"""Padded reviews: token lists of any length as a rectangle, and the Parquet file that training and evaluation read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.errors import DataError
from tasks.texts.dataset import label_dtype
from tasks.texts.tokenising import RULES
from tasks.texts.vocabulary import list_offsets

SPLITS = ("train", "validation", "test")
GROUPS_PER_PART = 4
FORMAT = "padded reviews, version 1"


@dataclass(frozen=True)
class Padded:
    """Reviews as arrays.

    Attributes:
        tokens: (n, maxlen) uint16 or int32 token ids; 0 is padding.
        lengths: (n,) int32 words kept of each review.
        labels: (n,) int8 or int16, from 0; of two labels 1 is the positive one.
        padding: "pre" or "post", the side on which rows are filled up.
        vocabulary_size: token ids end below this.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    padding: str
    vocabulary_size: int


def padded_file(folder: Path, split: str) -> Path:
    """Return where the padded reviews of a split are."""
    return folder / f"{split}.parquet"


def pad_tokens(
    tokens: pa.ListArray, maxlen: int, *, padding: str = "pre", truncating: str = "pre"
) -> tuple[np.ndarray, np.ndarray]:
    """Lay token lists into a rectangle, equal to keras.utils.pad_sequences.

    Args:
        tokens: n lists of token ids, any length, no nulls.
        maxlen: columns of the result; at least 1.
        padding: the side on which a short list is filled up with 0.
        truncating: the side on which a long list is cut, or "middle", which Keras has not: see `head_of`.

    Returns:
        (n, maxlen) of the lists' own integer type, and (n,) int32 tokens kept of each.
    """
    offsets, values = list_offsets(tokens), tokens.flatten().to_numpy()
    lengths = np.diff(offsets)
    kept = np.minimum(lengths, maxlen)
    place_in_row = np.arange(kept.sum()) - np.repeat(np.cumsum(kept) - kept, kept)
    # Keras cuts from the front by default: a reviewer's verdict stands at the end.
    is_tail = place_in_row >= head_of(maxlen, truncating)
    place = np.repeat(offsets[:-1], kept) + place_in_row + np.repeat(lengths - kept, kept) * is_tail
    column = np.arange(maxlen)
    is_filled = column >= (maxlen - kept)[:, None] if padding == "pre" else column < kept[:, None]
    padded = np.zeros((len(tokens), maxlen), values.dtype)
    padded[is_filled] = values[place]
    return padded, kept.astype(np.int32)


def pad_batch(
    batch: pa.RecordBatch, maxlen: int, padding: str, truncating: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return tokens, lengths and labels of encoded rows."""
    tokens, lengths = pad_tokens(batch.column("tokens"), maxlen, padding=padding, truncating=truncating)
    return tokens, lengths, batch.column("label").to_numpy()


def head_of(maxlen: int, truncating: str) -> int:
    """Return how many tokens of a list that is too long are of its beginning; the others are of its end.

    "pre" cuts away the beginning, "post" the end, "middle" leaves the first quarter and the last three.
    """
    return {"pre": 0, "middle": maxlen // 4, "post": maxlen}[truncating]


def padded_schema(
    maxlen: int, vocabulary_size: int, padding: str, truncating: str, rule: str = "keras", labels: int = 2
) -> pa.Schema:
    """Return the schema of a padded file; its metadata say how it was made, and how many labels if not two."""
    token_type = pa.uint16() if vocabulary_size <= 1 << 16 else pa.int32()
    label_type = pa.from_numpy_dtype(label_dtype(labels))
    fields = [("tokens", pa.list_(token_type, maxlen)), ("length", pa.int32()), ("label", label_type)]
    made = {
        "format": FORMAT,
        "rule": rule,
        "vocabulary_size": str(vocabulary_size),
        "maxlen": str(maxlen),
        "padding": padding,
        "truncating": truncating,
    } | ({"labels": str(labels)} if labels > 2 else {})
    return pa.schema(fields, metadata=made)


def write_padded(path: Path, schema: pa.Schema, parts: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> int:
    """Write a padded file part by part, a row group each, and return the number of rows.

    Args:
        path: the file to write.
        schema: as `padded_schema` returns it.
        parts: tokens (n, maxlen), lengths (n,) and labels (n,).
    """
    rows = 0
    # Token ids hardly repeat in runs: a dictionary would cost time and save nothing over zstd alone.
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        for tokens, lengths, labels in parts:
            values = pa.array(tokens.reshape(-1), schema.field("tokens").type.value_type)
            rectangle = pa.FixedSizeListArray.from_arrays(values, tokens.shape[1])
            columns = [rectangle, pa.array(lengths, pa.int32()), pa.array(labels, schema.field("label").type)]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=max(len(labels), 1))
            rows += len(labels)
    return rows


class PaddedFile(Sequence[Padded]):
    """A padded file as a sequence of parts, each read when it is asked for, so that one alone is in memory.

    A part is four row groups, at most 32,768 reviews: row groups are small for the steps that write them, parts large
    enough for batches of reviews of like length.
    """

    def __init__(self, path: Path) -> None:
        """Open a padded file.

        Raises:
            DataError: it was made otherwise than `write_padded` makes it.
        """
        import pyarrow.dataset as ds  # brings pandas, which a service that only pads would carry for nothing

        self.path = path
        (self._file,) = ds.dataset(path).get_fragments()
        self.metadata = read_metadata(path, self._file.physical_schema)
        self.rows: int = self._file.metadata.num_rows
        self._parts = -(-self._file.metadata.num_row_groups // GROUPS_PER_PART)

    def __len__(self) -> int:
        """Return the number of parts."""
        return int(self._parts)

    def __getitem__(self, part: Any) -> Any:
        """Read a part."""
        if not 0 <= part < self._parts:
            raise IndexError(part)
        table = self.read(part)
        return Padded(
            tokens=join([chunk.flatten().to_numpy() for chunk in table["tokens"].chunks]).reshape(
                -1, int(self.metadata["maxlen"])
            ),
            lengths=join([chunk.to_numpy() for chunk in table["length"].chunks]),
            labels=join([chunk.to_numpy() for chunk in table["label"].chunks]),
            padding=self.metadata["padding"],
            vocabulary_size=int(self.metadata["vocabulary_size"]),
        )

    def read(self, part: int, columns: list[str] | None = None) -> pa.Table:
        """Read a part's row groups side by side: all columns, or those named."""
        groups = range(part * GROUPS_PER_PART, min((part + 1) * GROUPS_PER_PART, self._file.metadata.num_row_groups))
        return self._file.subset(row_group_ids=list(groups)).to_table(columns=columns)


def maxlen_of(parts: Sequence[Padded]) -> int:
    """Return the columns that the tokens of every part have, without reading the tokens of a file."""
    return int(parts.metadata["maxlen"]) if isinstance(parts, PaddedFile) else int(parts[0].tokens.shape[1])


def lengths_of(parts: Sequence[Padded]) -> list[np.ndarray]:
    """Return the words kept of each review, part by part, without reading the tokens of a file."""
    return read_column(parts, "length")


def labels_of(parts: Sequence[Padded]) -> list[np.ndarray]:
    """Return the label of each review, part by part, without reading the tokens of a file."""
    return read_column(parts, "label")


def read_column(parts: Sequence[Padded], column: str) -> list[np.ndarray]:
    """Return a column beside the tokens, "length" or "label", part by part."""
    if not isinstance(parts, PaddedFile):
        return [getattr(part, f"{column}s") for part in parts]
    return [parts.read(part, [column])[column].to_numpy() for part in range(len(parts))]


def read_sizes(path: Path) -> tuple[int, int]:
    """Return the number below which the token ids of a padded file end, and the number of labels.

    Raises:
        DataError: the file was made otherwise than `write_padded` makes it.
    """
    made = read_metadata(path, pq.read_schema(path))
    return int(made["vocabulary_size"]), int(made.get("labels", 2))


def read_metadata(path: Path, schema: pa.Schema) -> dict[str, str]:
    """Return how a padded file was made, or refuse one that was made otherwise."""
    made = {name.decode(): value.decode() for name, value in (schema.metadata or {}).items()}
    for name, expected in (("format", [FORMAT]), ("rule", list(RULES))):
        if made.get(name) not in expected:
            raise DataError(
                f"{path}: its {name} is {made.get(name, 'not given')!r}, expected {' or '.join(expected)}; "
                "remove the file, and the next run makes it again"
            )
    return made


def join(chunks: list[np.ndarray]) -> np.ndarray:
    """Return the one chunk as it is, or several as one array."""
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)
