"""Export a student: one language as a plain transformers checkpoint, which needs no amtss, or one
or all languages as one ONNX file, which needs no torch. Each with its model card."""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from amtss.errors import AmtssError, CheckpointError
from amtss.files import replacing, seal, write_bytes, write_json
from amtss.inference import card
from amtss.inference.facts import Facts
from amtss.inference.pytorch_predictor import PytorchPredictor
from amtss.models import checkpoint

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig, PreTrainedModel

    from amtss.inference.onnx_nodes import Bits
    from amtss.student.model import StudentModel

_ROBERTA = ("classifier.dense", "classifier.out_proj")
LAYERS = {"bert": ("bert.pooler.dense", "classifier"), "camembert": _ROBERTA, "roberta": _ROBERTA,
          "xlm-roberta": _ROBERTA}
"""Family -> names of a head's dense and out_proj in its sequence classifier."""
ACTIVATION = "gelu"
"""The only activation that `onnx_graph` can write."""
SEGMENTS = "embeddings.token_type_embeddings.weight"
Format = Literal["onnx", "onnx-int8", "onnx-int4"]
"""As in `serving.runtime` and `amtss export --format`."""
BITS: "dict[Format, Bits]" = {"onnx": 32, "onnx-int8": 8, "onnx-int4": 4}
BATCH, STATIC_BATCH = 8, 32
"""Texts computed at once, on one thread. With layers more are no faster, as texts of unlike lengths
need padding; without, the cost of each call counts: 32 take 14 to 20% less time than 8."""
MARK = "amtss"
"""Key of config.json that marks an export and says what was exported."""


def export(folder: Path, language: str, to: Path, facts: Facts | None = None,
           place: str = "") -> None:
    """Write the shared encoder and `language`'s head of the student in `folder` to `to`.

    `pipeline("text-classification", model=to)` gives the student's probabilities. With
    `truncation=True` it truncates texts as the student does.

    Args:
        facts, place: for the model card, as in `card.Model`.

    Raises:
        CheckpointError: there is no student, it has no such head, or transformers has no
            sequence classifier with such an encoder, pooling and heads.
        AmtssError: the student is altered, or `to` holds something other than an export.
    """
    student = _student(folder, language)
    _check_replaceable(to)
    model = classifier(student.model, language)
    setattr(model.config, MARK, {"language": language,
                                 "student": checkpoint.fingerprint(folder)})
    student.tokenizer.model_max_length = student.model.config.max_tokens
    with replacing(to) as temporary:
        model.save_pretrained(temporary)
        student.tokenizer.save_pretrained(temporary)
        _write_card(temporary, "transformers", student, facts, place)


def _write_card(folder: Path, kind: card.Kind, student: PytorchPredictor, facts: Facts | None,
                place: str) -> None:
    card.write(folder, card.Model(kind, student.labels, student.languages,
                                  student.model.config.max_tokens, facts, place))


def _student(folder: Path, language: str) -> PytorchPredictor:
    """The student in `folder`; with a language, only that language's head is left."""
    student = PytorchPredictor(folder)
    if language:
        if language not in student.languages:
            raise CheckpointError(f"{folder}: expected a head for one of "
                                  f"{', '.join(student.languages)}, found none for {language!r}; "
                                  "name one of them in --lang")
        student.languages = student.model.config.languages = [language]
        student.recogniser = None  # there is no other language
    return student


