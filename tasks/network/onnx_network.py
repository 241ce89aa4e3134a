"""The network as ONNX, layer by layer: the runtime's own recurrent operators, equal bytes for equal networks.

ONNX's own converter, tf2onnx, takes TensorFlow's graph instead: a GRU comes out as a loop of 30 operators a step, names
and sizes differ each time, and a network with a table of phrases takes it a minute.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.errors import ModelError
from tasks.network.onnx_graph import GATES, Graph, activate, run_recurrent
from tasks.network.scoring import OnnxScorer

# Keras and ONNX are imported inside the functions that need them: others never pay for them.
if TYPE_CHECKING:
    import keras
    import onnx

OPSET = 18  # of ONNX 1.13, of December 2022: what runtimes of the last years read
IR_VERSION = 8  # of the same time
TOLERANCE = 1e-5  # between ONNX Runtime's scores and Keras's
# What does nothing once training is over, and Flatten, whose input is flat in every network here.
PASSING = ("Dropout", "Flatten", "SpatialDropout1D", "WordDropout")


def write_network(network: "keras.Model", labels: Sequence[str], path: Path) -> None:
    """Write a network as ONNX, from (batch, length) int32 `tokens` to probabilities; equal networks give equal bytes.

    Of two labels they are (batch,) float32 `probability` of label 1; of more (batch, labels) float32 `probabilities`.
    The model's metadata has the names of the labels, as JSON.

    Raises:
        ModelError: it has a layer of another kind than `make_model` takes, or ONNX Runtime scores otherwise than Keras;
            then no file is left.
    """
    import onnx

    model = onnx_of(network, "probability" if len(labels) == 2 else "probabilities")
    onnx.helper.set_model_props(model, {"labels": json.dumps(labels)})
    onnx.save_model(model, path)
    gap = measure_gap(network, path, len(labels))
    if not gap <= TOLERANCE:
        path.unlink()
        raise ModelError(f"{path}: ONNX Runtime's scores differ from Keras's by {gap:.2g}; at most {TOLERANCE} may be")


def measure_gap(network: "keras.Model", path: Path, labels: int) -> float:
    """Return how far ONNX Runtime's scores of made-up reviews are from Keras's at most."""
    tokens = np.random.default_rng(0).integers(0, rows_of(network), (8, 40)).astype(np.int32)
    tokens[:4, :25] = 0  # padding, as most reviews have it
    ours = np.asarray(network(tokens, training=False))
    theirs = OnnxScorer(path, labels, len(tokens), bucketing=True).run(tokens)
    theirs = theirs.reshape(ours.shape)
    is_equal = np.isnan(ours) & np.isnan(theirs)  # a network that overflows is to do so in both
    return float(np.where(is_equal, 0, np.abs(ours - theirs)).max())


def rows_of(network: "keras.Model") -> int:
    """Return below which number the token ids of a network end."""
    for layer in network.layers:
        kind = type(layer).__name__
        if kind in ("Embedding", "PhraseNumbers"):
            return int(layer.input_dim if kind == "Embedding" else layer.vocabulary_size)
    raise ModelError("the network reads no token ids; expected one that tasks/build.py makes")


def onnx_of(network: "keras.Model", output: str) -> "onnx.ModelProto":
    """Return a network of ours as ONNX, checked.

    Args:
        network: (batch, length) int32 token ids -> (batch, 1) float32, or of more than two labels (batch, labels).
        output: what to call the probabilities, which are (batch,) where there is one a review.

    Raises:
        ModelError: a layer is none of those that `make_model` takes.
    """
    import onnx
    from onnx import TensorProto, helper

    graph = Graph()
    (found,) = run_model(graph, network, ["tokens"])
    outputs = int(network.output_shape[-1])
    if outputs == 1:
        found = graph.add("Reshape", found, graph.ints(-1))
    graph.nodes[-1].output[:] = [output]
    taken = helper.make_tensor_value_info("tokens", TensorProto.INT32, ["batch", "length"])
    given = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch"] if outputs == 1 else ["batch", outputs])
    made = helper.make_graph(graph.nodes, "classifier", [taken], [given], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def run_model(graph: Graph, model: "keras.Model", inputs: Sequence[str]) -> list[str]:
    """Add all layers of a model; return the names of its outputs, of the inputs' names given."""
    import keras

    # A model within a model answers for its own inputs; where it stands in the other, only an operation knows.
    place = keras.Operation
    names = {id(tensor): name for tensor, name in zip(model.inputs, inputs, strict=True)}
    for layer in model.layers:
        if type(layer).__name__ == "InputLayer":
            continue
        read = [names[id(tensor)] for tensor in as_list(place.input.fget(layer))]
        for tensor, name in zip(as_list(place.output.fget(layer)), run_layer(graph, layer, read), strict=True):
            names[id(tensor)] = name
    return [names[id(tensor)] for tensor in model.outputs]


