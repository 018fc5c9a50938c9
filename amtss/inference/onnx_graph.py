"""Build the ONNX graph of a student for onnxruntime: encoder and all heads, language as an input.

Shapes: B texts, S tokens, d the encoder's width, L languages, C classes.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from amtss.inference import onnx_static
from amtss.inference.onnx_nodes import OWN, SINGLE, Affine, Array, Bits, Graph, States, array

if TYPE_CHECKING:
    from torch import nn

    from amtss.student.model import StudentModel

OPSET, IR = 23, 11


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
    encoder = _transformer if config.encoder.num_hidden_layers else onnx_static.states
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
    table = array(parts.position_embeddings.weight) + array(parts.token_type_embeddings.weight)[0]
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
    words = graph.rows(array(parts.word_embeddings.weight), "input_ids")
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
    return Affine(array(layer.weight), array(layer.bias))
