"""The network as ONNX, written layer by layer with ONNX's recurrent operators; equal networks give equal bytes.

We don't use the usual converter, tf2onnx: it turns a GRU into a loop of 30 operators per step, chooses other names and
sizes each time, and takes a minute for a network with a table of phrases.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.errors import ModelError
from tasks.network.scoring import onnx_scorer

if TYPE_CHECKING:
    import keras
    import onnx

OPSET = 18  # ONNX 1.13, December 2022: runtimes of the last years read it
IR_VERSION = 8  # from the same release
TOLERANCE = 1e-5  # between the scores of ONNX Runtime and Keras

# Layers that do nothing at inference, and Flatten, whose input is always flat here.
IDENTITY_LAYERS = ("Dropout", "Flatten", "SpatialDropout1D", "WordDropout")

# Keras's activations as ONNX operators with parameters: for dense layers, and those that RNN, LSTM and GRU support.
Operators = dict[str, tuple[str, dict[str, float]]]
DENSE_ACTIVATIONS: Operators = {"relu": ("Relu", {}), "sigmoid": ("Sigmoid", {}), "softmax": ("Softmax", {"axis": -1})}
RECURRENT_ACTIVATIONS: Operators = {
    "elu": ("Elu", {"alpha": 1.0}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "linear": ("Affine", {"alpha": 1.0, "beta": 0.0}),
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "softsign": ("Softsign", {}),
    "tanh": ("Tanh", {}),
}
RECURRENT_OPERATORS = {"SimpleRNN": "RNN", "GRU": "GRU", "LSTM": "LSTM"}
# The gates in Keras's kernels, in ONNX's order.
GATES = {"SimpleRNN": [0], "GRU": [0, 1, 2], "LSTM": [0, 3, 1, 2]}


def write_network(network: "keras.Model", labels: Sequence[str], path: Path) -> None:
    """Write a network as ONNX, from (batch, length) int32 `tokens` to probabilities.

    With two labels the output is (batch,) float32 `probability` of label 1, with more (batch, labels) float32
    `probabilities`. The model's metadata holds the names of the labels, as JSON. Raise ModelError, and leave no file,
    if a layer cannot be written, or ONNX Runtime scores differently.
    """
    import onnx

    model = network_to_onnx(network, "probability" if len(labels) == 2 else "probabilities")
    onnx.helper.set_model_props(model, {"labels": json.dumps(labels)})
    onnx.save_model(model, path)
    gap = measure_gap(network, path, len(labels))
    if not gap <= TOLERANCE:
        path.unlink()
        raise ModelError(
            f"{path}: ONNX Runtime's scores differ from Keras's by {gap:.2g}, expected at most {TOLERANCE}"
        )


def measure_gap(network: "keras.Model", path: Path, labels: int) -> float:
    """Return the largest difference between ONNX Runtime's and Keras's scores of random texts."""
    tokens = np.random.default_rng(0).integers(0, vocabulary_size_of(network), (8, 40)).astype(np.int32)
    tokens[:4, :25] = 0  # padding, as in most texts
    ours = np.asarray(network(tokens, training=False))
    theirs = onnx_scorer(path, labels, len(tokens), bucketing=True).run(tokens).reshape(ours.shape)
    is_equal = np.isnan(ours) & np.isnan(theirs)  # a network that overflows must do so in both
    return float(np.where(is_equal, 0, np.abs(ours - theirs)).max())


def vocabulary_size_of(network: "keras.Model") -> int:
    """Return the exclusive upper bound of the network's token ids."""
    for layer in network.layers:
        kind = type(layer).__name__
        if kind in ("Embedding", "PhraseNumbers", "PhraseLogits"):
            return int(layer.input_dim if kind == "Embedding" else layer.vocabulary_size)
    raise ModelError("the network reads no token ids; expected one from tasks/build.py")


