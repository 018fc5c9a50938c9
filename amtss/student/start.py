"""The tokenizer and the initial weights of the student and of X-LM-Tiny.

Shapes: V tokens, d the student's width.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from amtss import records
from amtss.config.schema import Params, Student, TransformerTeacher
from amtss.data import corpus
from amtss.data.corpus import Corpus
from amtss.errors import CheckpointError
from amtss.files import read_json, replacing, seal, verify, write_json
from amtss.models import checkpoint, classifier
from amtss.paths import Layout
from amtss.student import embeddings, trimming
from amtss.student.growth import Source, grow_tokenizer
from amtss.tokenization import lengths, unknown
from amtss.tokenization.tokenizer import load_tokenizer, train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

STEMS = 0.95
"""Share of a tokenizer's pieces that are another's too, if it was trimmed from that one."""


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
    with replacing(layout.tokenizer) as folder:
        if params.onboarding is not None:
            _grow(params, layout, corpora, folder)
        else:
            _begin(params, layout, corpora, folder)
        seal(folder)


def _begin(params: Params, layout: Layout, corpora: Sequence[Corpus], folder: Path) -> None:
    """Write the first tokenizer and weights."""
    settings = params.student
    if (source := origin(settings, layout) or settings.tokenizer) is not None:
        tokenizer = load_tokenizer(source, settings.revision)
    else:
        tokenizer = train_tokenizer(corpora, settings.architecture.vocabulary)
    kept = np.arange(len(tokenizer))
    if settings.vocabulary == "trimmed":
        tokenizer, kept = trimming.trim(tokenizer, corpora, settings.trimming)
    unknown.check(tokenizer, corpora, params.validation, "the student's tokenizer of "
                  f"{len(tokenizer):,} tokens", _readable(settings))
    length = _save(tokenizer, settings.max_length, corpora, params, layout, folder)
    write_weights(settings.model_copy(update={"max_length": length}), origin(settings, layout),
                  kept, tokenizer.pad_token_id, folder / layout.start.name)


def _grow(params: Params, layout: Layout, corpora: Sequence[Corpus], folder: Path) -> None:
    """Write the registered student's tokenizer with pieces for the new languages. If the student
    started from a pretrained encoder, they are pieces of that one, and their embeddings are written
    beside them."""
    verify(layout.registered, "dvc repro fetch")
    registered = str(layout.registered / "student")
    known = load_tokenizer(registered)
    new = [texts for texts in corpora if texts.language in params.newcomers]
    source = _source(params, layout, known, new)
    grown = grow_tokenizer(
        known, new, [texts for texts in corpora if texts not in new],
        params.continuation.vocabulary * len(new), params.validation, source)
    config = read_json(Path(registered) / "config.json", records.Student, "dvc repro fetch",
                       ours=False)
    _save(grown, params.student.max_length or config["max_tokens"], corpora, params, layout, folder)
    if source is not None and len(grown) > len(known):
        rows = _carried(grown, len(known), registered, source, params.student.revision)
        (folder / layout.start.name).mkdir()
        save_file({embeddings.NAME: rows}, folder / layout.start.name / "model.safetensors")


def _source(params: Params, layout: Layout, known: "PreTrainedTokenizerBase",
            new: Sequence[Corpus]) -> Source | None:
    """The pretrained encoder that the registered student started from, if its tokenizer reads the
    new languages; else None, and also where the student's tokenizer was trained on texts."""
    settings, folder = params.student, origin(params.student, layout)
    teacher = params.teachers[settings.teacher] if settings.teacher is not None else None
    scratch = isinstance(teacher, TransformerTeacher) and teacher.from_scratch
    if folder is None or scratch:
        return None
    tokenizer = load_tokenizer(folder, settings.revision)
    own = known.get_vocab().keys()
    stems = len(own & tokenizer.get_vocab().keys()) > STEMS * len(own)
    reads = all(unknown.share(tokenizer, texts) <= params.validation.warn_unknown for texts in new)
    return Source(folder, tokenizer, settings.trimming.min_count) if stems and reads else None


def _carried(grown: "PreTrainedTokenizerBase", known: int, registered: str,
             source: Source, revision: str | None) -> Tensor:
    """First embeddings of the tokens from `known` on: `source`'s, carried into the registered
    student's table. *Shape:* (V' - V, d)"""
    pieces = grown.convert_ids_to_tokens(list(range(len(grown))))
    ids, special = source.tokenizer.get_vocab(), source.tokenizer.all_special_tokens
    shared = [index for index, piece in enumerate(pieces[:known])
              if piece in ids and piece not in special]
    before, new = (embeddings.read(source.folder, revision, np.array([ids[piece] for piece in own]))
                   for own in ([pieces[index] for index in shared], pieces[known:]))
    return embeddings.carry(new, before, embeddings.read(registered, None, np.array(shared)))


def _save(tokenizer: "PreTrainedTokenizerBase", length: int | None, corpora: Sequence[Corpus],
          params: Params, layout: Layout, folder: Path) -> int:
    """Write a tokenizer and how much of the texts it cuts; the length at which it does."""
    read = lengths.settle(tokenizer, corpora, length, params.validation, "the student")
    tokenizer.save_pretrained(folder)
    write_json(folder / layout.lengths.name, read)
    return read["max_length"]


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
    from transformers import AutoModel

    config = classifier.configuration(source, _fix(settings), settings.revision)
    try:
        with torch.device("meta"):
            AutoModel.from_config(config, add_pooling_layer=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{source}: expected an encoder of BERT's family (BERT, RoBERTa, "
                              f"XLM-R, CamemBERT), found {config.model_type}; "
                              f"{_fix(settings)}") from error
    return config


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
