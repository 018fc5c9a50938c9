"""The ONNX nodes of an encoder without layers.

Shapes: B texts, S tokens, d the encoder's width, V rows of a table.
"""

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from amtss.inference.onnx_nodes import SINGLE, TINY, Array, Graph, States, array
from amtss.student import pairs

if TYPE_CHECKING:
    from amtss.student.model import StudentModel


def mean(graph: Graph, student: "StudentModel") -> States:
    """The weighted means of the embeddings of texts' tokens and pairs. *Shape:* (B, 1, d)"""
    encoder, config = student.encoder, student.encoder.config
    table = array(encoder.get_input_embeddings().weight)
    neighbours = array(encoder.pairs.weight) if config.pairs else table[:0]
    highest = np.concatenate([table[:, -1], neighbours[:, -1]]).max()
    real = graph.add("Unsqueeze", graph.add("Cast", "attention_mask", to=TensorProto.FLOAT),
                     np.array([2]))
    behind = None if config.separator is None else _behind(graph, config.separator)
    rows, counts = graph.rows(table[:, :-1], "input_ids"), real
    if behind:
        rows, counts = _told_apart(graph, rows, counts, behind, array(encoder.second))
    sums, weight = _weighted(graph, rows, table, highest, "input_ids", counts)
    if config.pairs:
        places = _places(graph, config.pairs, behind)
        short, more = _weighted(graph, graph.rows(neighbours[:, :-1], places), neighbours, highest,
                                places, _but_first(graph, real))
        sums = graph.add("Add", sums, graph.add("MatMul", short, array(encoder.widen.weight).T))
        weight = graph.add("Add", weight, more)
    sums = graph.add("Div", sums, graph.add("Max", weight, np.array(TINY)))
    return States(sums, np.zeros(table.shape[1] - 1, SINGLE))


def _behind(graph: Graph, separator: int) -> str:
    """As `pairs.behind`, 1 or 0. (B, S)"""
    found = graph.add("Cast", graph.add("Equal", "input_ids", np.array(separator)),
                      to=TensorProto.INT64)
    return graph.add("Min", graph.add("CumSum", found, np.array(1)), np.array(1))


def _told_apart(graph: Graph, rows: str, counts: str, behind: str, second: Array
                ) -> tuple[str, str]:
    """As `Looked.told_apart`, where tokens count by the exponentials of their scores.
    *Shapes:* (B, S, d), (B, S, 1)"""
    which = graph.add("Cast", graph.add("Unsqueeze", behind, np.array([2])), to=TensorProto.BOOL)
    one = np.array(1, SINGLE)
    return (graph.add("Mul", rows, graph.add("Where", which, one + second[:-1], one)),
            graph.add("Mul", counts, graph.add("Where", which, np.exp(second[-1]), one)))


def _weighted(graph: Graph, rows: str, table: Array, highest: float, index: str, counts: str
              ) -> tuple[str, str]:
    """The weighted sum of embeddings, and the sum of their weights. *Shapes:* (B, 1, d), (B, 1, 1)

    Args:
        rows: embeddings of tokens or pairs. *Shape:* (B, S, d)
        table: has their scores in its last column, at `index`. *Shape:* (V, d + 1)
        highest: the highest score of all tables, so that no exponential is more than 1.
        counts: what weights are multiplied by, 0 for padding. *Shape:* (B, S, 1)
    """
    scores = np.exp(table[:, -1:] - highest)
    weights = graph.add("Mul", graph.add("Gather", scores, index), counts)
    axis = np.array([1])
    return (graph.add("ReduceSum", graph.add("Mul", rows, weights), axis),
            graph.add("ReduceSum", weights, axis))


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
