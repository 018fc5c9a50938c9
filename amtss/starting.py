"""What the student and X-LM-Tiny start with: a tokenizer, and the weights that are not random.

Shapes: V tokens, D the width of the encoder to start from, d the student's.
"""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from amtss import checkpoint, corpus, vocabulary
from amtss.config import Params, Student
from amtss.errors import CheckpointError
from amtss.layout import Layout, read_json, replacing

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

TABLE = "embeddings.word_embeddings.weight"
"""The name of the embeddings of words in an encoder of BERT's family."""
CHUNK = 16_384
"""Rows of a table that are turned to float64 at once."""


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
        tokenizer = vocabulary.grow(
            vocabulary.load(str(layout.registered / "student")), new,
            [each for each in corpora if each not in new],
            params.continuation.vocabulary * len(new))
    elif (given := origin(settings, layout) or settings.tokenizer) is not None:
        tokenizer = vocabulary.load(given, settings.revision)
    else:
        tokenizer = vocabulary.train(corpora, settings.architecture.vocabulary)
    with replacing(layout.tokenizer) as folder:
        tokenizer.save_pretrained(folder)
        if params.onboarding is None:
            write(settings, origin(settings, layout), tokenizer, folder / layout.start.name)


def origin(settings: Student, layout: Layout) -> str | None:
    """The encoder to start from: a hub id, a local folder, or None."""
    if settings.teacher is not None:
        return str(layout.teacher(settings.teacher))
    return settings.checkpoint


def write(settings: Student, source: str | None, tokenizer: "PreTrainedTokenizerBase",
          folder: Path) -> None:
    """Write into `folder` what `student.build` is to begin with; nothing where all is random.

    Raises:
        CheckpointError: `source` cannot be loaded or does not fit.
    """
    if source is None:
        return
    if settings.encoder == "first-layers":
        first_layers(settings, source).save_pretrained(folder)
        return
    table = embeddings(source, settings.revision)
    width = settings.architecture.width
    if len(table) < len(tokenizer):
        raise CheckpointError(f"{source}: expected embeddings for its tokenizer's {len(tokenizer)} "
                              f"tokens, found {len(table)}; {_mend(settings)}")
    if table.shape[1] < width:
        raise CheckpointError(f"{source}: expected embeddings of width {width} or more, found "
                              f"{table.shape[1]}; lower student.architecture.width")
    made = reduce(table[:len(tokenizer)], width)
    made[tokenizer.pad_token_id] = 0  # as in an encoder that begins at random
    folder.mkdir()
    save_file({TABLE: made}, folder / "model.safetensors")


def first_layers(settings: Student, source: str) -> "PreTrainedModel":
    """`source` without its upper layers, with the student's dropout.

    Raises:
        CheckpointError: it cannot be loaded, has too few layers, or other sizes.
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
                              "take `embeddings: pca` for `encoder: first-layers`")
    config.num_hidden_layers = own.layers  # those above are left in the file
    config.hidden_dropout_prob, config.attention_probs_dropout_prob = settings.dropout, 0.0
    return checkpoint.load(AutoModel, source, _mend(settings), config=config,
                           add_pooling_layer=False)


def _config(settings: Student, source: str) -> "PreTrainedConfig":
    from transformers import AutoConfig, AutoModel

    try:
        config = AutoConfig.from_pretrained(source, revision=settings.revision or "main")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{source}: expected a checkpoint, found: "
                              f"{str(error).strip().splitlines()[0]}; {_mend(settings)}") from error
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


def embeddings(source: str, revision: str | None = None) -> Tensor:
    """The table of a hub id or a local folder, and nothing else of its weights. *Shape:* (V, D)

    Raises:
        CheckpointError: it has no safetensors weights, or no such table among them.
    """
    try:
        with safe_open(_holding(source, revision or "main"), framework="pt") as file:
            names = [name for name in file.keys() if name.endswith(TABLE)]  # noqa: SIM118
            if names:
                return cast(Tensor, file.get_tensor(names[0])).float()
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{source}: expected a checkpoint with safetensors weights, found: "
                              f"{str(error).strip().splitlines()[0]}; name another one") from error
    raise CheckpointError(f"{source}: expected word embeddings ({TABLE}), found none among its "
                          "weights; start from an encoder of BERT's family")


def _holding(source: str, revision: str) -> str:
    """The file of the weights that has the table: the only one, or one of several."""
    from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
    from transformers.utils.hub import cached_file

    index = cached_file(source, SAFE_WEIGHTS_INDEX_NAME, revision=revision,
                        _raise_exceptions_for_missing_entries=False)
    name = SAFE_WEIGHTS_NAME
    if index is not None:
        shards = read_json(Path(index), "dvc repro vocabulary")["weight_map"]
        name = next((shards[each] for each in shards if each.endswith(TABLE)), name)
    return str(cached_file(source, name, revision=revision))


def reduce(table: Tensor, width: int) -> Tensor:
    """Rows of `table` by their first `width` principal components: of all tables of that width,
    the one from which the rows can be had again with the least squared error. *Shape:* (V, d)
    """
    mean, directions = principal(table, width)
    return torch.cat([((rows.double() - mean) @ directions).float()
                      for rows in table.split(CHUNK)])


def principal(table: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The mean row, and the orthonormal directions in which rows differ most, in that order.

    From the covariance (D, D), as a decomposition of the table itself would take several times
    its memory. A direction's largest component is positive, so that equal tables give equal ones.

    *Shapes:* (D,) and (D, d)
    """
    parts = table.split(CHUNK)
    mean = torch.stack([rows.double().sum(dim=0) for rows in parts]).sum(dim=0) / len(table)
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for rows in parts:
        away = rows.double() - mean
        covariance.addmm_(away.T, away)
    directions = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :width]
    largest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))
    return mean, directions * largest.sign()
