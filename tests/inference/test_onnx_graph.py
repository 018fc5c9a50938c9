from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.training import LABELS
from transformers import AutoConfig

from amtss.inference import onnx_graph
from amtss.student.model import StudentConfig, StudentModel
from amtss.student.static import StaticConfig

CODES = ["en", "fr", "ko"]
LENGTH = 12
PAD = 1


def make(kind: str = "xlm-roberta", heads: str = "own", layers: int = 2,
         pooling: str = "first", pairs: int = 0) -> StudentModel:
    """A student whose every weight matters."""
    encoder = AutoConfig.for_model(
        kind, vocab_size=60, hidden_size=32, num_hidden_layers=layers, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=40, pad_token_id=PAD,
        type_vocab_size=2 if kind == "bert" else 1) if layers else StaticConfig(
            60, 32, pad_token_id=PAD, pairs=pairs)
    torch.manual_seed(0)
    model = StudentModel(StudentConfig(
        encoder=encoder, languages=CODES, heads=heads, max_tokens=LENGTH, pooling=pooling,
        id2label=dict(enumerate(LABELS)))).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def texts(lengths: list[int]) -> dict[str, np.ndarray]:
    """Padded texts, languages taking turns."""
    draw = np.random.default_rng(0)
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    return {"input_ids": np.where(mask, draw.integers(5, 60, mask.shape), PAD),
            "attention_mask": mask.astype(np.int64),
            "language": np.arange(len(lengths)) % len(CODES)}


def expected(model: StudentModel, feed: dict[str, np.ndarray]) -> np.ndarray:
    with torch.inference_mode():
        logits: np.ndarray = model(**{key: torch.from_numpy(each)
                                      for key, each in feed.items()}).numpy()
    return logits


def run_graph(made: onnx.ModelProto, feed: dict[str, np.ndarray]) -> np.ndarray:
    logits: np.ndarray = onnxruntime.InferenceSession(made.SerializeToString()).run(None, feed)[0]
    return logits


class TestLogits:
    @pytest.mark.parametrize("kind", ["bert", "camembert", "roberta", "xlm-roberta"])
    @pytest.mark.parametrize("heads", ["own", "residual"])
    @pytest.mark.parametrize("pooling", ["first", "mean"])
    def test_are_the_students(self, kind: str, heads: str, pooling: str) -> None:
        model = make(kind, heads, pooling=pooling)
        made = onnx_graph.build(model, 32)
        onnx.checker.check_model(made)
        for lengths in ([7], [LENGTH], [3, 12, 5, 12, 1, 8, 2]):
            feed = texts(lengths)
            assert np.ptp(expected(model, feed)) > 0.5
            np.testing.assert_allclose(run_graph(made, feed), expected(model, feed), atol=1e-5)

    @pytest.mark.parametrize("pooling", ["first", "mean"])
    def test_of_one_layer(self, pooling: str) -> None:
        model, feed = make(layers=1, pooling=pooling), texts([4, 9, 2])
        np.testing.assert_allclose(run_graph(onnx_graph.build(model, 32), feed),
                                   expected(model, feed), atol=1e-5)

    @pytest.mark.parametrize("heads", ["own", "residual"])
    @pytest.mark.parametrize(("pairs", "scores"), [(0, None), (100, None), (100, 70.0)])
    def test_without_layers(self, heads: str, pairs: int, scores: float | None) -> None:
        model = make(heads=heads, layers=0, pairs=pairs)
        with torch.no_grad():  # scores that differ much
            model.get_input_embeddings().weight[:, -1] = torch.linspace(-30, 50, 60)
            if pairs and scores:  # higher than any token's, so that pairs outweigh tokens
                model.encoder.pairs.weight[:, -1] += scores
        graph = onnx_graph.build(model, 32)
        onnx.checker.check_model(graph)
        for lengths in ([7], [LENGTH], [3, 12, 5, 12, 1, 8, 2]):
            feed = texts(lengths)
            assert np.ptp(expected(model, feed)) > 0.1
            np.testing.assert_allclose(run_graph(graph, feed), expected(model, feed), atol=1e-5)

    def test_of_one_token_which_has_no_pair(self) -> None:
        model, feed = make(layers=0, pairs=100), texts([1])
        np.testing.assert_allclose(run_graph(onnx_graph.build(model, 32), feed),
                                   expected(model, feed), atol=1e-5)

    def test_without_layers_is_a_few_nodes(self) -> None:
        operators = {node.op_type for node in onnx_graph.build(make(layers=0), 32).graph.node}
        assert operators == {"Add", "Cast", "Div", "Gather", "GatherND", "MatMul", "Max", "Mul",
                             "ReduceSum", "Reshape", "Squeeze", "Tanh", "Unsqueeze"}

    @pytest.mark.parametrize("pairs", [0, 100])
    @pytest.mark.parametrize("bits", [8, 4])
    def test_without_layers_of_whole_numbers_are_near(self, bits: onnx_graph.Bits,
                                                      pairs: int) -> None:
        model, feed = make(layers=0, pairs=pairs), texts([3, 12, 5, 12, 1, 8, 2] * 9)
        found, right = run_graph(onnx_graph.build(model, bits), feed), expected(model, feed)
        assert 1e-4 < abs(found - right).max() < 0.15 * np.ptp(right)
        assert (found.argmax(1) == right.argmax(1)).mean() > 0.9

    def test_of_a_text_with_a_padding_token_in_it(self) -> None:
        model, feed = make(), texts([9])
        feed["input_ids"][0, 4] = PAD
        np.testing.assert_allclose(run_graph(onnx_graph.build(model, 32), feed),
                                   expected(model, feed), atol=1e-5)

    def test_depend_on_the_language(self) -> None:
        feed = texts([8] * 3)
        feed["input_ids"][:] = feed["input_ids"][0]
        first, second, third = run_graph(onnx_graph.build(make(), 32), feed)
        assert min(abs(first - second).max(), abs(second - third).max()) > 0.1

    @pytest.mark.parametrize("bits", [8, 4])
    @pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
    @pytest.mark.parametrize("pooling", ["first", "mean"])
    def test_of_whole_numbers_are_near(self, kind: str, bits: onnx_graph.Bits,
                                       pooling: str) -> None:
        model, feed = make(kind, "residual", pooling=pooling), texts([3, 12, 5, 12, 1, 8, 2] * 9)
        found, right = run_graph(onnx_graph.build(model, bits), feed), expected(model, feed)
        assert 1e-4 < abs(found - right).max() < 0.15 * np.ptp(right)
        assert (found.argmax(1) == right.argmax(1)).mean() > 0.9


