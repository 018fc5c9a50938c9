"""Sizes of the models and what their training has cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from amtss.config.schema import Params
from amtss.files import read_json
from amtss.paths import Layout
from amtss.tokenization.tokenizer import trimmed_tokens

if TYPE_CHECKING:
    from huggingface_hub.utils import SafetensorsRepoMetadata


def sizes(params: Params, layout: Layout) -> dict[str, dict[str, Any]]:
    """Table 3: the size of every model, by its name in metrics.json."""
    folders = {"student": layout.student, "baseline": layout.baseline,
               **{f"teachers.{name}": layout.teacher(name) for name in params.teachers}}
    return {name: _size(folder) for name, folder in folders.items()}


def _size(folder: Path) -> dict[str, Any]:
    """Parameters, bytes of weights on disk and architecture of a model; where its vocabulary is
    trimmed, also the parameters with the full vocabulary."""
    from huggingface_hub import get_local_safetensors_metadata

    weights = get_local_safetensors_metadata(folder)
    parameters = sum(weights.parameter_count.values())
    config = read_json(folder / "config.json", "dvc repro")
    encoder = config.get("encoder", config)
    size = {"parameters": parameters,
            "bytes": sum((folder / name).stat().st_size for name in weights.files_metadata),
            "architecture": f"{encoder['model_type']}, {encoder.get('num_hidden_layers')} layers"}
    trimmed = trimmed_tokens(folder)
    if trimmed:
        size["full_vocabulary"] = parameters + trimmed * _row_length(weights)
    return size


def _row_length(weights: "SafetensorsRepoMetadata") -> int:
    """Parameters of one token: the columns of the embedding table."""
    return next(tensor.shape[1] for file in weights.files_metadata.values()
                for name, tensor in file.tensors.items() if name.endswith("word_embeddings.weight"))


def costs(params: Params, layout: Layout) -> dict[str, dict[str, float]]:
    """Examples, seconds and epochs of training by model, by its name in metrics.json."""
    found = {"student": read_json(layout.training("distil") / "cost.json", "dvc repro distil"),
             "baseline": read_json(layout.training("baseline") / "cost.json",
                                   "dvc repro baseline")}
    for name in params.teachers:
        about = read_json(layout.teacher(name) / "teacher.json", f"dvc repro teach@{name}")
        found[f"teachers.{name}"] = {
            key: about[key] for key in ("examples", "seconds", "epochs", "best_epoch")}
    return found
