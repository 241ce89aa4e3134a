"""Hypothesis strategies for texts and labels, and a reader of both."""

from pathlib import Path

from hypothesis import strategies as st

from tasks.texts.tables.columns import ReadOptions
from tasks.texts.tables.reading import read_batches

TABLE = ReadOptions(columns={"text": "--data.text-column", "label": "--data.label-column"})
# Any characters except surrogates and byte-order marks.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff"), max_size=40)
LABELS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=9).filter(
    lambda name: len(name.encode()) < 99
)


def read(path: Path) -> list[tuple[str, str | None]]:
    """Return text and label of each row."""
    rows = [row for batch in read_batches(path, TABLE) for row in batch.to_pylist()]
    return [(row["text"], row["label"]) for row in rows]