def export_onnx(folder: Path, to: Path, format: Format, language: str = "",
                facts: Facts | None = None, place: str = "") -> None:
    """Write the student in `folder` to `to` as files:

    - model.onnx: the encoder and the heads;
    - tokenizer.json, which truncates and pads as the student does;
    - config.json, what else a prediction needs: labels, languages (the input `language` is an index
      of this list), max_tokens, pad_token_id, batch_size, and each language's temperature and
      thresholds;
    - languages.safetensors, where there are several: what recognises them.

    Args:
        format: `onnx` keeps floats; `onnx-int8` is a quarter of the size, `onnx-int4` an eighth.
        language: the only one to export; empty for all.
        facts, place: for the model card, as in `card.Model`.

    Raises:
        CheckpointError: there is no student, it has no such head, or its encoder has another family
            or activation.
        AmtssError: the student is altered, or `to` holds something other than an export.
    """
    from amtss.inference import onnx_graph

    student = _student(folder, language)
    _check_replaceable(to)
    encoder, tokenizer = student.model.config.encoder, student.tokenizer
    if encoder.num_hidden_layers:
        _check_family(encoder)
        if encoder.hidden_act != ACTIVATION:
            raise CheckpointError(f"{folder}: expected an encoder with hidden_act {ACTIVATION}, "
                                  f"the only one that the ONNX export can write, found "
                                  f"{encoder.hidden_act}; export it with --format transformers")
    model = onnx_graph.build(student.model, BITS[format])
    limit = tokenizer.model_max_length = student.model.config.max_tokens
    tokenizer.backend_tokenizer.enable_truncation(limit)
    tokenizer.backend_tokenizer.enable_padding(pad_id=tokenizer.pad_token_id,
                                               pad_token=tokenizer.pad_token)
    with replacing(to) as temporary:
        tokenizer.save_pretrained(temporary)
        write_bytes(temporary / "model.onnx", model.SerializeToString())
        write_json(temporary / "config.json", {
            MARK: {"format": format, "student": checkpoint.fingerprint(folder)},
            "labels": student.labels, "languages": student.languages, "max_tokens": limit,
            "pad_token_id": tokenizer.pad_token_id,
            "batch_size": BATCH if encoder.num_hidden_layers else STATIC_BATCH,
            "temperatures": _served(student.temperatures, student.languages),
            "thresholds": _served(student.thresholds, student.languages)})
        if student.recogniser is not None:
            student.recogniser.save(temporary)
        seal(temporary)
        _write_card(temporary, format, student, facts, place)


def _served(figures: Mapping[str, Any], languages: Sequence[str]) -> dict[str, Any]:
    return {code: figures[code] for code in languages if code in figures}


def _check_family(encoder: "PreTrainedConfig") -> None:
    if encoder.model_type not in LAYERS:
        raise CheckpointError(f"student: expected an encoder of {', '.join(LAYERS)}, the families "
                              f"that can be exported, found {encoder.model_type}; run it in "
                              "PyTorch: `amtss predict`, or serving.runtime: pytorch")


def classifier(student: "StudentModel", language: str) -> "PreTrainedModel":
    """`student` as its encoder's own `...ForSequenceClassification`, for one language.

    Raises:
        CheckpointError: the encoder's family is not in `LAYERS`, or the student pools by mean or
            has no layers.
    """
    from transformers import AutoModelForSequenceClassification

    config = copy.deepcopy(student.config.encoder)
    instead = f"export it with --lang {language} --format onnx"
    if not config.num_hidden_layers:
        raise CheckpointError("student: expected one with layers, as transformers has no classifier"
                              f" without them, found none; {instead}")
    _check_family(config)
    if student.config.pooling != "first":
        raise CheckpointError(
            "student: expected one with pooling: first, as transformers' classifiers for "
            f"{config.model_type} read the first token's state alone, found "
            f"{student.config.pooling}; {instead}, or train one with student.pooling: first")
    config.id2label, config.label2id = student.config.id2label, student.config.label2id
    config.classifier_dropout = student.config.dropout
    model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    encoder = {f"{model.base_model_prefix}.{name}": tensor
               for name, tensor in student.encoder.state_dict().items()}
    # The student reads both texts of a pair as the first segment.
    segments = f"{model.base_model_prefix}.{SEGMENTS}"
    encoder[segments] = encoder[segments][:1].expand_as(encoder[segments])
    model.load_state_dict(encoder | _head(student, language, *LAYERS[config.model_type]))
    model.train(False)
    return model


def _head(student: "StudentModel", language: str, dense: str, out_proj: str) -> "dict[str, Tensor]":
    """A head's weights by their names in the classifier; a residual head plus the shared one.

    The last layer is divided by the language's temperature, so that its softmax is calibrated.
    """
    weights = student.heads[language].state_dict()
    if student.shared is not None:
        weights = {name: tensor + student.shared.state_dict()[name]
                   for name, tensor in weights.items()}
    temperatures = {"dense": 1.0, "out_proj": student.config.temperatures.get(language, 1.0)}
    return {f"{to}.{kind}": weights[f"{layer}.{kind}"] / temperatures[layer]
            for layer, to in (("dense", dense), ("out_proj", out_proj))
            for kind in ("weight", "bias")}


def _check_replaceable(to: Path) -> None:
    """Refuse to replace anything but an earlier export or an empty folder.

    Raises:
        AmtssError: `to` is a file or another folder.
    """
    if not to.exists() or _is_export(to) or (to.is_dir() and not any(to.iterdir())):
        return
    raise AmtssError(f"{to}: expected a new or empty folder or an earlier export, found something "
                     "else; name another in --output")


def _is_export(folder: Path) -> bool:
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and MARK in config