class TestTheFile:
    def test_names_and_dimensions(self) -> None:
        session = onnxruntime.InferenceSession(
            onnx_graph.build(make(), 8).SerializeToString())
        assert {each.name: (each.shape, each.type) for each in session.get_inputs()} == {
            "input_ids": (["batch", "length"], "tensor(int64)"),
            "attention_mask": (["batch", "length"], "tensor(int64)"),
            "language": (["batch"], "tensor(int64)")}
        assert [(each.name, each.shape) for each in session.get_outputs()] == [
            ("logits", ["batch", len(LABELS)])]

    @pytest.mark.parametrize("bits", [32, 8, 4])
    def test_is_the_same_every_time(self, bits: onnx_graph.Bits) -> None:
        first, second = (onnx_graph.build(make(), bits).SerializeToString() for _ in range(2))
        assert first == second

    @pytest.mark.parametrize("bits", [8, 4])
    def test_has_no_matrix_of_floats_but_positions(self, bits: onnx_graph.Bits) -> None:
        weights = {each.name: onnx.numpy_helper.to_array(each)
                   for each in onnx_graph.build(make(), bits).graph.initializer}
        assert [each.shape for each in weights.values()
                if each.dtype == np.float32 and each.ndim == 2 and min(each.shape) > 1] == [
                    (LENGTH + PAD + 1, 32)]


FLOATS = st.floats(-100, 100, width=32)


class TestQuantised:
    @given(arrays(np.float32, (3, 5), elements=FLOATS), st.sampled_from([onnx_graph.LARGEST, 127]))
    def test_is_within_half_a_step(self, rows: Any, largest: int) -> None:
        values, scales = onnx_graph.quantised(rows, largest)
        assert values.dtype == np.int8
        assert abs(values.astype(int)).max() <= largest
        assert (abs(values * scales[:, None] - rows) <= 0.501 * scales[:, None]).all()

    def test_of_nothing_is_nothing(self) -> None:
        values, scales = onnx_graph.quantised(np.zeros((2, 4), np.float32), 127)
        assert not values.any()
        assert np.isfinite(scales).all()


def looked_up(table: np.ndarray, bits: onnx_graph.Bits, index: list[int]) -> np.ndarray:
    """The rows that a graph of one table gives."""
    made = onnx_graph.Graph(bits)
    name = made.rows(table, "index")
    value = onnx.helper.make_tensor_value_info
    model = onnx.helper.make_model(onnx.helper.make_graph(
        made.nodes, "rows", [value("index", onnx.TensorProto.INT64, [1, None])],
        [value(name, onnx.TensorProto.FLOAT, [1, None, table.shape[1]])], made.weights),
        ir_version=onnx_graph.IR, opset_imports=[onnx.helper.make_opsetid("", onnx_graph.OPSET)])
    return run_graph(model, {"index": np.array([index])})[0]


class TestFourBits:
    @given(arrays(np.float32, (3, 6), elements=FLOATS) | arrays(np.float32, (4, 5),
                                                                elements=FLOATS))
    def test_a_row_is_within_half_a_step(self, table: np.ndarray) -> None:
        _, scales, columns = onnx_graph.packed(table)
        found = looked_up(table, 4, list(range(len(table))))
        steps = scales[:, None] * columns + 1e-30  # which floats hardly tell from 0
        assert (abs(found - table) <= 0.501 * steps).all()
        assert (abs(found) <= 7.01 * steps).all()

    def test_take_half_a_byte_each(self) -> None:
        pairs, _, _ = onnx_graph.packed(np.ones((3, 6), np.float32))
        assert (pairs.shape, pairs.dtype) == ((3, 3), np.uint8)

    def test_small_columns_are_as_exact_as_large_ones(self) -> None:
        size = np.array([100.0, 1.0, 0.01, 1e-4], np.float32)
        table = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32) * size
        found = looked_up(table, 4, list(range(500)))
        error = np.sqrt(np.square(found - table).mean(axis=0)) / size
        assert error.max() < 0.15
        assert error.max() < 1.2 * error.min()
