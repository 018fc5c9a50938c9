"""One student and its optimiser: an epoch of steps, predictions, checkpoints that resume exactly.

Shapes: N examples, B of a batch, S tokens, C classes.
"""

import shutil
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from amtss.config.schema import Distil
from amtss.data.corpus import Corpus
from amtss.distillation.embedding_rows import Rows
from amtss.distillation.loss import Loss, distillation_loss
from amtss.errors import AmtssError, CheckpointError
from amtss.files import read_json, replacing, write_json
from amtss.models import hardware
from amtss.progress import track
from amtss.student.model import StudentModel
from amtss.tokenization import tokens
from amtss.tokenization.tokens import Tokens

Found = TypeVar("Found")


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


def examples(cache: tokens.Cache, corpora: Sequence[Corpus], splits: Sequence[str],
             labels: Sequence[str]) -> Examples:
    """`splits` of `corpora` as token ids: language by language, within each split by split."""
    parts = [(cache.of(each, split), each.label_ids(split, labels), index)
             for index, each in enumerate(corpora) for split in splits if split in each.splits]
    return Examples(tokens.joined([texts for texts, _, _ in parts]),
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
    """A student model in training. Every epoch is seeded by its number, so it can be resumed.

    Under torchrun each process takes its part of every batch, and all have the same model.
    """

    def __init__(self, model: StudentModel, settings: Distil, pad: int,
                 data: Sequence[Examples]) -> None:
        """
        Args:
            pad: the padding token's id.
            data: all examples it will learn from or predict; `model` is left with the rows of its
                embedding table that these use. `weights` has all of them.
        """
        self.rows = Rows(model, [each.tokens for each in data])
        self.accelerator = hardware.accelerator(settings.precision)
        hardware.place(model)
        hardware.keep_freed_memory()
        self.model = model
        self.settings = settings
        self.pad = pad
        optimizer = torch.optim.AdamW(_groups(model, settings.weight_decay),
                                      lr=settings.learning_rate, fused=True)
        self._parallel, self.optimizer = self.accelerator.prepare(model, optimizer)

    @hardware.fitting("raise distil.accumulate, or lower distil.batch_size or student.max_length")
    def epoch(self, data: Examples, rows: NDArray[np.int64], targets: NDArray[np.float32],
              number: int, span: tuple[float, float], kd_weight: float) -> dict[str, float]:
        """Lines 4 and 5: one pass over `rows` of `data`; mean losses.

        Args:
            targets: soft targets of all examples of `data`. *Shape:* (N, C)
            number: the epoch's, which seeds order and dropout.
            span: where of the whole training, from 0 to 1, it begins and ends; sets the
                learning rate.
        """
        dropout = self.accelerator.process_index << 40  # a seed of its own in each process
        torch.manual_seed(self.settings.seed * 1_000_003 + number + dropout)
        draw = np.random.default_rng([self.settings.seed, number])
        made = list(tokens.batches(data.tokens.lengths[rows], self.settings.batch_size, draw))
        self.model.train()
        sums = torch.zeros(3, dtype=torch.float64, device=self.accelerator.device)
        decay = 1.0
        for step, picked in enumerate(track(made, f"epoch {number}")):
            self._learning_rate(span[0] + (span[1] - span[0]) * step / len(made))
            sums += self._step(data, rows[picked], targets, kd_weight)
            decay *= self._decayed()
        self.rows.decay(decay)
        means = self.accelerator.reduce(sums, "sum") / len(rows)
        return dict(zip(("loss", "hard_loss", "soft_loss"), means.tolist(), strict=True))

    def _step(self, data: Examples, at: NDArray[np.int64], targets: NDArray[np.float32],
              kd_weight: float) -> Tensor:
        """One step on the batch `at`, by as many parts as there are processes times `accumulate`.

        Returns: summed losses of this process's examples. *Shape:* (3,)
        """
        processes, parts = self.accelerator.num_processes, self.settings.accumulate
        sums = torch.zeros(3, dtype=torch.float64, device=self.accelerator.device)
        for part in range(parts):
            own = at[part * processes + self.accelerator.process_index::processes * parts]
            size = len(own)
            last = part == parts - 1
            with nullcontext() if last else self.accelerator.no_sync(self._parallel):
                # Gradients meet in every process, so one without examples takes part for nothing.
                loss = self._loss(data, own if size else at[:1], targets, kd_weight)
                # DDP's mean over processes of this is the gradient of the whole batch's mean.
                self.accelerator.backward(loss.total * (size * processes / len(at)))
            sums += size * torch.stack(loss).detach().double()
        self.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return sums

    def _loss(self, data: Examples, at: NDArray[np.int64], targets: NDArray[np.float32],
              kd_weight: float) -> Loss:
        device = self.accelerator.device
        return distillation_loss(
            self._parallel(*self._inputs(data, at)), torch.from_numpy(targets[at]).to(device),
            torch.from_numpy(data.labels[at]).to(device), kd_weight=kd_weight,
            temperature=self.settings.temperature)

    def _inputs(self, data: Examples, at: NDArray[np.int64]) -> list[Tensor]:
        """What the model takes: ids and mask, (B, S) each, and heads, (B,)."""
        ids, mask = data.tokens.padded(at, self.pad)
        ids = self.rows.places[ids]
        heads = np.minimum(data.language[at], len(self.model.config.languages) - 1)
        return [torch.from_numpy(array).to(self.accelerator.device) for array in (ids, mask, heads)]

    def _learning_rate(self, progress: float) -> None:
        """Linear warm-up, then linear decay to 0."""
        warmup = self.settings.warmup
        factor = progress / warmup if progress < warmup else (1 - progress) / (1 - warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * factor

    def _decayed(self) -> float:
        """What the last step's weight decay has left of a weight without gradient."""
        if self.optimizer.step_was_skipped:  # by fp16's scaler
            return 1.0
        decayed = self.optimizer.param_groups[0]
        return float(1.0 - decayed["lr"] * decayed["weight_decay"])

    @hardware.fitting("lower student.max_length")
    def predict(self, data: Examples) -> NDArray[np.float32]:
        """Logits of all examples, in every process. *Shape:* (N, C)"""
        self.model.train(False)
        classes = len(self.model.config.id2label or {})
        logits = np.zeros((len(data.labels), classes), dtype=np.float32)
        batches = list(tokens.batches(data.tokens.lengths, 256))
        with torch.inference_mode():
            for at in batches[self.accelerator.process_index::self.accelerator.num_processes]:
                logits[at] = self.model(*self._inputs(data, at)).float().cpu().numpy()
        whole = self.accelerator.reduce(torch.from_numpy(logits).to(self.accelerator.device), "sum")
        return np.asarray(whole.cpu().numpy())

    def agreed(self, found: Found) -> Found:
        """What the first process has found, in every process."""
        return cast(Found, broadcast_object_list([found])[0])

    def weights(self) -> dict[str, Tensor]:
        """Of the whole model, on the CPU where they were not in training."""
        return _contiguous(self.rows.put(self.model.state_dict()))

    def save(self, folder: Path, progress: Progress) -> None:
        """Write `folder/epoch-N` whole, then drop all but it and the best epoch's."""
        if self.accelerator.scaler is not None:
            progress.scaler = self.accelerator.scaler.state_dict()
        if self.accelerator.is_main_process:
            with replacing(folder / f"epoch-{progress.epoch:04}") as made:
                made.mkdir()
                save_file(self.weights(), made / "model.safetensors")
                save_file(self._moments(), made / "optimizer.safetensors")
                write_json(made / "progress.json", asdict(progress))
            kept = {f"epoch-{epoch:04}" for epoch in (progress.epoch, progress.best_epoch)}
            for old in _checkpoints(folder):
                if old.name not in kept:
                    shutil.rmtree(old)
        self.accelerator.wait_for_everyone()

    def resume(self, folder: Path, fingerprint: str) -> Progress:
        """The last checkpoint in `folder` that is of this very training, else a fresh start.

        Raises:
            CheckpointError: processes do not find the same one.
        """
        progress = self._last(folder, fingerprint)
        epochs = self.accelerator.gather(
            torch.tensor([progress.epoch], device=self.accelerator.device)).tolist()
        if len(set(epochs)) > 1:
            raise CheckpointError(f"{folder}: expected the same checkpoint in every process, found "
                                  f"epochs {', '.join(map(str, epochs))}; run where all of them "
                                  "see the same files")
        if self.accelerator.is_main_process and not progress.epoch:
            shutil.rmtree(folder, ignore_errors=True)
        return progress

    def _last(self, folder: Path, fingerprint: str) -> Progress:
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
            self.model.load_state_dict(self.rows.take(weights))
            self._restore(moments)
            if self.accelerator.scaler is not None:
                self.accelerator.scaler.load_state_dict(progress.scaler)
            return progress
        return Progress(fingerprint)

    def restore_best(self, folder: Path, progress: Progress) -> None:
        """Load the weights of the best epoch."""
        self.model.load_state_dict(self.rows.take(load_file(_best(folder, progress))))

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
