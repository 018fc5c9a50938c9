"""What the student and X-LM-Tiny start with: a tokenizer, and the weights that are not random.

Shapes: V tokens, d the student's width.
"""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from amtss.config.schema import Params, Student
from amtss.data import corpus
from amtss.errors import CheckpointError, first_line
from amtss.files import replacing
from amtss.models import checkpoint
from amtss.paths import Layout
from amtss.student import embeddings, trimming
from amtss.student.growth import grow_tokenizer
from amtss.tokenization.tokenizer import load_tokenizer, train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


def start(params: Params, layout: Layout) -> None:
    """Write the student's tokenizer, and beside it what its encoder begins with.

    Where languages are onboarded, the student is the registered one, with a tokenizer that has
    pieces for them.

    Raises:
        CheckpointError: what it starts from cannot be loaded, does not fit, or cannot grow.
    """
    settings = params.student
    corpora = [corpus.load(layout, language) for language in params.languages]
    if params.onboarding is not None:
        new = [each for each in corpora if each.language in params.onboarding.languages]
        tokenizer = grow_tokenizer(
            load_tokenizer(str(layout.registered / "student")), new,
            [each for each in corpora if each not in new],
            params.continuation.vocabulary * len(new))
    elif (given := origin(settings, layout) or settings.tokenizer) is not None:
        tokenizer = load_tokenizer(given, settings.revision)
    else:
        tokenizer = train_tokenizer(corpora, settings.architecture.vocabulary)
    kept = np.arange(len(tokenizer))
    if settings.vocabulary == "trimmed" and params.onboarding is None:
        tokenizer, kept = trimming.trim(tokenizer, corpora, settings.trimming)
    with replacing(layout.tokenizer) as folder:
        tokenizer.save_pretrained(folder)
        if params.onboarding is None:
            write(settings, origin(settings, layout), kept, tokenizer.pad_token_id,
                  folder / layout.start.name)


def origin(settings: Student, layout: Layout) -> str | None:
    """The encoder to start from: a hub id, a local folder, or None."""
    if settings.teacher is not None:
        return str(layout.teacher(settings.teacher))
    return settings.checkpoint


def write(settings: Student, source: str | None, kept: NDArray[np.int64], pad: int,
          folder: Path) -> None:
    """Write into `folder` what `student.build` is to begin with; nothing where all is random.

    Args:
        kept: the student's tokens, by their ids in `source`'s tokenizer. *Shape:* (V,)
        pad: the padding token's place among them.

    Raises:
        CheckpointError: `source` cannot be loaded or does not fit.
    """
    if source is None:
        return
    if settings.start == "first-layers":
        model = first_layers(settings, source)
        layer = cast(nn.Embedding, model.get_input_embeddings())
        embeddings.check(source, len(layer.weight), kept)
        layer.weight = nn.Parameter(layer.weight.detach()[torch.from_numpy(kept)])
        model.config.vocab_size = len(kept)
        model.save_pretrained(folder)
    else:
        made = reduced(settings, source, kept)
        made[pad] = 0  # as in an encoder that begins at random
        folder.mkdir()
        save_file({embeddings.NAME: made}, folder / "model.safetensors")


def reduced(settings: Student, source: str, kept: NDArray[np.int64]) -> Tensor:
    """`source`'s embeddings of the tokens `kept`, as wide as the student. *Shape:* (V, d)

    Raises:
        CheckpointError: it cannot be loaded, or is narrower than the student.
    """
    table = embeddings.read(source, settings.revision, kept)
    if table.shape[1] < settings.architecture.width:
        raise CheckpointError(f"{source}: expected embeddings of width "
                              f"{settings.architecture.width} or more, found {table.shape[1]}; "
                              "lower student.architecture.width")
    return embeddings.reduce(table, settings.architecture.width)


def first_layers(settings: Student, source: str) -> "PreTrainedModel":
    """`source` without its upper layers, with the student's dropout.

    Raises:
        CheckpointError: it cannot be loaded, has too few layers or positions, or other sizes.
    """
    from transformers import AutoModel

    config = _config(settings, source)
    own = settings.architecture
    if own.layers > config.num_hidden_layers:
        raise CheckpointError(f"{source}: expected at least {own.layers} layers, found "
                              f"{config.num_hidden_layers}; lower student.architecture.layers")
    sizes = {"width": config.hidden_size, "heads": config.num_attention_heads,
             "feed_forward": config.intermediate_size}
    wrong = [key for key, size in sizes.items() if size != getattr(own, key)]
    if wrong:
        raise CheckpointError(f"{source}: expected {wrong[0]} {getattr(own, wrong[0])} as in "
                              f"student.architecture, found {sizes[wrong[0]]}; set that there, or "
                              "take `start: pca`")
    config.num_hidden_layers = own.layers  # those above are left in the file
    config.hidden_dropout_prob, config.attention_probs_dropout_prob = settings.dropout, 0.0
    model = checkpoint.load(AutoModel, source, _mend(settings), revision=settings.revision,
                            config=config, add_pooling_layer=False)
    checkpoint.check_length(model, settings.max_length, source, "lower student.max_length in "
                            "params.yaml")
    return model


def _config(settings: Student, source: str) -> "PreTrainedConfig":
    from transformers import AutoConfig, AutoModel

    try:
        config = AutoConfig.from_pretrained(source, revision=settings.revision or "main")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{source}: expected a checkpoint, found: "
                              f"{first_line(error)}; {_mend(settings)}") from error
    try:
        with torch.device("meta"):
            AutoModel.from_config(config, add_pooling_layer=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{source}: expected an encoder of BERT's family (BERT, RoBERTa, "
                              f"XLM-R, CamemBERT), found {config.model_type}; "
                              f"{_mend(settings)}") from error
    return cast("PreTrainedConfig", config)


def _mend(settings: Student) -> str:
    if settings.teacher is not None:
        return "name another student.teacher in params.yaml"
    return "mend student.checkpoint in params.yaml"
