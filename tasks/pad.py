"""Pad: turn token lists into a rectangle and write it as Parquet."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.core.data_settings import PadSettings
from tasks.store.step import step
from tasks.texts.dataset_info import label_dtype
from tasks.texts.encoded import Encoding, encoded_file, iterate_encoded
from tasks.texts.padded import SPLITS, pad_tokens, padded_file, write_padded

FORMAT = "padded texts, version 2"


def padded_schema(encoding: Encoding, settings: PadSettings) -> pa.Schema:
    """Return the schema of a padded file, with how it was made as metadata."""
    token_type = np.dtype(np.uint16 if encoding.vocabulary_size <= 1 << 16 else np.int32)
    label_type = pa.from_numpy_dtype(label_dtype(encoding.labels))
    text_type = pa.binary(settings.maxlen * token_type.itemsize)
    fields = [("tokens", text_type), ("length", pa.int32()), ("label", label_type)]
    facts = {"format": FORMAT, "rule": encoding.tokenisation, "vocabulary_size": encoding.vocabulary_size}
    facts |= settings.model_dump(include={"maxlen", "padding", "truncating"})
    facts |= {"labels": encoding.labels, "start_char": encoding.start_char or 0, "token_type": token_type.name}
    return pa.schema(fields, metadata={name: str(value) for name, value in facts.items()})


@step(run_name="pad to {settings.maxlen}")
def pad(*, encoded: Path, settings: PadSettings, folder: Path) -> dict[str, int]:
    """Write train, validation and test.parquet, and return the number of texts in each."""
    schema, rows = padded_schema(Encoding.read(encoded), settings), {}
    options = settings.model_dump(include={"maxlen", "padding", "truncating"})
    for split in SPLITS:
        batches = iterate_encoded(encoded_file(encoded, split))
        parts = ((*pad_tokens(batch["tokens"], **options), batch["label"].to_numpy()) for batch in batches)
        rows[split] = write_padded(padded_file(folder, split), schema, parts)
    return rows
