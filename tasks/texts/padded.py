"""Padded texts: token lists as a rectangle, the Parquet file that training and evaluation read, and its batches.

All texts in a batch share one padded length, so no score depends on the rest of the batch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.texts.vocabulary import list_offsets

SPLITS = ("train", "validation", "test")
MIN_VALIDATION_ROWS = 20  # fewer cannot measure a network
GROUPS_PER_PART = 4
BUCKET_WIDTH = 32


@dataclass(frozen=True)
class Padded:
    """Texts as arrays.

    Attributes:
        tokens: (n, maxlen) uint16 or int32 token ids; 0 is padding.
        lengths: (n,) int32 words kept.
        labels: (n,) int8 or int16, from 0; with two labels 1 is positive.
        padding: the padded side, "pre" or "post".
    """

    tokens: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    padding: str


def padded_file(folder: Path, split: str) -> Path:
    """Return the path of a split's padded texts."""
    return folder / f"{split}.parquet"


def pad_tokens(
    tokens: pa.ListArray, maxlen: int, *, padding: str = "pre", truncating: str = "pre"
) -> tuple[np.ndarray, np.ndarray]:
    """Pad n token lists without nulls, like keras.utils.pad_sequences, to `maxlen` columns, at least 1.

    Short lists are padded with 0 on the side `padding`. Long lists are cut on the side `truncating`, or in the
    "middle", which Keras lacks: see `head_of`.

    Returns:
        (n, maxlen) of the lists' integer type, and (n,) int32 tokens kept.
    """
    offsets, values = list_offsets(tokens), tokens.flatten().to_numpy()
    lengths = np.diff(offsets)
    kept = np.minimum(lengths, maxlen)
    place_in_row = np.arange(kept.sum()) - np.repeat(np.cumsum(kept) - kept, kept)
    # Keras drops tokens from the front by default: reviewers put their verdict at the end.
    is_tail = place_in_row >= head_of(maxlen, truncating)
    place = np.repeat(offsets[:-1], kept) + place_in_row + np.repeat(lengths - kept, kept) * is_tail
    column = np.arange(maxlen)
    is_filled = column >= (maxlen - kept)[:, None] if padding == "pre" else column < kept[:, None]
    padded = np.zeros((len(tokens), maxlen), values.dtype)
    padded[is_filled] = values[place]
    return padded, kept.astype(np.int32)