class Graph:
    """Operators and their constants, in the order in which they were added; names are numbers."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """Add an array and return its name."""
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def ints(self, *values: int) -> str:
        """Add a list of integers, such as axes or a shape, and return its name."""
        return self.constant(values, np.int64)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator and return the name of its output."""
        return self.add_many(operator, inputs, 1, **attributes)[0]

    def add_many(self, operator: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> list[str]:
        """Add an operator and return the names of its outputs."""
        from onnx import helper

        number = len(self.nodes)
        names = [f"n{number}" + (f"_{output}" if output else "") for output in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names


def network_to_onnx(network: "keras.Model", output: str) -> "onnx.ModelProto":
    """Convert a network from `tasks.build` to a checked ONNX model; raise ModelError if a layer cannot be written.

    The network maps (batch, length) int32 token ids to (batch, 1) float32, or with more than two labels (batch,
    labels). `output` names the probabilities, which are (batch,) if there is one per text.
    """
    import onnx
    from onnx import TensorProto, helper

    graph = Graph()
    padded, batch = add_padding(graph, "tokens")
    (probabilities,) = add_model(graph, network, [padded])
    width = int(network.output_shape[-1])
    if width == 1:
        probabilities = graph.add("Reshape", probabilities, graph.ints(-1))
    graph.add("Slice", probabilities, graph.ints(0), batch, graph.ints(0))
    graph.nodes[-1].output[:] = [output]
    inputs = helper.make_tensor_value_info("tokens", TensorProto.INT32, ["batch", "length"])
    outputs = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch"] if width == 1 else ["batch", width])
    whole = helper.make_graph(graph.nodes, "classifier", [inputs], [outputs], graph.constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def add_padding(graph: Graph, tokens: str) -> tuple[str, str]:
    """Pad an empty batch or empty texts to size 1; return the tokens, and the batch's size before.

    ONNX Runtime's recurrent operators divide by both sizes, so an empty input would end the caller's process.
    """
    missing = graph.add("Max", graph.add("Sub", graph.ints(1), graph.add("Shape", tokens)), graph.ints(0))
    padded = graph.add("Pad", tokens, graph.add("Concat", graph.ints(0, 0), missing, axis=0))
    return padded, graph.add("Shape", tokens, end=1)


def add_model(graph: Graph, model: "keras.Model", inputs: Sequence[str]) -> list[str]:
    """Add all layers of a model and return the names of its outputs."""
    import keras

    # A nested model's `input` is its own; its place in the outer model is known to `Operation` only.
    operation = keras.Operation
    names = {id(tensor): name for tensor, name in zip(model.inputs, inputs, strict=True)}
    for layer in model.layers:
        if type(layer).__name__ == "InputLayer":
            continue
        layer_inputs = [names[id(tensor)] for tensor in keras.tree.flatten(operation.input.fget(layer))]
        layer_outputs = add_layer(graph, layer, layer_inputs)
        for tensor, name in zip(keras.tree.flatten(operation.output.fget(layer)), layer_outputs, strict=True):
            names[id(tensor)] = name
    return [names[id(tensor)] for tensor in model.outputs]


def add_layer(graph: Graph, layer: Any, inputs: list[str]) -> list[str]:
    """Add a layer and return the names of its outputs."""
    kind, first = type(layer).__name__, inputs[0]
    if kind in IDENTITY_LAYERS:
        return [first]
    if kind == "Functional":
        return add_model(graph, layer, inputs)
    if kind == "Embedding":
        return [graph.add("Gather", graph.constant(layer.embeddings), first)]
    if kind == "PhraseNumbers":
        rows = graph.add("Gather", graph.constant(layer.table), find_phrases(graph, layer, first))
        return [graph.add("Reshape", graph.add("Transpose", rows, perm=[0, 1, 3, 2]), graph.ints(0, 0, layer.width))]
    if kind == "PhraseLogits":
        return [add_logits(graph, layer, first)]
    if kind == "OneVsRest" and layer.output.shape[-1] == 1:
        return [graph.add("Sigmoid", graph.add("Mul", graph.constant(layer.scale), first))]
    if kind == "OneVsRest":
        # The logarithm of a sigmoid is -softplus(-x).
        each = graph.add("Neg", graph.add("Softplus", graph.add("Neg", first)))
        return [graph.add("Softmax", graph.add("Mul", graph.constant(layer.scale), each), axis=-1)]
    if kind == "Add":
        return [graph.add("Add", *inputs)]
    if kind == "Rescaling":
        return [graph.add("Add", graph.add("Mul", first, graph.constant(layer.scale)), graph.constant(layer.offset))]
    if kind == "Concatenate":
        return [graph.add("Concat", *inputs, axis=-1)]
    if kind == "GlobalMaxPooling1D":
        return [graph.add("ReduceMax", first, graph.ints(1), keepdims=0)]
    if kind == "GlobalAveragePooling1D":
        return [graph.add("ReduceMean", first, graph.ints(1), keepdims=0)]
    if kind == "Dense":
        operator, parameters = DENSE_ACTIVATIONS[layer.activation.__name__]
        product = graph.add("MatMul", first, graph.constant(layer.kernel))
        return [graph.add(operator, graph.add("Add", product, graph.constant(layer.bias)), **parameters)]
    if kind in RECURRENT_OPERATORS or kind == "Bidirectional":
        return add_recurrent(graph, layer, first)
    raise ModelError(f"the layer {layer.name} ({kind}) cannot be written as ONNX; expected one from tasks/build.py")


def add_recurrent(graph: Graph, layer: Any, inputs: str) -> list[str]:
    """Add a recurrent layer in one or both directions; return its output, and its states if it returns them."""
    ways = [layer.forward_layer, layer.backward_layer] if type(layer).__name__ == "Bidirectional" else [layer]
    one, steps = ways[0], graph.add("Transpose", inputs, perm=[1, 0, 2])
    sequence, *states = add_recurrent_operator(graph, ways, steps)
    if one.return_sequences:
        turned = graph.add("Transpose", sequence, perm=[2, 0, 1, 3])
        return [graph.add("Reshape", turned, graph.ints(0, 0, len(ways) * one.units))]
    each = [[graph.add("Gather", state, graph.constant(way, np.int64)) for state in states] for way in range(len(ways))]
    last = [way[0] for way in each]
    output = last[0] if len(last) == 1 else graph.add("Concat", *last, axis=-1)
    return [output, *(state for way in each for state in way)] if one.return_state else [output]


def add_recurrent_operator(graph: Graph, ways: list[Any], steps: str) -> list[str]:
    """Add ONNX's recurrent operator over (length, batch, dim) steps, for one or two directions.

    Returns:
        The (length, ways, batch, units) outputs and the last states, (ways, batch, units) each: h, for an LSTM also c.
    """
    kind, one = type(ways[0]).__name__, ways[0]
    used = [one.activation] if kind == "SimpleRNN" else [one.recurrent_activation, one.activation]
    if kind == "LSTM":
        used.append(one.activation)  # for the candidate and for the output
    activations = [RECURRENT_ACTIVATIONS[activation.__name__] for activation in used] * len(ways)
    attributes: dict[str, Any] = {"linear_before_reset": 1} if kind == "GRU" else {}
    for name in ("alpha", "beta"):
        if values := [parameters[name] for _operator, parameters in activations if name in parameters]:
            attributes[f"activation_{name}"] = values
    return graph.add_many(
        RECURRENT_OPERATORS[kind],
        (
            steps,
            graph.constant(np.stack([reorder_gates(kind, way.cell.kernel) for way in ways])),
            graph.constant(np.stack([reorder_gates(kind, way.cell.recurrent_kernel) for way in ways])),
            graph.constant(np.stack([reorder_biases(kind, way.cell.bias) for way in ways])),
        ),
        3 if kind == "LSTM" else 2,
        hidden_size=one.units,
        direction="forward" if len(ways) == 1 else "bidirectional",
        activations=[operator for operator, _parameters in activations],
        **attributes,
    )


def reorder_gates(kind: str, weights: Any) -> np.ndarray:
    """Turn Keras's (inputs, gates * units) weights into ONNX's (gates * units, inputs), in ONNX's order of gates."""
    gates = np.split(np.asarray(weights), len(GATES[kind]), axis=-1)
    return np.concatenate([gates[gate] for gate in GATES[kind]], axis=-1).T


def reorder_biases(kind: str, bias: Any) -> np.ndarray:
    """Return the biases of the input's and of the state's product, one after the other: (2 * gates * units,)."""
    both = np.asarray(bias)
    if both.ndim == 1:  # only a GRU has a second one
        both = np.stack([both, np.zeros_like(both)])
    return np.concatenate([reorder_gates(kind, each) for each in both])


def find_phrases(graph: Graph, layer: Any, tokens: str) -> str:
    """Add a binary search for the rows of the phrases that end at each token: (batch, length, longest) int64."""
    digits = graph.add("Add", graph.add("Cast", tokens, to=7), graph.constant(1, np.int64))  # 7 is int64
    code, codes_by_length = digits, []
    for size in range(1, layer.longest + 1):
        codes_by_length.append(graph.add("Unsqueeze", code, graph.ints(-1)))
        if size < layer.longest:
            padded = graph.add("Pad", digits, graph.ints(0, size, 0, 0), graph.constant(1, np.int64))
            earlier = graph.add("Slice", padded, graph.ints(0), graph.ints(-size), graph.ints(1))
            power = graph.constant((layer.vocabulary_size + 1) ** size, np.int64)
            code = graph.add("Add", code, graph.add("Mul", earlier, power))
    codes = graph.add("Concat", *codes_by_length, axis=-1)
    known, last = graph.constant(layer.codes, np.int64), graph.constant(layer.phrases - 1, np.int64)
    row = graph.add("Sub", codes, codes)
    step = 1 << max(0, (layer.phrases - 1).bit_length() - 1)
    while step:
        further = graph.add("Min", graph.add("Add", row, graph.constant(step, np.int64)), last)
        is_before = graph.add("LessOrEqual", graph.add("Gather", known, further), codes)
        row = graph.add("Where", is_before, further, row)
        step //= 2
    is_known = graph.add("Equal", graph.add("Gather", known, row), codes)
    return graph.add("Where", is_known, row, graph.constant(layer.phrases, np.int64))


def add_logits(graph: Graph, layer: Any, tokens: str) -> str:
    """Add the layer `PhraseLogits`: sort each text's rows, and sum the numbers of the different ones."""
    rows = graph.add("Reshape", find_phrases(graph, layer, tokens), graph.ints(0, -1))
    count = graph.add("Shape", rows, start=1)
    rows = graph.add_many("TopK", (rows, count), 2, largest=0)[0]
    earlier = graph.add("Pad", rows, graph.ints(0, 1, 0, -1), graph.constant(-1, np.int64))
    is_again = graph.add("Equal", rows, earlier)
    rows = graph.add("Where", is_again, graph.constant(layer.phrases, np.int64), rows)
    summed = graph.add("ReduceSum", graph.add("Gather", graph.constant(layer.table), rows), graph.ints(1), keepdims=0)
    return graph.add("Add", summed, graph.constant(layer.bias))
