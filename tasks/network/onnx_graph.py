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


# ONNX is imported inside the functions that need it: others never pay for it.
if TYPE_CHECKING:
    import onnx

# The activations that ONNX's recurrent operators know; the identity is called by another name there.
WITHIN_CELLS = {name: operator for name, operator in ACTIVATIONS.items() if name not in ("linear", "selu", "softmax")}
WITHIN_CELLS["linear"] = ("Affine", {"alpha": 1.0, "beta": 0.0})
# The gates of Keras's kernels, in the order in which ONNX wants them.
GATES = {"SimpleRNN": [0], "GRU": [0, 1, 2], "LSTM": [0, 3, 1, 2]}
OPERATORS = {"SimpleRNN": "RNN", "GRU": "GRU", "LSTM": "LSTM"}


def run_recurrent(graph: Graph, layer: Any, words: str) -> list[str]:
    """Add a recurrent layer, one way or both; return its output, and its states where it returns them."""
    ways = [layer.forward_layer, layer.backward_layer] if type(layer).__name__ == "Bidirectional" else [layer]
    one, steps = ways[0], graph.add("Transpose", words, perm=[1, 0, 2])
    used = {one.activation.__name__, getattr(one, "recurrent_activation", one.activation).__name__}
    run = run_operator if used <= WITHIN_CELLS.keys() else run_scans
    sequence, states = run(graph, ways, steps)
    if one.return_sequences:
        turned = graph.add("Transpose", sequence, perm=[2, 0, 1, 3])
        return [graph.add("Reshape", turned, graph.ints(0, 0, len(ways) * one.units))]
    each = [[graph.add("Gather", state, graph.constant(way, np.int64)) for state in states] for way in range(len(ways))]
    last = [way[0] for way in each]
    output = last[0] if len(last) == 1 else graph.add("Concat", *last, axis=-1)
    return [output, *(state for way in each for state in way)] if one.return_state else [output]


def by_gate(kind: str, weights: Any) -> np.ndarray:
    """Return a kernel of Keras's, (inputs, gates * units), as ONNX has it: (gates * units, inputs) in its own order."""
    array = np.asarray(weights)
    gates = np.split(array, len(GATES[kind]), axis=-1)
    return np.concatenate([gates[gate] for gate in GATES[kind]], axis=-1).T


