"""Our students in several runtimes, for `front.py`. All answer on one thread.

Other runtimes of a student share its tokenizer and its batches, and replace the session alone.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Answer = Callable[[str, list[str]], Sequence[str]]
"""Language and texts -> their labels."""
CALIBRATION = 100
"""Training texts of each language that calibrate a static quantisation."""
FLOATS = ("Gelu", "MatMul", "MultiHeadAttention", "RMSNormalization")
"""Operators whose results are factors of a product, or its result."""


@dataclass(frozen=True)
class Task:
    """Where everything lies."""

    student: Path
    static: Path
    data: Path
    """`{language}/{split}.jsonl`, with `text` and `scenario`."""
    encoder: Path | None
    """A checkpoint whose token vectors the look-up side has."""
    work: Path
    """Exports, kept between runs."""
    languages: tuple[str, ...]

    def read(self, language: str, split: str) -> tuple[list[str], list[str]]:
        """Texts and their labels."""
        lines = (self.data / language / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        return [row["text"] for row in rows], [row["scenario"] for row in rows]


def _answers(predictor: Any) -> Answer:
    def answer(language: str, texts: list[str]) -> list[str]:
        best = predictor.probabilities(texts, None, language).argmax(1)
        return [predictor.labels[index] for index in best]

    return answer


def _bytes(folder: Path, *suffixes: str) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix in suffixes)


def by_pytorch(task: Task, folder: str, compiled: bool = False) -> tuple[Answer, int]:
    """The student as `amtss predict` runs it, or with its encoder compiled."""
    import torch

    from amtss.inference.pytorch_predictor import PytorchPredictor

    torch.set_num_threads(1)
    predictor = PytorchPredictor(getattr(task, folder))
    if compiled:
        predictor.model.encoder = torch.compile(predictor.model.encoder, dynamic=True)
    return _answers(predictor), _bytes(getattr(task, folder), ".safetensors")


def by_onnx(task: Task, folder: str, format: Any) -> tuple[Answer, int]:
    """The student as `amtss predict --runtime onnx` runs it."""
    predictor = _exported(task, folder, format)
    return _answers(predictor), _bytes(task.work / folder / format, ".onnx")


def _exported(task: Task, folder: str, format: Any) -> Any:
    from amtss.inference.onnx_predictor import OnnxPredictor

    to = task.work / folder / format
    if not to.exists():
        from amtss.inference.export import export_onnx

        to.parent.mkdir(exist_ok=True)
        export_onnx(getattr(task, folder), to, format)
    return OnnxPredictor(to)


def _calibration(task: Task, predictor: Any) -> Iterator[dict[str, Any]]:
    """Inputs of the graph: training texts, eight at a time."""
    import numpy as np

    for head, language in enumerate(predictor.languages):
        if language in task.languages:
            texts = task.read(language, "train")[0][:CALIBRATION]
            for start in range(0, len(texts), predictor.batch_size):
                encoded = predictor.tokenise(texts[start:start + predictor.batch_size], None)
                ids, mask = encoded.padded(np.arange(len(encoded)), predictor.pad)
                yield {"input_ids": ids, "attention_mask": mask,
                       "language": np.full(len(encoded), head)}


def by_static_onnx(task: Task) -> tuple[Answer, int]:
    """onnxruntime's own static quantisation of products and embeddings."""
    from amtss.inference import onnx_predictor

    predictor = _exported(task, "student", "onnx")
    path = task.work / "static-int8.onnx"
    if not path.exists():
        _quantise(task.work / "student" / "onnx" / "model.onnx", path,
                  _calibration(task, predictor))
    predictor.session = onnx_predictor._session(path)
    return _answers(predictor), path.stat().st_size


def _quantise(model: Path, to: Path, inputs: Iterator[dict[str, Any]]) -> None:
    """uint8 activations and int8 weights, which onnxruntime computes as QLinearMatMul.

    It infers no types behind its own operators, and leaves values of unknown type as they are.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.calibrate import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, Any] | None:
            return next(inputs, None)

    typed = onnx.load(model)
    typed.graph.value_info.extend(
        onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, None)
        for node in typed.graph.node if node.op_type in FLOATS)
    quantization.quantize_static(
        typed, to, Reader(), per_channel=True, op_types_to_quantize=["MatMul", "Gather"],
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8, extra_options={"MatMulConstBOnly": True})


class _OpenVino:
    """A model of OpenVINO that is called as a session of onnxruntime is."""

    def __init__(self, model: Any, **config: Any) -> None:
        import openvino

        self.request = openvino.Core().compile_model(model, "CPU", {
            "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
            **config}).create_infer_request()

    def run(self, names: list[str], inputs: dict[str, Any]) -> list[Any]:
        return [self.request.infer(inputs)[name] for name in names]


def by_openvino(task: Task, kind: str) -> tuple[Answer, int]:
    """`fp32`; `dynamic`: weights of int8, activations as they come; `static`: calibrated."""
    import openvino

    predictor = _exported(task, "student", "onnx")
    model = openvino.convert_model(task.work / "student" / "onnx" / "model.onnx")
    config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if kind == "dynamic":
        import nncf

        model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
        config["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 128
    elif kind == "static":
        import nncf

        inputs = list(_calibration(task, predictor))
        model = nncf.quantize(model, nncf.Dataset(inputs), model_type=nncf.ModelType.TRANSFORMER,
                              subset_size=len(inputs))
    path = task.work / f"openvino-{kind}.xml"
    openvino.save_model(model, path, compress_to_fp16=False)
    predictor.session = _OpenVino(openvino.Core().read_model(path), **config)
    return _answers(predictor), path.with_suffix(".bin").stat().st_size
