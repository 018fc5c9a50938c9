"""A student in PyTorch without transformers, whose import alone takes three seconds.

Shapes: B texts of a batch, S tokens, d the encoder's width, C classes.
"""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from amtss.files import read_json, verify
from amtss.inference import fast_tokenizer
from amtss.inference.predictor import Predictor
from amtss.models import checkpoint
from amtss.student import pairs, recognition
from amtss.tokenization.tokens import Tokens

if TYPE_CHECKING:
    from torch import Tensor

COMMAND = "dvc repro"
STUDENT, STATIC = "amtss-student", "amtss-static"
WORDS = "encoder.embeddings.word_embeddings.weight"
"""The largest tensor of model.safetensors."""
PARTS = ("embeddings.word_embeddings.weight", "pairs.weight", "widen.weight", "second",
         "match.weight")
"""Weights of an encoder without layers."""
BERT = ("bert", "camembert", "roberta", "xlm-roberta")
"""Values of `model_type` in config.json: of a student, of an encoder without layers, and of those
with layers that are computed here."""


def fits(folder: Path) -> bool:
    """Whether a folder holds a student that is computed here: of a known family, and on a CPU."""
    import torch

    names = ("config.json", "model.safetensors", fast_tokenizer.FILE)
    if torch.cuda.is_available() or not all((folder / name).is_file() for name in names):
        return False
    config = read_json(folder / "config.json", dict[str, Any], COMMAND, ours=False)
    encoder = config.get("encoder", {})
    kind = encoder.get("model_type")
    return config.get("model_type") == STUDENT and (
        kind == STATIC or (kind in BERT and encoder.get("hidden_act") == "gelu"))


def _weights(folder: Path, static: bool) -> "dict[str, Tensor]":
    """A student's weights by name.

    Raises:
        CheckpointError: some are not numbers, or belong to a later version's encoder.
    """
    from safetensors.torch import load_file

    found, fix = load_file(folder / "model.safetensors"), f"run `{COMMAND}`"
    if static:
        checkpoint.check_known([name for name in found if name.startswith("encoder.")
                                and name.removeprefix("encoder.") not in PARTS], str(folder), fix)
    checkpoint.check_finite(found.items(), str(folder), fix)
    return found


