"""The ONNX nodes of an encoder without layers.

Shapes: B texts, S tokens, d the encoder's width, V rows of a table.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from onnx import TensorProto

from amtss.inference.onnx_nodes import SINGLE, TINY, Array, Graph, States, array
from amtss.student import pairs

if TYPE_CHECKING:
    from amtss.student.model import StudentModel


class Weighted(NamedTuple):
    """Embeddings of tokens or pairs times their weights, and the weights; 0 for padding.
    *Shapes:* (B, S, d), (B, S, 1)"""

    rows: str
    weights: str


def states(graph: Graph, student: "StudentModel") -> States:
    """What `StaticEncoder` makes of texts: weighted means of tokens and pairs, and what two texts
    have in common. *Shape:* (B, 1, d)"""
    encoder, config = student.encoder, student.encoder.config
    table = array(encoder.get_input_embeddings().weight)
    neighbours = array(encoder.pairs.weight) if config.pairs else table[:0]
    highest = np.concatenate([table[:, -1], neighbours[:, -1]]).max()
    real = graph.add("Unsqueeze", graph.add("Cast", "attention_mask", to=TensorProto.FLOAT),
                     np.array([2]))
    behind = None if config.separator is None else _behind(graph, config.separator)
    tokens = _weighted(graph, table, highest, "input_ids", real)
    if behind:
        tokens = _told_apart(graph, tokens, behind, array(encoder.second))
    sums, weight = _sums(graph, tokens)
    if config.pairs:
        couples = _weighted(graph, neighbours, highest, _places(graph, config.pairs, behind),
                            _but_first(graph, real))
        short, more = _sums(graph, couples)
        sums = graph.add("Add", sums, graph.add("MatMul", short, array(encoder.widen.weight).T))
        weight = graph.add("Add", weight, more)
    means = _divided(graph, sums, weight)
    if behind:
        common = graph.add("MatMul", _matched(graph, tokens, behind), array(encoder.match.weight).T)
        means = graph.add("Add", means, common)
    return States(means, np.zeros(table.shape[1] - 1, SINGLE))


def _weighted(graph: Graph, table: Array, highest: float, index: str, real: str) -> Weighted:
    """Rows of a table, times the exponentials of their scores.

    Args:
        table: embeddings, and in the last column their scores. *Shape:* (V, d + 1)
        highest: the highest score of all tables, so that no exponential is more than 1.
        real: 1 for what is no padding. *Shape:* (B, S, 1)
    """
    weights = graph.add("Mul", graph.add("Gather", np.exp(table[:, -1:] - highest), index), real)
    return Weighted(graph.add("Mul", graph.rows(table[:, :-1], index), weights), weights)


def _sums(graph: Graph, weighted: Weighted) -> tuple[str, str]:
    """*Shapes:* (B, 1, d), (B, 1, 1)"""
    rows, weights = (graph.add("ReduceSum", values, np.array([1])) for values in weighted)
    return rows, weights


def _divided(graph: Graph, sums: str, weight: str) -> str:
    """Means; 0 where nothing has a weight. (B, 1, d), (B, 1, 1) -> (B, 1, d)"""
    return graph.add("Div", sums, graph.add("Max", weight, np.array(TINY)))


def _behind(graph: Graph, separator: int) -> str:
    """As `pairs.behind`, 1 or 0. (B, S)"""
    found = graph.add("Cast", graph.add("Equal", "input_ids", np.array(separator)),
                      to=TensorProto.INT64)
    return graph.add("Min", graph.add("CumSum", found, np.array(1)), np.array(1))


def _told_apart(graph: Graph, tokens: Weighted, behind: str, second: Array) -> Weighted:
    """As `Looked.told_apart`: what is added to a score is a factor of its exponential."""
    one, which = np.array(1, SINGLE), _each(graph, behind, TensorProto.BOOL)
    factor = np.exp(second[-1])
    rows, weights = (graph.add("Mul", values, graph.add("Where", which, more, one)) for values, more
                     in zip(tokens, ((one + second[:-1]) * factor, factor), strict=True))
    return Weighted(rows, weights)


def _matched(graph: Graph, tokens: Weighted, behind: str) -> str:
    """As `pairs.matched`. (B, 1, d)"""
    former = graph.add("Sub", np.array(1), behind)
    means = []
    for which in (former, behind):
        own = _each(graph, which, TensorProto.FLOAT)
        mean = _divided(graph, *_sums(graph, Weighted(
            *(graph.add("Mul", values, own) for values in tokens))))
        length = graph.add("ReduceL2", mean, np.array([-1]))
        means.append(graph.add("Div", mean, graph.add("Max", length, np.array(pairs.EPS, SINGLE))))
    return graph.add("Mul", *means)


def _each(graph: Graph, which: str, kind: TensorProto.DataType) -> str:
    """1 or 0 for each token, as another type, to go with its embedding. (B, S) -> (B, S, 1)"""
    return graph.add("Cast", graph.add("Unsqueeze", which, np.array([2])), to=kind)


def _places(graph: Graph, rows: int, behind: str | None) -> str:
    """As `pairs.places`. (B, S) -> (B, S - 1)"""
    former = graph.add("Slice", "input_ids", *np.array([[0], [-1], [1]]))
    numbers = graph.add("Add", graph.add("Mul", former, np.array(pairs.step(rows))),
                        _but_first(graph, "input_ids"))
    if behind:
        further = graph.add("Mul", _but_first(graph, behind), np.array(rows // 2))
        numbers = graph.add("Add", numbers, further)
    return graph.add("Mod", numbers, np.array(rows))


def _but_first(graph: Graph, x: str) -> str:
    """x without its first token. (B, S, ...) -> (B, S - 1, ...)"""
    return graph.add("Slice", x, *np.array([[1], [np.iinfo(np.int64).max], [1]]))
