"""Build the ONNX graph of a student for onnxruntime: encoder and all heads, language as an input.

Shapes: B texts, S tokens, d the encoder's width, V rows of a table, L languages, C classes.
"""

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from amtss.student import pairs

if TYPE_CHECKING:
    from torch import Tensor, nn

    from amtss.student.model import StudentModel

OPSET, IR = 23, 11
OWN = "com.microsoft"
"""The domain of onnxruntime's own operators."""
LARGEST = 63
"""Largest int8 weight. CPUs without VNNI add two products with uint8 in 16 bits, which this fits.
"""
ZERO = 8
"""The four-bit value that means 0."""
SINGLE = np.float32
TINY = np.finfo(SINGLE).tiny
Array = NDArray[Any]
Bits = Literal[32, 8, 4]
"""Bits of the token embeddings: 32 for floats, or 8 or 4 for integers, with layers of 8 bits."""


class Affine(NamedTuple):
    """weight x + bias. *Shapes:* (n, d), (n,)"""

    weight: Array
    bias: Array


class States(NamedTuple):
    """Hidden states: the value `name` of the graph, plus `offset`, which is not in the graph. The
    layers that read the states add it to their own biases, so that a layer norm's bias costs
    nothing. *Shapes:* (B, S, d), (d,)"""

    name: str
    offset: Array


class Graph:
    """Nodes and weights of a graph under construction. Values are referred to by their names."""

    def __init__(self, bits: Bits) -> None:
        self.bits = bits
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []

    def add(self, operator: str, *inputs: str | Array, domain: str = "", **attributes: Any) -> str:
        """Add a node; the name of its output. An array among its inputs becomes a weight."""
        names = [value if isinstance(value, str) else self._weight(value) for value in inputs]
        output = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, names, [output], domain=domain, **attributes))
        return output

    def _weight(self, values: Array) -> str:
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def affine(self, x: str, layer: Affine, offset: Array | float = 0.0) -> str:
        """`layer` applied to x + offset. (..., d) -> (..., n)"""
        weight, bias = layer.weight, layer.bias + (layer.weight * offset).sum(axis=1)
        if self.bits == 32:
            return self.add("Add", self.add("MatMul", x, weight.T), bias.astype(SINGLE))
        values, scales = quantised(weight, LARGEST)
        return self.add("DynamicQuantizeMatMul", x, values.T, scales, "", bias.astype(SINGLE),
                        domain=OWN)

    def rows(self, table: Array, index: str) -> str:
        """The rows of a table at `index`. (V, d), (B, S) -> (B, S, d)"""
        if self.bits == 32:
            return self.add("Gather", table, index)
        if self.bits == 8:
            values, scales = quantised(table, 127)
            integers = self.add("Cast", self.add("Gather", values, index), to=TensorProto.FLOAT)
        else:
            integers, scales = self._halves(table, index)
        return self.add("Mul", integers, self.add("Gather", scales[:, None], index))

    def _halves(self, table: Array, index: str) -> tuple[str, Array]:
        """In four bits, the rows without their scales, and the scales. (V, d), (B, S) -> (B, S, d),
        (V,)"""
        pairs, scales, columns = packed(table)
        both = self.add("Gather", pairs, index)
        halves = self.add("Concat", self.add("BitwiseAnd", both, np.array(15, np.uint8)),
                          self.add("BitShift", both, np.array(4, np.uint8), direction="RIGHT"),
                          axis=-1)
        if table.shape[1] % 2:
            halves = self.add("Slice", halves, *np.array([[0], table.shape[1:], [-1]]))
        zeros = np.full(columns.shape, ZERO, np.uint8)
        return self.add("DequantizeLinear", halves, columns, zeros, axis=-1), scales

    def normal(self, one: str, other: str, norm: "nn.LayerNorm") -> States:
        """The layer norm of one + other. onnxruntime's LayerNormalization takes about five times as
        long as these nodes."""
        both = self.add("Add", one, other)
        centred = self.add("Sub", both, self.add("ReduceMean", both, np.array([-1])))
        return States(self.add("RMSNormalization", centred, _array(norm.weight), epsilon=norm.eps),
                      _array(norm.bias))


