from typing import Any

import numpy as np
import onnx
import onnxruntime
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from amtss.inference import onnx_nodes
from amtss.inference.onnx_graph import IR, OPSET

FLOATS = st.floats(-100, 100, width=32)


class TestQuantised:
    @given(arrays(np.float32, (3, 5), elements=FLOATS), st.sampled_from([onnx_nodes.LARGEST, 127]))
    def test_is_within_half_a_step(self, rows: Any, largest: int) -> None:
        values, scales = onnx_nodes.quantised(rows, largest)
        assert values.dtype == np.int8
        assert abs(values.astype(int)).max() <= largest
        assert (abs(values * scales[:, None] - rows) <= 0.501 * scales[:, None]).all()

    def test_of_nothing_is_nothing(self) -> None:
        values, scales = onnx_nodes.quantised(np.zeros((2, 4), np.float32), 127)
        assert not values.any()
        assert np.isfinite(scales).all()


def looked_up(table: np.ndarray, bits: onnx_nodes.Bits, index: list[int]) -> np.ndarray:
    """The rows that a graph of one table gives."""
    made = onnx_nodes.Graph(bits)
    name = made.rows(table, "index")
    value = onnx.helper.make_tensor_value_info
    model = onnx.helper.make_model(onnx.helper.make_graph(
        made.nodes, "rows", [value("index", onnx.TensorProto.INT64, [1, None])],
        [value(name, onnx.TensorProto.FLOAT, [1, None, table.shape[1]])], made.weights),
        ir_version=IR, opset_imports=[onnx.helper.make_opsetid("", OPSET)])
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found: np.ndarray = session.run(None, {"index": np.array([index])})[0][0]
    return found


class TestFourBits:
    @given(arrays(np.float32, (3, 6), elements=FLOATS) | arrays(np.float32, (4, 5),
                                                                elements=FLOATS))
    def test_a_row_is_within_half_a_step(self, table: np.ndarray) -> None:
        _, scales, columns = onnx_nodes.packed(table)
        found = looked_up(table, 4, list(range(len(table))))
        steps = scales[:, None] * columns + 1e-30  # which floats hardly tell from 0
        assert (abs(found - table) <= 0.501 * steps).all()
        assert (abs(found) <= 7.01 * steps).all()

    def test_take_half_a_byte_each(self) -> None:
        pairs, _, _ = onnx_nodes.packed(np.ones((3, 6), np.float32))
        assert (pairs.shape, pairs.dtype) == ((3, 3), np.uint8)

    def test_small_columns_are_as_exact_as_large_ones(self) -> None:
        size = np.array([100.0, 1.0, 0.01, 1e-4], np.float32)
        table = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32) * size
        found = looked_up(table, 4, list(range(500)))
        error = np.sqrt(np.square(found - table).mean(axis=0)) / size
        assert error.max() < 0.15
        assert error.max() < 1.2 * error.min()