def biases_of(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the biases of the input's and of the state's product: (gates * units,) each, in Keras's order."""
    bias = np.asarray(layer.cell.bias)
    return (bias[0], bias[1]) if bias.ndim == 2 else (bias, np.zeros_like(bias))


def run_operator(graph: Graph, ways: list[Any], steps: str) -> tuple[str, list[str]]:
    """Add ONNX's own operator for (length, batch, dim) steps.

    Returns:
        (length, ways, batch, units) outputs, and the last states, (ways, batch, units) each: h, of an LSTM also c.
    """
    kind, one = type(ways[0]).__name__, ways[0]
    gate, state = getattr(one, "recurrent_activation", None), one.activation.__name__
    names = {
        "SimpleRNN": [state],
        "GRU": [gate and gate.__name__, state],
        "LSTM": [gate and gate.__name__, state, state],
    }
    activations = [WITHIN_CELLS[name] for name in names[kind]] * len(ways)
    given = {
        f"activation_{name}": [attributes[name] for _operator, attributes in activations if name in attributes]
        for name in ("alpha", "beta")
    }
    parameters = {name: values for name, values in given.items() if values}
    biases = [np.concatenate([by_gate(kind, bias) for bias in biases_of(way)]) for way in ways]
    weights = (
        graph.constant(np.stack([by_gate(kind, way.cell.kernel) for way in ways])),
        graph.constant(np.stack([by_gate(kind, way.cell.recurrent_kernel) for way in ways])),
        graph.constant(np.stack(biases)),
    )
    outputs = graph.add_many(
        OPERATORS[kind],
        (steps, *weights),
        3 if kind == "LSTM" else 2,
        hidden_size=one.units,
        direction="forward" if len(ways) == 1 else "bidirectional",
        activations=[operator for operator, _its in activations],
        **parameters,
        **({"linear_before_reset": 1} if kind == "GRU" else {}),
    )
    return outputs[0], outputs[1:]


def run_scans(graph: Graph, ways: list[Any], steps: str) -> tuple[str, list[str]]:
    """Add a loop over (length, batch, dim) steps, for activations that ONNX's own operators lack.

    Returns:
        As `run_operator`.
    """
    sequences, states = [], []
    for number, way in enumerate(ways):
        last, sequence = run_scan(graph, way, steps, number)
        sequences.append(graph.add("Unsqueeze", sequence, graph.ints(1)))
        states.append([graph.add("Unsqueeze", state, graph.ints(0)) for state in last])
    joined = [graph.add("Concat", *each, axis=0) for each in zip(*states, strict=True)]
    return graph.add("Concat", *sequences, axis=1), joined


def run_scan(graph: Graph, layer: Any, steps: str, way: int) -> tuple[list[str], str]:
    """Add one way's loop, forwards if `way` is 0; return its last states, (batch, units) each, and all outputs."""
    from onnx import TensorProto, helper

    taken, kept = biases_of(layer)
    product = graph.add("MatMul", steps, graph.constant(layer.cell.kernel))
    read = graph.add("Add", product, graph.constant(taken))
    batch = graph.add("Slice", graph.add("Shape", steps), graph.ints(1), graph.ints(2))
    nothing = graph.add("ConstantOfShape", graph.add("Concat", batch, graph.ints(layer.units), axis=0))
    count = 2 if type(layer).__name__ == "LSTM" else 1

    body = Graph(f"{steps}w{way}")
    before, now = [f"{body.prefix}s{number}" for number in range(count)], f"{body.prefix}x"
    remembered = body.add("MatMul", before[0], body.constant(layer.cell.recurrent_kernel))
    after = run_cell(body, layer, now, body.add("Add", remembered, body.constant(kept)), before)
    outputs = [*after, body.add("Identity", after[0])]

    def described(names: list[str], width: int) -> list["onnx.ValueInfoProto"]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width]) for name in names]

    inputs = described(before, layer.units) + described([now], len(taken))
    made = helper.make_graph(body.nodes, "step", inputs, described(outputs, layer.units), body.constants)
    directions = {"scan_input_directions": [way], "scan_output_directions": [way]}
    found = graph.add_many("Scan", [nothing] * count + [read], count + 1, body=made, num_scan_inputs=1, **directions)
    return found[:-1], found[-1]


def run_cell(graph: Graph, layer: Any, read: str, remembered: str, before: list[str]) -> list[str]:
    """Add one step of a cell, and return its states.

    Args:
        graph: of the step.
        layer: the recurrent layer.
        read: (batch, gates * units), what the input comes to.
        remembered: (batch, gates * units), what the state before comes to.
        before: the states before, (batch, units) each: h, of an LSTM also c.
    """
    kind, state = type(layer).__name__, layer.activation.__name__
    if kind == "SimpleRNN":
        return [activate(graph, state, graph.add("Add", read, remembered))]
    gate = layer.recurrent_activation.__name__
    if kind == "GRU":
        given, kept = (graph.add_many("Split", [weights], 3, axis=-1, num_outputs=3) for weights in (read, remembered))
        update, reset = (activate(graph, gate, graph.add("Add", given[part], kept[part])) for part in (0, 1))
        candidate = activate(graph, state, graph.add("Add", given[2], graph.add("Mul", reset, kept[2])))
        stayed = graph.add("Mul", update, graph.add("Sub", before[0], candidate))
        return [graph.add("Add", candidate, stayed)]
    joined = graph.add("Add", read, remembered)
    parts = graph.add_many("Split", [joined], 4, axis=-1, num_outputs=4)
    let_in, keep, let_out = (activate(graph, gate, parts[part]) for part in (0, 1, 3))
    added = graph.add("Mul", let_in, activate(graph, state, parts[2]))
    carried = graph.add("Add", graph.add("Mul", keep, before[1]), added)
    return [graph.add("Mul", let_out, activate(graph, state, carried)), carried]