def quantised(rows: Array, largest: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """`rows` as integers of at most `largest`, and a scale for each row. *Shapes:* (V, d), (V,)"""
    scales = np.maximum(np.abs(rows).max(axis=1), TINY) / largest
    return np.round(rows / scales[:, None]).astype(np.int8), scales.astype(SINGLE)


def packed(table: Array) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """A table in four bits: bytes of two values from 1 to 15, one from the table's left half in the
    lower bits and one from its right half; then the scales of rows and columns.
    *Shapes:* (V, d / 2), (V,), (d,)

    Columns have scales because principal components differ much in size.
    """
    columns = np.maximum(np.sqrt(np.square(table).mean(axis=0)), TINY).astype(SINGLE)
    values, scales = quantised(table / columns, ZERO - 1)
    even = np.pad(values, ((0, 0), (0, values.shape[1] % 2))) + ZERO
    left, right = np.split(even.astype(np.uint8), 2, axis=1)
    return (left + 16 * right).astype(np.uint8), scales, columns


def build(student: "StudentModel", bits: Bits) -> ModelProto:
    """The graph from `input_ids` and `attention_mask` (B, S) and `language` (B,), all int64, to
    `logits` (B, C).

    Texts may have up to the student's `max_tokens`. `language` is an index of `config.languages`.

    Args:
        bits: of the token embeddings, with a scale for each token and, in four bits, for each
            column. Below 32, the layers' weights have 8 bits and a scale for each output, and
            activations are quantised by the range of the whole batch.
    """
    graph, config = Graph(bits), student.config
    encoder = _transformer if config.encoder.num_hidden_layers else _static
    _heads(graph, student, encoder(graph, student))
    graph.nodes[-1].output[:] = ["logits"]
    inputs = {"input_ids": ["batch", "length"], "attention_mask": ["batch", "length"],
              "language": ["batch"]}
    body = helper.make_graph(
        graph.nodes, "student",
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape)
         for name, shape in inputs.items()],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT,
                                       ["batch", len(config.id2label or {})])], graph.weights)
    return helper.make_model(body, ir_version=IR, producer_name="amtss", opset_imports=[
        helper.make_opsetid("", OPSET), helper.make_opsetid(OWN, 1)])


def _static(graph: Graph, student: "StudentModel") -> States:
    """The weighted means of the embeddings of texts' tokens and pairs. *Shape:* (B, 1, d)"""
    encoder = student.encoder
    table, couples = _array(encoder.get_input_embeddings().weight), encoder.config.pairs
    neighbours = _array(encoder.pairs.weight) if couples else table[:0]
    highest = np.concatenate([table[:, -1], neighbours[:, -1]]).max()
    real = graph.add("Unsqueeze", graph.add("Cast", "attention_mask", to=TensorProto.FLOAT),
                     np.array([2]))
    mean, weight = _weighted(graph, table, highest, "input_ids", real)
    if couples:
        short, more = _weighted(graph, neighbours, highest, _places(graph, couples),
                                _behind_first(graph, real))
        mean = graph.add("Add", mean, graph.add("MatMul", short, _array(encoder.widen.weight).T))
        weight = graph.add("Add", weight, more)
    mean = graph.add("Div", mean, graph.add("Max", weight, np.array(TINY)))
    return States(mean, np.zeros(table.shape[1] - 1, SINGLE))


def _weighted(graph: Graph, table: Array, highest: float, index: str, real: str) -> tuple[str, str]:
    """The weighted sum of embeddings, and the sum of their weights. *Shapes:* (B, 1, d), (B, 1, 1)

    Args:
        table: embeddings, and in the last column their scores. *Shape:* (V, d + 1)
        highest: the highest score of all tables, so that no exponential is more than 1.
        real: 1 for what is no padding. *Shape:* (B, S, 1)
    """
    weights = graph.add("Mul", graph.add("Gather", np.exp(table[:, -1:] - highest), index), real)
    weighted = graph.add("Mul", graph.rows(table[:, :-1], index), weights)
    axis = np.array([1])
    return graph.add("ReduceSum", weighted, axis), graph.add("ReduceSum", weights, axis)


def _places(graph: Graph, rows: int) -> str:
    """As `pairs.places`. (B, S) -> (B, S - 1)"""
    former = graph.add("Slice", "input_ids", *np.array([[0], [-1], [1]]))
    first = graph.add("Mul", former, np.array(pairs.step(rows)))
    return graph.add("Mod", graph.add("Add", first, _behind_first(graph, "input_ids")),
                     np.array(rows))


def _behind_first(graph: Graph, x: str) -> str:
    """x without its first token. (B, S, ...) -> (B, S - 1, ...)"""
    return graph.add("Slice", x, *np.array([[1], [np.iinfo(np.int64).max], [1]]))


