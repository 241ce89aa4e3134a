"""An ONNX graph in the making: operators and constants, and Keras's activations among them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

# ONNX is imported inside the functions that need it: others never pay for it.
if TYPE_CHECKING:
    import onnx

# Keras's activations as ONNX's operators, with their parameters.
ACTIVATIONS: dict[str, tuple[str, dict[str, float]]] = {
    "elu": ("Elu", {"alpha": 1.0}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "linear": ("Identity", {}),
    "relu": ("Relu", {}),
    "selu": ("Selu", {}),
    "sigmoid": ("Sigmoid", {}),
    "softmax": ("Softmax", {"axis": -1}),
    "softsign": ("Softsign", {}),
    "tanh": ("Tanh", {}),
}


class Graph:
    """Operators and the constants they read, in the order in which they were added; names are numbers."""

    def __init__(self, prefix: str = "") -> None:
        """Begin an empty graph; `prefix` tells the names of one within another apart from that other's."""
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """Add an array, and return its name."""
        from onnx import numpy_helper

        name = f"{self.prefix}c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def ints(self, *values: int) -> str:
        """Add a list of integers, as axes and shapes are given."""
        return self.constant(values, np.int64)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator, and return the name of its output."""
        return self.add_many(operator, inputs, 1, **attributes)[0]

    def add_many(self, operator: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> list[str]:
        """Add an operator, and return the names of its outputs."""
        from onnx import helper

        place = len(self.nodes)
        names = [f"{self.prefix}n{place}" + (f"_{number}" if number else "") for number in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names


def activate(graph: Graph, name: str, value: str) -> str:
    """Add an activation, by Keras's name."""
    operator, parameters = ACTIVATIONS[name]
    return graph.add(operator, value, **parameters)
