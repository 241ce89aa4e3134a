"""Pad: turn token lists into a rectangle and write it as Parquet."""

from pathlib import Path

from tasks.core.data_settings import PadSettings
from tasks.store.step import step
from tasks.texts.encoded import Encoding, encoded_file, iterate_encoded
from tasks.texts.padded import SPLITS, pad_tokens, padded_file, padded_schema, write_padded


@step(run_name="pad to {settings.maxlen}")
def pad(*, encoded: Path, settings: PadSettings, folder: Path) -> dict[str, int]:
    """Write train, validation and test.parquet, and return the number of texts in each."""
    encoding = Encoding.read(encoded)
    options = settings.model_dump(include={"maxlen", "padding", "truncating"})
    facts = encoding.model_dump(include={"vocabulary_size", "labels", "start_char"})
    schema = padded_schema(rule=encoding.tokenisation, **facts, **options)
    rows = {}
    for split in SPLITS:
        batches = iterate_encoded(encoded_file(encoded, split))
        parts = ((*pad_tokens(batch["tokens"], **options), batch["label"].to_numpy()) for batch in batches)
        rows[split] = write_padded(padded_file(folder, split), schema, parts)
    return rows
