"""One student and its optimiser: an epoch of steps, predictions, checkpoints that resume exactly.

Shapes: N examples, B of a batch, S tokens, C classes.
"""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from amtss import corpus, hardware
from amtss.bar import track
from amtss.config import Distil
from amtss.corpus import Corpus, Tokens
from amtss.errors import AmtssError
from amtss.layout import read_json, replacing, write_json
from amtss.losses import distillation_loss
from amtss.student import StudentModel

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Examples:
    """A split of all languages, end to end."""

    tokens: Tokens
    labels: NDArray[np.int64]
    """*Shape:* (N,)"""
    language: NDArray[np.int64]
    """Index among the corpora. *Shape:* (N,)"""

    def of(self, language: int) -> NDArray[np.int64]:
        """Rows of one language."""
        return np.flatnonzero(self.language == language)


def examples(tokenizer: "PreTrainedTokenizerBase", corpora: Sequence[Corpus],
             splits: Sequence[str], labels: Sequence[str], max_length: int) -> Examples:
    """`splits` of `corpora` as token ids: language by language, within each split by split."""
    parts = [(corpus.tokenise(tokenizer, *each.texts(split), max_length),
              each.label_ids(split, labels), index)
             for index, each in enumerate(corpora) for split in splits if split in each.splits]
    lengths = np.concatenate([tokens.lengths for tokens, _, _ in parts])
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Examples(Tokens(np.concatenate([tokens.ids for tokens, _, _ in parts]), starts),
                    np.concatenate([ids for _, ids, _ in parts]),
                    np.concatenate([np.full(len(ids), index) for _, ids, index in parts]))


@dataclass
class Progress:
    """What a checkpoint remembers besides tensors; JSON."""

    fingerprint: str
    """Of everything that the training depends on; another one starts afresh."""
    epoch: int = 0
    examples: int = 0
    seconds: float = 0.0
    best_epoch: int = 0
    best_accuracy: float = -1.0
    history: list[dict[str, Any]] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    """The stage's own: W and the ranking for Algorithm 1."""
    scaler: dict[str, Any] = field(default_factory=dict)
    """The gradient scaler's state, where precision is fp16."""


