"""Load a transformers checkpoint: safetensors only, no code of its own, no weight left random."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from amtss import files, hub
from amtss.errors import CheckpointError, first_line

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


class ModelClass(Protocol):
    """One of transformers' Auto classes, or a model class."""

    def from_pretrained(self, *arguments: Any, **options: Any) -> Any:
        """The model of a checkpoint."""


def load(model_class: ModelClass, checkpoint: str, fix: str, *, head: bool = True,
         ours: bool = False, revision: str | None = None, **options: Any) -> "PreTrainedModel":
    """`checkpoint`, a hub id or a local folder, as a model of `model_class`, in fp32.

    Args:
        fix: what fixes it, for the end of an error's message.
        head: False where the layers above the encoder may be new.
        ours: one that a stage has written, so that each of its weights is the model's.
        revision: of a checkpoint that may be on the hub; None for a stage's own folder.
        options: for `from_pretrained`; its own, or values of the model's configuration.

    Raises:
        CheckpointError: it cannot be found or read, lacks weights of the model, is ours and has
            others, or has weights that are NaN or infinite.
    """
    import torch
    from safetensors import SafetensorError

    from amtss.models import hardware

    if revision is not None:
        hub.check("model", checkpoint, revision)
        options["revision"] = revision
    try:
        model, report = model_class.from_pretrained(
            checkpoint, use_safetensors=True, dtype=torch.float32, output_loading_info=True,
            attn_implementation=hardware.attention(), **options)
    except (OSError, ValueError, TypeError, RuntimeError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"{checkpoint}: expected a checkpoint with safetensors weights, "
                              f"found: {first_line(error)}; {fix}") from error
    # An encoder by itself has its own weights' names without a prefix.
    prefix = model.base_model_prefix
    encoder = f"{prefix}." if hasattr(model, prefix) else ""
    missing = sorted(name for name in report["missing_keys"] if head or (
        name.startswith(encoder) and not name.startswith(f"{encoder}pooler.")))
    if missing:
        raise CheckpointError(f"{checkpoint}: expected a checkpoint with all weights, found none "
                              f"of {missing[0]} and {len(missing) - 1} more; {fix}")
    if ours:
        check_known(report["unexpected_keys"], checkpoint, fix)
    check_finite(model.named_parameters(), checkpoint, fix)
    loaded: PreTrainedModel = model
    return loaded


def check_known(others: Iterable[str], where: str, fix: str) -> None:
    """Check that one of ours has no weights of a later version.

    Args:
        others: names of weights that the model does not have.
        where: what the error's message begins with.
        fix: what it ends with.

    Raises:
        CheckpointError: there are some.
    """
    names = sorted(others)
    if names:
        raise CheckpointError(f"{where}: expected weights that this version of amtss knows, "
                              f"found {', '.join(names)}; use the version that has written it, or "
                              f"{fix}")


def check_finite(named: "Iterable[tuple[str, Tensor]]", where: str, fix: str) -> None:
    """Check that all weights are numbers.

    Args:
        named: weights with their names.
        where: what the error's message begins with.
        fix: what it ends with.

    Raises:
        CheckpointError: one is NaN or infinite.
    """
    for name, weights in named:
        if not weights.isfinite().all():
            raise CheckpointError(f"{where}: expected finite weights, found NaN or infinite ones "
                                  f"in {name}; {fix}")


def check_length(model: "PreTrainedModel", tokens: int, where: str, fix: str) -> None:
    """Check that `model` has positions for texts of `tokens` tokens.

    Args:
        where: what the error's message begins with.
        fix: what it ends with.

    Raises:
        CheckpointError: it has fewer.
    """
    from torch import nn

    for name, table in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(table, nn.Embedding):
            # Positions begin behind the padding's id.
            unused = 0 if table.padding_idx is None else table.padding_idx + 1
            positions = table.num_embeddings - unused
            if tokens > positions:
                raise CheckpointError(f"{where}: expected positions for texts of {tokens} tokens, "
                                      f"found {positions}; {fix}")


def fingerprint(folder: Path) -> str:
    """Hash of a model folder's files: weights, configuration, tokenizer. 16 hexadecimal digits.

    Folders and hidden files in it, such as an editor's, do not count.

    Raises:
        CheckpointError: there is no such folder.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: expected a model's folder, found none; run `dvc repro`")
    return files.fingerprint(files.contents(files.visible(folder)))
