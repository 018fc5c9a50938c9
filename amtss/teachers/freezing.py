"""Weights of a checkpoint that are not trained: no gradient, no state of the optimiser."""

from typing import Literal, cast

from torch import nn
from transformers import PreTrainedModel

from amtss.errors import ParamsError


def freeze(model: PreTrainedModel, frozen: Literal["embeddings"] | int | None, where: str) -> None:
    """Freeze the token embeddings, or all embeddings and the first layers.

    Args:
        frozen: see `teaching.freeze` in params.yaml.
        where: what an error's message begins with.

    Raises:
        ParamsError: `model` has fewer layers.
    """
    if frozen is None:
        return
    model.get_input_embeddings().requires_grad_(False)
    if frozen != "embeddings":
        encoder = cast(PreTrainedModel, model.base_model)
        layers = _layers(encoder)
        if frozen > len(layers):
            raise ParamsError(f"{where}: expected a checkpoint of {frozen} layers or more for "
                              f"teaching.freeze, found {len(layers)}; lower it, for this teacher "
                              "alone under its `training`")
        for part in (*_embeddings(encoder), *layers[:frozen]):
            part.requires_grad_(False)


def _layers(encoder: PreTrainedModel) -> list[nn.Module]:
    """The encoder's layers: the list of as many modules as its configuration says."""
    count = encoder.config.num_hidden_layers
    lists = (module for module in encoder.modules() if isinstance(module, nn.ModuleList))
    return next((list(modules) for modules in lists if len(modules) == count), [])


def _embeddings(encoder: PreTrainedModel) -> list[nn.Module]:
    """What comes before the layers: tables of tokens, positions and types, and their LayerNorm."""
    children = dict(encoder.named_children())
    if "embeddings" in children:
        return [children["embeddings"]]
    return [module for module in children.values() if isinstance(module, nn.Embedding)]
