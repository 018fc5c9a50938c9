"""The tokenizer and the initial weights of the student and of X-LM-Tiny.

Shapes: V tokens, d the student's width.
"""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from amtss import records
from amtss.config.schema import Params, Student
from amtss.data import corpus
from amtss.errors import CheckpointError, first_line
from amtss.files import read_json, replacing, seal, verify, write_json
from amtss.models import checkpoint
from amtss.paths import Layout
from amtss.student import embeddings, trimming
from amtss.student.growth import grow_tokenizer
from amtss.tokenization import lengths, unknown
from amtss.tokenization.tokenizer import load_tokenizer, train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


def start(params: Params, layout: Layout) -> None:
    """Write the student's tokenizer, and beside it the encoder's initial weights.

    In an onboarding the student is the registered one, and its tokenizer gets pieces for the new
    languages.

    Raises:
        AmtssError: an input is missing or altered.
        CheckpointError: the source cannot be loaded or does not fit, or too much of a language is
            unknown to the tokenizer.
    """
    settings = params.student
    corpora = [corpus.load(layout, language) for language in params.languages]
    if settings.teacher is not None:
        verify(layout.teacher(settings.teacher), f"dvc repro teach@{settings.teacher}")
    if params.onboarding is not None:
        verify(layout.registered, "dvc repro fetch")
        new = [texts for texts in corpora if texts.language in params.onboarding.languages]
        tokenizer = grow_tokenizer(
            load_tokenizer(str(layout.registered / "student")), new,
            [texts for texts in corpora if texts not in new],
            params.continuation.vocabulary * len(new), params.validation)
    elif (source := origin(settings, layout) or settings.tokenizer) is not None:
        tokenizer = load_tokenizer(source, settings.revision)
    else:
        tokenizer = train_tokenizer(corpora, settings.architecture.vocabulary)
    kept = np.arange(len(tokenizer))
    if settings.vocabulary == "trimmed" and params.onboarding is None:
        tokenizer, kept = trimming.trim(tokenizer, corpora, settings.trimming)
    if params.onboarding is None:
        unknown.check(tokenizer, corpora, params.validation, "the student's tokenizer of "
                      f"{len(tokenizer):,} tokens", _readable(settings))
    length = settings.max_length or _registered_length(params, layout)
    read = lengths.settle(tokenizer, corpora, length, params.validation, "the student")
    settings = settings.model_copy(update={"max_length": read["max_length"]})
    with replacing(layout.tokenizer) as folder:
        tokenizer.save_pretrained(folder)
        write_json(folder / layout.lengths.name, read)
        if params.onboarding is None:
            write_weights(settings, origin(settings, layout), kept, tokenizer.pad_token_id,
                          folder / layout.start.name)
        seal(folder)


def _registered_length(params: Params, layout: Layout) -> int | None:
    """Tokens at which the registered student that an onboarding starts from cuts texts; None where
    there is no onboarding."""
    if params.onboarding is None:
        return None
    path = layout.registered / "student" / "config.json"
    return read_json(path, records.Student, "dvc repro fetch", ours=False)["max_tokens"]


def origin(settings: Student, layout: Layout) -> str | None:
    """The encoder that initial weights come from: a hub id, a local folder, or None."""
    if settings.teacher is not None:
        return str(layout.teacher(settings.teacher))
    return settings.checkpoint


def write_weights(settings: Student, source: str | None, kept: NDArray[np.int64], pad: int,
                  folder: Path) -> None:
    """Write the initial weights that `model.build_student` reads; nothing where `source` is None.

    Args:
        kept: the student's tokens, by their ids in `source`'s tokenizer. *Shape:* (V,)
        pad: the padding token's index in `kept`.

    Raises:
        CheckpointError: `source` cannot be loaded or does not fit.
    """
    if source is None:
        return
    if settings.start == "layers":
        model = chosen_layers(settings, source)
        layer = cast(nn.Embedding, model.get_input_embeddings())
        embeddings.check(source, len(layer.weight), kept)
        layer.weight = nn.Parameter(layer.weight.detach()[torch.from_numpy(kept)])
        model.config.vocab_size = len(kept)
        model.save_pretrained(folder)
    else:
        table = reduced_embeddings(settings, source, kept)
        table[pad] = 0  # as in a randomly initialised encoder
        if not settings.architecture.layers:
            table = functional.pad(table, (0, 1))  # equal scores, as static.StaticEncoder has them
        folder.mkdir()
        save_file({embeddings.NAME: table}, folder / "model.safetensors")