def as_list(value: Any) -> list[Any]:
    """Return one or several as a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def run_layer(graph: Graph, layer: Any, inputs: list[str]) -> list[str]:
    """Add a layer, and return the names of its outputs."""
    kind, first = type(layer).__name__, inputs[0]
    if kind in PASSING:
        return [first]
    if kind == "Functional":
        return run_model(graph, layer, inputs)
    if kind == "Embedding":
        return [graph.add("Gather", graph.constant(layer.embeddings), first)]
    if kind == "PhraseNumbers":
        return [run_phrases(graph, layer, first)]
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
        product = graph.add("MatMul", first, graph.constant(layer.kernel))
        return [activate(graph, layer.activation.__name__, graph.add("Add", product, graph.constant(layer.bias)))]
    if kind in GATES or kind == "Bidirectional":
        return run_recurrent(graph, layer, first)
    raise ModelError(
        f"the layer {layer.name} ({kind}) cannot be written as ONNX; expected one that tasks/build.py makes"
    )


def run_phrases(graph: Graph, layer: Any, tokens: str) -> str:
    """Add the look-up of phrases, as the layer `PhraseNumbers` does it: all lengths of phrases are searched at once."""
    digits = graph.add("Add", graph.add("Cast", tokens, to=7), graph.constant(1, np.int64))  # 7 is int64
    code, found = digits, []
    for size in range(1, layer.longest + 1):
        found.append(graph.add("Unsqueeze", code, graph.ints(-1)))
        if size < layer.longest:
            padded = graph.add("Pad", digits, graph.ints(0, size, 0, 0), graph.constant(1, np.int64))
            earlier = graph.add("Slice", padded, graph.ints(0), graph.ints(-size), graph.ints(1))
            power = graph.constant((layer.vocabulary_size + 1) ** size, np.int64)
            code = graph.add("Add", code, graph.add("Mul", earlier, power))
    codes = graph.add("Concat", *found, axis=-1)
    known, last = graph.constant(layer.codes, np.int64), graph.constant(layer.phrases - 1, np.int64)
    place = graph.add("Sub", codes, codes)
    step = 1 << max(0, (layer.phrases - 1).bit_length() - 1)
    while step:
        further = graph.add("Min", graph.add("Add", place, graph.constant(step, np.int64)), last)
        is_before = graph.add("LessOrEqual", graph.add("Gather", known, further), codes)
        place = graph.add("Where", is_before, further, place)
        step //= 2
    is_known = graph.add("Equal", graph.add("Gather", known, place), codes)
    place = graph.add("Where", is_known, place, graph.constant(layer.phrases, np.int64))
    rows = graph.add("Gather", graph.constant(layer.table), place)
    turned = graph.add("Transpose", rows, perm=[0, 1, 3, 2])
    return graph.add("Reshape", turned, graph.ints(0, 0, layer.width))