def _transformer(graph: Graph, student: "StudentModel") -> States:
    """The states of texts that heads read. *Shape:* (B, 1, d)"""
    mask = graph.add("Cast", "attention_mask", to=TensorProto.INT32)
    states = _embedded(graph, student)
    *layers, last = student.encoder.encoder.layer
    for layer in layers:
        states = _layer(graph, layer, states, states, mask)
    if student.config.pooling == "mean":
        return _mean(graph, _layer(graph, last, states, states, mask))
    # Heads read only the first token's state, so the last layer computes no other.
    first = States(graph.add("Gather", states.name, np.array([0]), axis=1), states.offset)
    return _layer(graph, last, first, states, mask)


def _mean(graph: Graph, states: States) -> States:
    """The mean of each text's states without padding. (B, S, d) -> (B, 1, d)"""
    real = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    count = graph.add("Max", graph.add("ReduceSum", real, np.array([1])), np.array(1, SINGLE))
    shares = graph.add("Unsqueeze", graph.add("Div", real, count), np.array([1]))
    return States(graph.add("MatMul", shares, states.name), states.offset)


def _embedded(graph: Graph, student: "StudentModel") -> States:
    """Embeddings of tokens and positions; all tokens are in the first segment."""
    parts, pad = student.encoder.embeddings, student.config.encoder.pad_token_id
    table = _array(parts.position_embeddings.weight) + _array(parts.token_type_embeddings.weight)[0]
    if student.config.encoder.model_type == "bert":
        length = graph.add("Shape", "input_ids", start=1, end=2)
        table = table[:student.config.max_tokens]
        positions = graph.add("Slice", table, np.array([0]), length, np.array([0]))
    else:  # positions start after the padding id; padding has the padding id's position
        real = graph.add("Cast", graph.add("Not", graph.add("Equal", "input_ids", np.array(pad))),
                         to=TensorProto.INT64)
        count = graph.add("Mul", graph.add("CumSum", real, np.array(1)), real)
        table = table[:student.config.max_tokens + pad + 1]
        positions = graph.add("Gather", table, graph.add("Add", count, np.array(pad)))
    words = graph.rows(_array(parts.word_embeddings.weight), "input_ids")
    return graph.normal(words, positions, parts.LayerNorm)


def _layer(graph: Graph, layer: Any, queries: States, keys: States, mask: str) -> States:
    """A transformer layer: the next states of `queries`, which attend to `keys`."""
    own, dense = layer.attention.self, layer.attention.output
    parts = [graph.affine(states.name, _affine(linear), states.offset) for linear, states in
             ((own.query, queries), (own.key, keys), (own.value, keys))]
    context = graph.add("MultiHeadAttention", *parts, "", mask, domain=OWN,
                        num_heads=own.num_attention_heads)
    middle = _residual(graph, context, dense, queries)
    wide = graph.affine(middle.name, _affine(layer.intermediate.dense), middle.offset)
    return _residual(graph, graph.add("Gelu", wide), layer.output, middle)


def _residual(graph: Graph, x: str, output: Any, states: States) -> States:
    """The layer norm of `states` plus a dense layer of x."""
    weight, bias = _affine(output.dense)
    added = graph.affine(x, Affine(weight, bias + states.offset))
    return graph.normal(added, states.name, output.LayerNorm)


def _heads(graph: Graph, student: "StudentModel", states: States) -> str:
    """Logits of each text by the head of its language. All heads read every text in one product:
    that is little work beside the encoder, and faster than to gather each text's weights."""
    index = graph.add("Unsqueeze", "language", np.array([1]))
    first = graph.add("Squeeze", states.name, np.array([1]))

    def picked(x: str, layer: str, offset: Array | float = 0.0) -> str:
        weight, bias = _stacked(student, layer)
        every = graph.affine(x, Affine(weight.reshape(-1, weight.shape[-1]), bias.ravel()), offset)
        shaped = graph.add("Reshape", every, np.array([0, *bias.shape]))
        return graph.add("GatherND", shaped, index, batch_dims=1)

    return picked(graph.add("Tanh", picked(first, "dense", states.offset)), "out_proj")


def _stacked(student: "StudentModel", layer: str) -> Affine:
    """A layer of all heads; residual heads plus the shared one. *Shapes:* (L, n, d), (L, n)"""
    heads = [_affine(getattr(student.heads[code], layer)) for code in student.config.languages]
    weight, bias = (np.stack(arrays) for arrays in zip(*heads, strict=True))
    if student.shared is not None:
        shared = _affine(getattr(student.shared, layer))
        weight, bias = weight + shared.weight, bias + shared.bias
    return Affine(weight, bias)


def _affine(layer: "nn.Linear") -> Affine:
    return Affine(_array(layer.weight), _array(layer.bias))


def _array(parameter: "Tensor") -> Array:
    array: Array = parameter.detach().cpu().numpy()
    return array
