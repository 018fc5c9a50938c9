"""Sizes of the models and what their training has cost."""

from pathlib import Path
from typing import Any

from amtss.config.schema import Params
from amtss.files import read_json
from amtss.paths import Layout
from amtss.teachers import linear_model
from amtss.tokenization.tokenizer import trimmed_tokens


def sizes(params: Params, layout: Layout) -> dict[str, dict[str, Any]]:
    """Table 3: the size of every model, by its name in metrics.json."""
    folders = {"student": layout.student, "baseline": layout.baseline, "floor": layout.floor,
               **{f"teachers.{name}": layout.teacher(name) for name in params.teachers}}
    return {name: size(folder) for name, folder in folders.items()}


def size(folder: Path) -> dict[str, Any]:
    """Parameters, bytes of weights on disk and architecture of a model; where its vocabulary is
    trimmed, also the parameters with the full vocabulary."""
    from huggingface_hub import get_local_safetensors_metadata

    weights = get_local_safetensors_metadata(folder)
    parameters = sum(weights.parameter_count.values())
    found: dict[str, Any] = {
        "parameters": parameters,
        "bytes": sum((folder / name).stat().st_size for name in weights.files_metadata)}
    if (folder / linear_model.FEATURES).is_file():
        return found | {"architecture": linear_model.ARCHITECTURE}
    config = read_json(folder / "config.json", "dvc repro")
    encoder = config.get("encoder", config)
    found["architecture"] = f"{encoder['model_type']}, {encoder.get('num_hidden_layers')} layers"
    trimmed = trimmed_tokens(folder)
    if trimmed:
        found["full_vocabulary"] = parameters + trimmed * encoder["hidden_size"]
    return found


def costs(params: Params, layout: Layout) -> dict[str, dict[str, float]]:
    """Examples, seconds and epochs of training by model, by its name in metrics.json.

    The floor's seconds are CPU seconds; the others' are those of a clock.
    """
    found = {"student": read_json(layout.training("distil") / "cost.json", "dvc repro distil"),
             "baseline": read_json(layout.training("baseline") / "cost.json",
                                   "dvc repro baseline")}
    floor = read_json(layout.floor / "floor.json", "dvc repro floor")
    found["floor"] = {"examples": sum(floor["rows"].values()), "seconds": floor["seconds"],
                      "epochs": 1, "best_epoch": 1}
    for name in params.teachers:
        about = read_json(layout.teacher(name) / "teacher.json", f"dvc repro teach@{name}")
        found[f"teachers.{name}"] = {
            key: about[key] for key in ("examples", "seconds", "epochs", "best_epoch")}
    return found