def reduced_embeddings(settings: Student, source: str, kept: NDArray[np.int64]) -> Tensor:
    """`source`'s embeddings of the tokens `kept`, reduced to the student's width. *Shape:* (V, d)

    Raises:
        CheckpointError: it cannot be loaded, or is narrower than the student.
    """
    table = embeddings.read(source, settings.revision, kept)
    if table.shape[1] < settings.architecture.width:
        raise CheckpointError(f"{source}: expected embeddings of width "
                              f"{settings.architecture.width} or more, found {table.shape[1]}; "
                              "lower student.architecture.width")
    return embeddings.reduce(table, settings.architecture.width)


def chosen_layers(settings: Student, source: str) -> "PreTrainedModel":
    """`source` with only the layers that `settings` chooses, and with the student's dropout.

    Raises:
        CheckpointError: it cannot be loaded, or has too few layers or positions.
    """
    from transformers import AutoModel

    config = _config(settings, source)
    chosen = settings.layers or range(settings.architecture.layers)
    if chosen[-1] >= config.num_hidden_layers:
        key = "student.layers" if settings.layers else "student.architecture.layers"
        raise CheckpointError(f"{source}: expected at least {chosen[-1] + 1} layers, found "
                              f"{config.num_hidden_layers}; lower {key}")
    config.num_hidden_layers = chosen[-1] + 1  # the weights of those above are not loaded
    config.hidden_dropout_prob, config.attention_probs_dropout_prob = settings.dropout, 0.0
    model = checkpoint.load(AutoModel, source, _fix(settings), revision=settings.revision,
                            config=config, add_pooling_layer=False)
    encoder = cast(nn.Module, model.encoder)
    layers = list(cast(nn.ModuleList, encoder.layer))
    encoder.layer = nn.ModuleList([layers[index] for index in chosen])
    model.config.num_hidden_layers = len(chosen)
    checkpoint.check_length(model, settings.max_length or 0, source, "lower student.max_length in "
                            "params.yaml")
    return model


def _config(settings: Student, source: str) -> "PreTrainedConfig":
    """The encoder's configuration.

    Raises:
        CheckpointError: it cannot be read, or is not of BERT's family.
    """
    from transformers import AutoConfig, AutoModel

    from amtss.models import classifier  # noqa: F401, it registers the mean-pooled one

    try:
        config = AutoConfig.from_pretrained(source, revision=settings.revision or "main")
        config = getattr(config, "encoder", config)  # of a mean-pooled teacher
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{source}: expected a checkpoint, found: "
                              f"{first_line(error)}; {_fix(settings)}") from error
    try:
        with torch.device("meta"):
            AutoModel.from_config(config, add_pooling_layer=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{source}: expected an encoder of BERT's family (BERT, RoBERTa, "
                              f"XLM-R, CamemBERT), found {config.model_type}; "
                              f"{_fix(settings)}") from error
    return cast("PreTrainedConfig", config)


def _readable(settings: Student) -> str:
    """What gives the student a tokenizer that knows more characters."""
    if settings.vocabulary == "trimmed" and settings.trimming.characters == "scripts":
        return "set student.trimming.characters: all"
    for key in ("teacher", "checkpoint", "tokenizer"):
        if getattr(settings, key) is not None:
            return f"name another student.{key}"
    return "raise student.architecture.vocabulary"


def _fix(settings: Student) -> str:
    """What fixes a bad checkpoint, for the end of an error's message."""
    if settings.teacher is not None:
        return "name another student.teacher in params.yaml"
    return "correct student.checkpoint in params.yaml"
