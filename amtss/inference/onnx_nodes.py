"""Nodes and weights of an ONNX graph, in floats or in whole numbers of 8 or 4 bits.

Shapes: B texts, S tokens, d the encoder's width, V rows of a table.
"""

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from torch import Tensor, nn

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
        return States(self.add("RMSNormalization", centred, array(norm.weight), epsilon=norm.eps),
                      array(norm.bias))


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


def array(parameter: "Tensor") -> Array:
    values: Array = parameter.detach().cpu().numpy()
    return values
