"""The classifier as MLflow loads it: texts in, a table of verdicts out, without this project around it.

MLflow calls `_load_pyfunc` on a registered version's folder, which holds a copy of these modules; no pickle is read.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tasks.core.errors import InputError
from tasks.network.bundle import Classifier, open_onnx
from tasks.network.verdicts import verdict_columns

# pandas is imported where MLflow is, which brings it.
if TYPE_CHECKING:
    import pandas

COLUMN = "text"
# What MLflow calls the column of a list, in a process of its own and in Spark.
UNNAMED = (0, "0")


class TextModel:
    """What MLflow asks for verdicts."""

    def __init__(self, classifier: Classifier) -> None:
        """Score with a classifier."""
        self.classifier = classifier

    def predict(self, model_input: "pandas.DataFrame", params: dict[str, Any] | None = None) -> "pandas.DataFrame":
        """Return for each text predicted_label and probability, of more than two labels also each label's.

        Args:
            model_input: a column `text`, the first or the only one, or a list, which MLflow makes a column of.
            params: none are known.

        Raises:
            InputError: the first column is another one.
        """
        import pandas

        first = model_input.columns[0]
        if first not in (COLUMN, *UNNAMED):
            raise InputError(f"the first column is {first!r}; expected the texts there, in a column {COLUMN!r}")
        texts = pa.array([str(text) for text in model_input[first]], pa.string())
        found = verdict_columns(self.classifier, self.classifier.predict(texts)) if len(texts) else {}
        return pandas.DataFrame({name: column.to_numpy(zero_copy_only=False) for name, column in found.items()})


def _load_pyfunc(path: str) -> TextModel:
    """Return the model in a registered version's folder; MLflow's own name for it."""
    return TextModel(open_onnx("", Path(path)))
