import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from support.training import LABELS
from transformers import AutoConfig

from amtss.inference import onnx_graph
from amtss.inference.onnx_nodes import Bits
from amtss.student.model import StudentConfig, StudentModel
from amtss.student.static import StaticConfig

CODES = ["en", "fr", "ko"]
LENGTH = 12
PAD, END = 1, 2


def make(kind: str = "xlm-roberta", heads: str = "own", layers: int = 2,
         pooling: str = "first", pairs: int = 0, separator: int | None = None) -> StudentModel:
    """A student whose every weight matters."""
    encoder = AutoConfig.for_model(
        kind, vocab_size=60, hidden_size=32, num_hidden_layers=layers, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=40, pad_token_id=PAD,
        type_vocab_size=2 if kind == "bert" else 1) if layers else StaticConfig(
            60, 32, pad_token_id=PAD, pairs=pairs, separator=separator)
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

    @pytest.mark.parametrize("pairs", [0, 100])
    def test_without_layers_of_two_texts(self, pairs: int) -> None:
        model, plain = (make(layers=0, pairs=pairs, separator=each) for each in (END, None))
        plain.load_state_dict(model.state_dict(), strict=False)
        feed = texts([12, 5, 12, 1, 8, 2])
        feed["input_ids"][0, 3:5] = feed["input_ids"][2, [0, 7]] = END
        graph = onnx_graph.build(model, 32)
        onnx.checker.check_model(graph)
        np.testing.assert_allclose(run_graph(graph, feed), expected(model, feed), atol=1e-5)
        differ = abs(expected(model, feed) - expected(plain, feed)).max(axis=1) > 1e-3
        assert differ[[0, 2]].all()
        assert not differ[[1, 3, 4, 5]].any()

    def test_of_one_token_which_has_no_pair(self) -> None:
        model, feed = make(layers=0, pairs=100), texts([1])
        np.testing.assert_allclose(run_graph(onnx_graph.build(model, 32), feed),
                                   expected(model, feed), atol=1e-5)

    def test_without_layers_is_a_few_nodes(self) -> None:
        operators = {node.op_type for node in onnx_graph.build(make(layers=0), 32).graph.node}
        assert operators == {"Add", "Cast", "Div", "Gather", "GatherND", "MatMul", "Max", "Mul",
                             "ReduceSum", "Reshape", "Squeeze", "Tanh", "Unsqueeze"}

    @pytest.mark.parametrize(("pairs", "separator"), [(0, None), (100, None), (100, 20)])
    @pytest.mark.parametrize("bits", [8, 4])
    def test_without_layers_of_whole_numbers_are_near(self, bits: Bits, pairs: int,
                                                      separator: int | None) -> None:
        model = make(layers=0, pairs=pairs, separator=separator)
        feed = texts([3, 12, 5, 12, 1, 8, 2] * 9)
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
    def test_of_whole_numbers_are_near(self, kind: str, bits: Bits,
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
    def test_is_the_same_every_time(self, bits: Bits) -> None:
        first, second = (onnx_graph.build(make(), bits).SerializeToString() for _ in range(2))
        assert first == second

    @pytest.mark.parametrize("bits", [8, 4])
    def test_has_no_matrix_of_floats_but_positions(self, bits: Bits) -> None:
        weights = {each.name: onnx.numpy_helper.to_array(each)
                   for each in onnx_graph.build(make(), bits).graph.initializer}
        assert [each.shape for each in weights.values()
                if each.dtype == np.float32 and each.ndim == 2 and min(each.shape) > 1] == [
                    (LENGTH + PAD + 1, 32)]
