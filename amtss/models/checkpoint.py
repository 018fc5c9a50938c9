"""Load a transformers checkpoint: safetensors only, no code of its own, no weight left random."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from amtss import files, hub
from amtss.errors import CheckpointError, first_line
from amtss.models import hardware

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load(make: Any, checkpoint: str, mend: str, *, head: bool = True,
         revision: str | None = None, **options: Any) -> "PreTrainedModel":
    """`checkpoint`, a hub id or a local folder, as a model of the Auto class `make`, in fp32.

    Args:
        mend: how the message of an error ends.
        head: False where what stands above the encoder may be new.
        revision: of what may lie on the hub; None for a folder that a stage has made.

    Raises:
        CheckpointError: it cannot be found or read, or lacks weights of the model.
    """
    import torch
    from safetensors import SafetensorError

    if revision is not None:
        hub.check("model", checkpoint, revision)
        options["revision"] = revision
    try:
        model, told = make.from_pretrained(
            checkpoint, use_safetensors=True, dtype=torch.float32, output_loading_info=True,
            attn_implementation=hardware.attention(), **options)
    except (OSError, ValueError, TypeError, RuntimeError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"{checkpoint}: expected a checkpoint with safetensors weights, "
                              f"found: {first_line(error)}; {mend}") from error
    encoder = f"{model.base_model_prefix}."
    missing = sorted(name for name in told["missing_keys"] if head or (
        name.startswith(encoder) and not name.startswith(f"{encoder}pooler.")))
    if missing:
        raise CheckpointError(f"{checkpoint}: expected a checkpoint with all weights, found none "
                              f"of {missing[0]} and {len(missing) - 1} more; {mend}")
    loaded: PreTrainedModel = model
    return loaded


def check_length(model: "PreTrainedModel", tokens: int, where: str, mend: str) -> None:
    """That `model` has positions for texts of so many tokens.

    Raises:
        CheckpointError: it has fewer.
    """
    from torch import nn

    for name, table in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(table, nn.Embedding):
            before = 0 if table.padding_idx is None else table.padding_idx + 1
            most = table.num_embeddings - before
            if tokens > most:
                raise CheckpointError(f"{where}: expected positions for texts of {tokens} tokens, "
                                      f"found {most}; {mend}")


def fingerprint(folder: Path) -> str:
    """Of a model folder's files: weights, configuration, tokenizer. 16 hexadecimal digits.

    Raises:
        CheckpointError: there is no such folder.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: expected a model's folder, found none; run `dvc repro`")
    return files.fingerprint(files.contents(sorted(folder.iterdir())))
