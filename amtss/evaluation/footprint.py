"""Sizes of the models and what their training has cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from amtss import records
from amtss.config.schema import Params
from amtss.files import read_json
from amtss.paths import Layout
from amtss.teachers import linear_model
from amtss.tokenization.tokenizer import trimmed_tokens

if TYPE_CHECKING:
    from huggingface_hub.utils import SafetensorsRepoMetadata


def sizes(params: Params, layout: Layout) -> dict[str, dict[str, Any]]:
    """Table 3: the size of every model, by its name in metrics.json."""
    return {"student": _student(layout.student), "baseline": _student(layout.baseline),
            "floor": {**_weights(layout.floor, _metadata(layout.floor)),
                      "architecture": linear_model.ARCHITECTURE},
            **{f"teachers.{name}": _teacher(layout, name) for name in params.teachers}}


def _student(folder: Path) -> dict[str, Any]:
    """Size and architecture of a student; where its vocabulary is trimmed, also the parameters with
    the full vocabulary."""
    encoder = read_json(folder / "config.json", records.Student, "dvc repro", ours=False)["encoder"]
    metadata = _metadata(folder)
    size: dict[str, Any] = {
        **_weights(folder, metadata),
        "architecture": f"{encoder['model_type']}, {encoder.get('num_hidden_layers')} layers"}
    trimmed = trimmed_tokens(folder)
    if trimmed:
        size["full_vocabulary"] = size["parameters"] + trimmed * _row_length(metadata)
    return size


def _teacher(layout: Layout, name: str) -> dict[str, Any]:
    """Size and architecture of a teacher, with the weights that it needs besides its own; those
    without layers have no number of them."""
    about = records.teacher(layout, name)
    layers = f", {about['layers']} layers" if about["layers"] else ""
    folder = layout.teacher(name)
    own = sum(path.stat().st_size for path in folder.glob("model*.safetensors"))  # maybe in parts
    return {"parameters": about["parameters"], "bytes": own + about.get("elsewhere", 0),
            "architecture": about["architecture"] + layers}


def _metadata(folder: Path) -> "SafetensorsRepoMetadata":
    """Names and shapes of a model's tensors, by file; no tensor is read."""
    from huggingface_hub import get_local_safetensors_metadata

    return get_local_safetensors_metadata(folder)


def _weights(folder: Path, metadata: "SafetensorsRepoMetadata") -> dict[str, int]:
    """Parameters of a model, and bytes of its weights on disk."""
    return {"parameters": sum(metadata.parameter_count.values()),
            "bytes": sum((folder / file).stat().st_size for file in metadata.files_metadata)}


def _row_length(metadata: "SafetensorsRepoMetadata") -> int:
    """Parameters of one token: the columns of the embedding table."""
    return next(tensor.shape[1] for file in metadata.files_metadata.values()
                for name, tensor in file.tensors.items() if name.endswith("word_embeddings.weight"))


def lengths(params: Params, layout: Layout) -> dict[str, records.Lengths]:
    """Where the models that read tokens cut texts, and how many they cut, by their names as in
    `sizes`."""
    found = {"student": read_json(layout.lengths, records.Lengths, "dvc repro start")}
    for name in params.teachers:
        if (read := records.teacher(layout, name).get("lengths")) is not None:
            found[f"teachers.{name}"] = read
    return found


def costs(params: Params, layout: Layout) -> dict[str, records.Cost]:
    """Examples, seconds and epochs of training by model, by its name in metrics.json.

    The floor's seconds are CPU seconds; the others' are those of a clock.
    """
    found = {"student": records.cost(layout, "distil"),
             "baseline": records.cost(layout, "baseline")}
    floor = read_json(layout.floor / "floor.json", records.Floor, "dvc repro floor")
    found["floor"] = {"examples": sum(floor["rows"].values()), "seconds": floor["seconds"],
                      "epochs": 1, "best_epoch": 1}
    for name in params.teachers:
        about = records.teacher(layout, name)
        found[f"teachers.{name}"] = records.Cost(
            examples=about["examples"], seconds=about["seconds"], epochs=about["epochs"],
            best_epoch=about["best_epoch"])
    return found
