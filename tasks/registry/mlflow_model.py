"""The classifier as MLflow loads it, without this project: texts in, a table of verdicts out.

MLflow calls `_load_pyfunc` on a registered version's folder, which holds a copy of these modules; no pickle is read.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tasks.core.errors import InputError
from tasks.network.bundle import Classifier, open_onnx
from tasks.network.verdicts import verdict_columns

if TYPE_CHECKING:
    import pandas

COLUMN = "text"
# MLflow's names for the column of a list, in a process of its own and in Spark.
UNNAMED = (0, "0")


class TextModel:
    """Scores texts for MLflow."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    def predict(self, model_input: "pandas.DataFrame", params: dict[str, Any] | None = None) -> "pandas.DataFrame":
        """Return predicted_label and probability of each text; with more than two labels also each label's probability.

        Args:
            model_input: `text` is its first column, or it is a list that MLflow turned into a column.
            params: ignored.

        Raises:
            InputError: the first column has another name.
        """
        import pandas

        first = model_input.columns[0]
        if first not in (COLUMN, *UNNAMED):
            raise InputError(f"the first column is {first!r}; expected the texts there, in a column {COLUMN!r}")
        texts = pa.array([str(text) for text in model_input[first]], pa.string())
        found = verdict_columns(self.classifier, self.classifier.predict(texts)) if len(texts) else {}
        return pandas.DataFrame({name: column.to_numpy(zero_copy_only=False) for name, column in found.items()})


def _load_pyfunc(path: str) -> TextModel:
    """Return the model in a registered version's folder; MLflow prescribes the name."""
    return TextModel(open_onnx("", Path(path)))