class Learner:
    """A student model in training. Every epoch is seeded by its number, so it can be resumed."""

    def __init__(self, model: StudentModel, settings: Distil, pad: int) -> None:
        hardware.place(model)
        self.model = model
        self.settings = settings
        self.pad = pad
        self.precision = hardware.resolve(settings.precision)
        self.optimizer = torch.optim.AdamW(_groups(model, settings.weight_decay),
                                           lr=settings.learning_rate, fused=True)
        self.scaler = torch.amp.GradScaler(hardware.device().type,
                                           enabled=self.precision == "fp16")

    def epoch(self, data: Examples, rows: NDArray[np.int64], targets: NDArray[np.float32],
              number: int, span: tuple[float, float], kd_weight: float) -> dict[str, float]:
        """Lines 4 and 5: one pass over `rows` of `data`; mean losses.

        Args:
            targets: soft targets of all examples of `data`. *Shape:* (N, C)
            number: the epoch's, which seeds order and dropout.
            span: where of the whole training, from 0 to 1, it begins and ends; sets the
                learning rate.
        """
        torch.manual_seed(self.settings.seed * 1_000_003 + number)
        draw = np.random.default_rng([self.settings.seed, number])
        made = list(corpus.batches(data.tokens.lengths[rows], self.settings.batch_size, draw))
        self.model.train()
        sums = np.zeros(3)
        for step, picked in enumerate(track(made, f"epoch {number}")):
            self._learning_rate(span[0] + (span[1] - span[0]) * step / len(made))
            at = rows[picked]
            sums += len(at) * self._step(data, at, targets[at], kd_weight)
        return dict(zip(("loss", "hard_loss", "soft_loss"), (sums / len(rows)).tolist(),
                        strict=True))

    def _step(self, data: Examples, at: NDArray[np.int64], targets: NDArray[np.float32],
              kd_weight: float) -> NDArray[np.float64]:
        with hardware.autocast(self.precision):
            logits = self._forward(data, at)
        loss = distillation_loss(
            logits, torch.from_numpy(targets).to(logits.device),
            torch.from_numpy(data.labels[at]).to(logits.device), kd_weight=kd_weight,
            temperature=self.settings.temperature)
        self.scaler.scale(loss.total).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        return np.array([each.item() for each in loss])

    def _forward(self, data: Examples, at: NDArray[np.int64]) -> Tensor:
        ids, mask = data.tokens.padded(at, self.pad)
        heads = np.minimum(data.language[at], len(self.model.config.languages) - 1)
        logits = self.model(*(torch.from_numpy(array).to(self.model.device)
                              for array in (ids, mask, heads)))
        assert isinstance(logits, Tensor)
        return logits

    def _learning_rate(self, progress: float) -> None:
        """Linear warm-up, then linear decay to 0."""
        warmup = self.settings.warmup
        factor = progress / warmup if progress < warmup else (1 - progress) / (1 - warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * factor

    def predict(self, data: Examples) -> NDArray[np.float32]:
        """Logits of all examples. *Shape:* (N, C)"""
        self.model.train(False)
        classes = len(self.model.config.id2label or {})
        logits = np.empty((len(data.labels), classes), dtype=np.float32)
        with torch.inference_mode(), hardware.autocast(self.precision):
            for at in corpus.batches(data.tokens.lengths, 256):
                logits[at] = self._forward(data, at).float().cpu().numpy()
        return logits

    def save(self, folder: Path, progress: Progress) -> None:
        """Write `folder/epoch-N` whole, then drop all but it and the best epoch's."""
        with replacing(folder / f"epoch-{progress.epoch:04}") as made:
            made.mkdir()
            save_file(_contiguous(self.model.state_dict()), made / "model.safetensors")
            save_file(self._moments(), made / "optimizer.safetensors")
            progress.scaler = self.scaler.state_dict()
            write_json(made / "progress.json", asdict(progress))
        for old in _checkpoints(folder):
            if old.name not in (f"epoch-{progress.epoch:04}", f"epoch-{progress.best_epoch:04}"):
                shutil.rmtree(old)

    def resume(self, folder: Path, fingerprint: str) -> Progress:
        """The last checkpoint in `folder` that is of this very training, else a fresh start."""
        for made in reversed(_checkpoints(folder)):
            try:
                progress = Progress(**read_json(made / "progress.json", "dvc repro"))
                if progress.fingerprint != fingerprint:
                    break
                weights = load_file(made / "model.safetensors")
                moments = load_file(made / "optimizer.safetensors")
                load_file(_best(folder, progress))  # the training will end with it
            except (OSError, TypeError, AmtssError, SafetensorError) as error:
                print(f"{made}: unreadable ({error}); going on without it", file=sys.stderr)
                continue
            self.model.load_state_dict(weights)
            self._restore(moments)
            self.scaler.load_state_dict(progress.scaler)
            return progress
        shutil.rmtree(folder, ignore_errors=True)
        return Progress(fingerprint)

    def restore_best(self, folder: Path, progress: Progress) -> None:
        """Load the weights of the best epoch."""
        self.model.load_state_dict(load_file(_best(folder, progress)))

    def _moments(self) -> dict[str, Tensor]:
        state = self.optimizer.state_dict()["state"]
        return {f"{index}.{key}": value.contiguous()
                for index, slots in state.items() for key, value in slots.items()}

    def _restore(self, moments: dict[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in moments.items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _groups(model: StudentModel, weight_decay: float) -> list[dict[str, Any]]:
    """Biases and layer norms are not decayed."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    return [{"params": decayed, "weight_decay": weight_decay},
            {"params": others, "weight_decay": 0.0}]


def _contiguous(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.contiguous() for name, value in state.items()}


def _best(folder: Path, progress: Progress) -> Path:
    return folder / f"epoch-{progress.best_epoch:04}" / "model.safetensors"


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*")) if folder.is_dir() else []