class PlainPredictor(Predictor):
    """A student, or X-LM-Tiny, on the CPU; the answers are those of `PytorchPredictor` apart from
    rounding. Many threads may call it at once."""

    batch_size = 128

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: one that `fits`.

        Raises:
            CheckpointError: its weights are not numbers, or some are a later version's.
            AmtssError: its files are missing or altered.
        """
        import torch

        from amtss.models.hardware import NARROW

        verify(folder, COMMAND)
        self.config = read_json(folder / "config.json", dict[str, Any], COMMAND, ours=False)
        self.encoder: dict[str, Any] = self.config["encoder"]
        self.weights = _weights(folder, self.encoder["model_type"] == STATIC)
        if "OMP_NUM_THREADS" not in os.environ and self.weights[WORDS].shape[1] <= NARROW:
            torch.set_num_threads(1)
        self.tokenizer = fast_tokenizer.load(folder, COMMAND)
        self.tokenizer.enable_truncation(self.config["max_tokens"])
        self.labels = list(self.config["id2label"].values())
        self.languages = self.config["languages"]
        self.pad = self.encoder["pad_token_id"]
        self.temperatures = self.config.get("temperatures", {})
        self.thresholds = self.config.get("thresholds", {})
        self.recogniser = recognition.load(folder, len(self.languages), "dvc repro -f distil")

    def tokenise(self, texts: list[str], pairs: list[str] | None) -> Tokens:
        return fast_tokenizer.encode(self.tokenizer, texts, pairs)

    def logits(self, ids: NDArray[np.int64], mask: NDArray[np.int64], heads: NDArray[np.int64]
               ) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            encode = self._static if self.encoder["model_type"] == STATIC else self._transformer
            states = encode(torch.from_numpy(ids), torch.from_numpy(mask))
            logits = np.empty((len(ids), len(self.labels)), dtype=np.float32)
            for head in np.unique(heads):
                rows = np.flatnonzero(heads == head)
                logits[rows] = self._scored(self.languages[head], states[rows]).numpy()
        return logits

    def _linear(self, layer: str, x: "Tensor", shared: str = "") -> "Tensor":
        """A layer of these weights, plus those of another one. (..., d) -> (..., n)"""
        from torch.nn import functional

        weight, bias = self.weights[f"{layer}.weight"], self.weights[f"{layer}.bias"]
        if shared:
            weight = weight + self.weights[f"{shared}.weight"]
            bias = bias + self.weights[f"{shared}.bias"]
        return functional.linear(x, weight, bias)

    def _norm(self, layer: str, x: "Tensor") -> "Tensor":
        from torch.nn import functional

        return functional.layer_norm(x, x.shape[-1:], self.weights[f"{layer}.weight"],
                                     self.weights[f"{layer}.bias"], self.encoder["layer_norm_eps"])

    def _scored(self, language: str, states: "Tensor") -> "Tensor":
        """Logits of texts in one language. (B, d) -> (B, C)"""
        residual = "shared.dense.weight" in self.weights
        dense, out = ("shared.dense", "shared.out_proj") if residual else ("", "")
        hidden = self._linear(f"heads.{language}.dense", states, dense).tanh()
        return self._linear(f"heads.{language}.out_proj", hidden, out)

    def _static(self, ids: "Tensor", mask: "Tensor") -> "Tensor":
        """The state of a text that has no layers above it. (B, S) -> (B, d)"""
        def looked(table: str, index: "Tensor") -> pairs.Looked:
            rows = self.weights[table][index]
            return pairs.Looked(rows[..., :-1], rows[..., -1])

        def times(matrix: str) -> pairs.Map:
            return lambda x: x @ self.weights[matrix].T

        rows, separator = self.encoder.get("pairs", 0), self.encoder.get("separator")
        couples = pairs.Couples(rows, partial(looked, "encoder.pairs.weight"),
                                times("encoder.widen.weight")) if rows else None
        second = None if separator is None else pairs.Second(
            separator, self.weights["encoder.second"], times("encoder.match.weight"))
        return pairs.states(ids, mask, looked(WORDS, ids), couples, second)

    def _transformer(self, ids: "Tensor", mask: "Tensor") -> "Tensor":
        """The state of a text that heads read. (B, S) -> (B, d)"""
        states = self._embedded(ids)
        for layer in range(self.encoder["num_hidden_layers"]):
            states = self._layer(f"encoder.encoder.layer.{layer}", states, mask)
        if self.config.get("pooling", "first") == "first":
            return states[:, 0]
        real = mask.unsqueeze(-1).to(states.dtype)
        return (states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)

    def _embedded(self, ids: "Tensor") -> "Tensor":
        """Embeddings of tokens and positions; all tokens are in the first segment. -> (B, S, d)"""
        import torch

        positions, segments = (self.weights[f"encoder.embeddings.{name}_embeddings.weight"]
                               for name in ("position", "token_type"))
        if self.encoder["model_type"] == "bert":
            at = torch.arange(ids.shape[1])
        else:  # behind the padding's id; padding itself has that position
            real = (ids != self.pad).long()
            at = real.cumsum(dim=1) * real + self.pad
        return self._norm("encoder.embeddings.LayerNorm", self.weights[WORDS][ids] + segments[0]
                          + positions[at])

    def _layer(self, name: str, states: "Tensor", mask: "Tensor") -> "Tensor":
        """The next states. (B, S, d) -> (B, S, d)"""
        import torch
        from torch.nn import functional

        batch, length, width = states.shape
        shape = (batch, length, self.encoder["num_attention_heads"], -1)
        query, key, value = (
            self._linear(f"{name}.attention.self.{part}", states).view(shape).transpose(1, 2)
            for part in ("query", "key", "value"))
        # As `hardware.attention` says, fused attention takes longer on a CPU with short texts.
        scores = query @ key.transpose(2, 3) / (width // shape[2]) ** 0.5
        scores = scores.masked_fill((mask == 0)[:, None, None], torch.finfo(scores.dtype).min)
        context = (scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(states.shape)
        states = self._norm(f"{name}.attention.output.LayerNorm",
                            states + self._linear(f"{name}.attention.output.dense", context))
        wide = functional.gelu(self._linear(f"{name}.intermediate.dense", states))
        return self._norm(f"{name}.output.LayerNorm",
                          states + self._linear(f"{name}.output.dense", wide))