def head_of(maxlen: int, truncating: str) -> int:
    """Return how many of maxlen tokens come from the start of a list that is too long; the rest comes from its end.

    "pre" cuts the start, "post" the end; "middle" keeps a quarter from the start and three from the end.
    """
    return {"pre": 0, "middle": maxlen // 4, "post": maxlen}[truncating]


def write_padded(path: Path, schema: pa.Schema, parts: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> int:
    """Write parts of tokens (n, maxlen), lengths (n,) and labels (n,), one row group each; return the rows.

    The tokens of a text are one value: lists, whose levels Parquet decodes one by one, take five times as long to read.
    """
    rows = 0
    # Token ids rarely repeat in runs: a dictionary would cost time and save nothing over zstd.
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        for tokens, lengths, labels in parts:
            kind = schema.field("tokens").type
            values = np.ascontiguousarray(tokens, schema.metadata[b"token_type"].decode())
            texts = pa.FixedSizeBinaryArray.from_buffers(kind, len(tokens), [None, pa.py_buffer(values)])
            columns = [texts, pa.array(lengths, pa.int32()), pa.array(labels, schema.field("label").type)]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=max(len(labels), 1))
            rows += len(labels)
    return rows


class PaddedFile(Sequence[Padded]):
    """A padded file as a sequence of parts, each read on access.

    A part is four row groups, at most 32,768 rows: enough for batches of similar length.
    """

    def __init__(self, path: Path) -> None:
        """Open a padded file; the store has checked that the step `pad` wrote it."""
        self.path, self._file = path, pq.ParquetFile(path)
        metadata = self._file.schema_arrow.metadata
        self.metadata = {name.decode(): value.decode() for name, value in metadata.items()}
        self.maxlen = int(self.metadata["maxlen"])
        self.rows: int = self._file.metadata.num_rows
        self._parts = -(-self._file.metadata.num_row_groups // GROUPS_PER_PART)

    def __len__(self) -> int:
        """Return the number of parts."""
        return int(self._parts)

    def __getitem__(self, part: Any) -> Any:
        """Read a part."""
        if not 0 <= part < self._parts:
            raise IndexError(part)
        table = self.read(part).combine_chunks()
        kind, texts = pa.type_for_alias(self.metadata["token_type"]), table["tokens"].chunk(0).buffers()
        return Padded(
            tokens=pa.Array.from_buffers(kind, len(table) * self.maxlen, texts).to_numpy().reshape(-1, self.maxlen),
            lengths=table["length"].to_numpy(),
            labels=table["label"].to_numpy(),
            padding=self.metadata["padding"],
        )

    def words_kept(self) -> np.ndarray:
        """Return the words of each text, without the start mark: (n,) integers."""
        start_char = int(self.metadata["start_char"]) or None
        return np.concatenate([words_kept(part, start_char) for part in self])

    def column(self, name: str) -> list[np.ndarray]:
        """Return the column "length" or "label", part by part, without reading the tokens."""
        return [self.read(part, [name])[name].to_numpy() for part in range(len(self))]

    def read(self, part: int, columns: list[str] | None = None) -> pa.Table:
        """Read a part's row groups: all columns, or those named."""
        groups = range(part * GROUPS_PER_PART, min((part + 1) * GROUPS_PER_PART, self._file.metadata.num_row_groups))
        return self._file.read_row_groups(list(groups), columns=columns)


def words_kept(padded: Padded, start_char: int | None) -> np.ndarray:
    """Return (n,) words of padded texts: their tokens without the start mark, unless it was cut off."""
    if start_char is None:
        return padded.lengths
    return np.asarray(padded.lengths - (padded.tokens == start_char).any(axis=1))


def bucket_lengths(lengths: np.ndarray, maxlen: int, *, bucketing: bool = True) -> np.ndarray:
    """Return padded lengths, (n,) int64: the next multiple of 32, at most maxlen; without bucketing, maxlen."""
    if not bucketing:
        return np.full(len(lengths), maxlen, np.int64)
    rounded = -(-lengths.astype(np.int64) // BUCKET_WIDTH) * BUCKET_WIDTH
    return np.clip(rounded, min(BUCKET_WIDTH, maxlen), maxlen)


def plan_batches(
    padded_lengths: np.ndarray, batch_size: int, rng: np.random.Generator | None = None
) -> list[np.ndarray]:
    """Group rows of equal padded length, (n,) of `bucket_lengths`, into batches.

    Args:
        batch_size: rows per batch; the last of each length may have fewer.
        rng: shuffles the rows within each length, then the batches; None keeps the order.

    Returns:
        Arrays of row numbers, int64; each row is in exactly one.
    """
    batches: list[np.ndarray] = []
    for length in np.unique(padded_lengths):
        rows = np.flatnonzero(padded_lengths == length)
        if rng is not None:
            rng.shuffle(rows)
        batches.extend(rows[start : start + batch_size] for start in range(0, len(rows), batch_size))
    if rng is not None:
        rng.shuffle(batches)
    return batches


def cut_batch(tokens: np.ndarray, rows: np.ndarray, length: int, padding: str) -> np.ndarray:
    """Return the tokens of `rows`, cut to their padded length: (rows, length) int32.

    `tokens` are (n, maxlen) integers, with 0 as padding on the side `padding`, "pre" or "post".
    """
    maxlen = tokens.shape[1]
    columns = slice(maxlen - length, maxlen) if padding == "pre" else slice(0, length)
    return tokens[rows, columns].astype(np.int32)
