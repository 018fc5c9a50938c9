"""One student and its optimiser: epochs of training steps, predictions, exact resumption.

Shapes: N examples, B of a batch, S tokens, C classes.
"""

import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from numpy.typing import NDArray
from torch import Tensor

from amtss.config.schema import Distil
from amtss.distillation import checkpoints
from amtss.distillation.checkpoints import Checkpoint, Progress
from amtss.distillation.embedding_rows import EmbeddingRows
from amtss.distillation.examples import Examples
from amtss.distillation.learnt import check_finite
from amtss.distillation.loss import Loss, distillation_loss
from amtss.errors import CheckpointError
from amtss.models import hardware
from amtss.progress import track
from amtss.student.model import StudentModel
from amtss.tokenization import tokens

Decision = TypeVar("Decision")


class Learner:
    """A student in training. Every epoch is seeded by its number, so that a training can resume.

    Under torchrun each process takes its part of every batch, and all have the same weights.
    """

    def __init__(self, model: StudentModel, settings: Distil, pad: int,
                 data: Sequence[Examples]) -> None:
        """
        Args:
            pad: the padding token's id.
            data: all examples that it will learn from or predict. `model` keeps only the rows of
                its embedding table that these use; `weights` has all of them.
        """
        self.rows = EmbeddingRows(model, [examples.tokens for examples in data])
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
        """Lines 4 and 5 of Algorithm 1: one pass over `rows` of `data`.

        Args:
            targets: soft targets of all examples of `data`. *Shape:* (N, C)
            number: the epoch's number, which seeds order and dropout.
            span: where the epoch begins and ends in the whole training, from 0 to 1; sets the
                learning rate.
            kd_weight: Equation 7's lambda.

        Returns: mean `loss`, `hard_loss` and `soft_loss`.

        Raises:
            ParamsError: the memory is full.
            CheckpointError: a loss is NaN or infinite.
        """
        process = self.accelerator.process_index << 40  # each process has dropout of its own
        torch.manual_seed(self.settings.seed * 1_000_003 + number + process)
        draw = np.random.default_rng([self.settings.seed, number])
        batches = list(tokens.batches(data.tokens.lengths[rows], self.settings.batch_size, draw))
        self.model.train()
        sums = torch.zeros(3, dtype=torch.float64, device=self.accelerator.device)
        decay = 1.0
        for step, batch in enumerate(track(batches, f"epoch {number}")):
            self._set_learning_rate(span[0] + (span[1] - span[0]) * step / len(batches))
            sums += self._step(data, rows[batch], targets, kd_weight)
            decay *= self._decay()
        self.rows.decay(decay)
        means = self.accelerator.reduce(sums, "sum") / len(rows)
        check_finite(self.settings, f"losses in epoch {number}", means.cpu())
        return dict(zip(("loss", "hard_loss", "soft_loss"), means.tolist(), strict=True))

    def _step(self, data: Examples, batch: NDArray[np.int64], targets: NDArray[np.float32],
              kd_weight: float) -> Tensor:
        """One step on the rows `batch`, computed in as many parts as there are processes times
        `accumulate`.

        Returns: summed losses of this process's examples. *Shape:* (3,)
        """
        processes, parts = self.accelerator.num_processes, self.settings.accumulate
        sums = torch.zeros(3, dtype=torch.float64, device=self.accelerator.device)
        for part in range(parts):
            own = batch[part * processes + self.accelerator.process_index::processes * parts]
            size = len(own)
            last = part == parts - 1
            with nullcontext() if last else self.accelerator.no_sync(self._parallel):
                # Every process must compute a gradient; one without examples gives it no weight.
                loss = self._loss(data, own if size else batch[:1], targets, kd_weight)
                # DDP averages over processes: so the gradient is that of the whole batch's mean.
                self.accelerator.backward(loss.total * (size * processes / len(batch)))
            sums += size * torch.stack(loss).detach().double()
        self.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return sums

    def _loss(self, data: Examples, rows: NDArray[np.int64], targets: NDArray[np.float32],
              kd_weight: float) -> Loss:
        device = self.accelerator.device
        return distillation_loss(
            self._parallel(*self._inputs(data, rows)), torch.from_numpy(targets[rows]).to(device),
            torch.from_numpy(data.labels[rows]).to(device), kd_weight=kd_weight,
            temperature=self.settings.temperature)

    def _inputs(self, data: Examples, rows: NDArray[np.int64]) -> list[Tensor]:
        """The model's inputs: ids and mask, (B, S) each, and indices of heads, (B,)."""
        ids, mask = data.tokens.padded(rows, self.pad)
        ids = self.rows.places[ids]
        # X-LM-Tiny's only head reads every language.
        heads = np.minimum(data.language[rows], len(self.model.config.languages) - 1)
        return [torch.from_numpy(array).to(self.accelerator.device) for array in (ids, mask, heads)]

    def _set_learning_rate(self, progress: float) -> None:
        """Linear warm-up, then linear decay to 0.

        Args:
            progress: the share of the training that is done.
        """
        warmup = self.settings.warmup
        factor = progress / warmup if progress < warmup else (1 - progress) / (1 - warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * factor

    def _decay(self) -> float:
        """The factor that the last step's weight decay applied to weights without gradient."""
        if self.optimizer.step_was_skipped:  # by fp16's scaler
            return 1.0
        group = self.optimizer.param_groups[0]
        return float(1.0 - group["lr"] * group["weight_decay"])

    @hardware.fitting("lower student.max_length")
    def predict(self, data: Examples) -> NDArray[np.float32]:
        """Logits of all examples, in every process. *Shape:* (N, C)

        Raises:
            CheckpointError: a logit is NaN or infinite.
        """
        self.model.train(False)
        classes = len(self.model.config.id2label or {})
        logits = np.zeros((len(data.labels), classes), dtype=np.float32)
        batches = list(tokens.batches(data.tokens.lengths, 256))
        with torch.inference_mode():
            for rows in batches[self.accelerator.process_index::self.accelerator.num_processes]:
                logits[rows] = self.model(*self._inputs(data, rows)).float().cpu().numpy()
        # Each process has computed some rows; the others are 0.
        whole = self.accelerator.reduce(torch.from_numpy(logits).to(self.accelerator.device), "sum")
        check_finite(self.settings, "logits", whole.cpu().numpy())
        return np.asarray(whole.cpu().numpy())

    def agreed(self, decision: Decision) -> Decision:
        """The first process's decision, in every process."""
        return cast(Decision, broadcast_object_list([decision])[0])

    def weights(self) -> dict[str, Tensor]:
        """Weights of the whole model, with all rows of the embedding table."""
        return _contiguous(self.rows.put(self.model.state_dict()))

    def save(self, folder: Path, progress: Progress) -> None:
        """Write the epoch's checkpoint into `folder`."""
        if self.accelerator.scaler is not None:
            progress.scaler = self.accelerator.scaler.state_dict()
        if self.accelerator.is_main_process:
            checkpoints.write(folder, Checkpoint(progress, self.weights(), self._moments()))
        self.accelerator.wait_for_everyone()

    def resume(self, folder: Path, fingerprint: str) -> Progress:
        """Load the last checkpoint in `folder` of the training with this fingerprint; where there
        is none, start afresh.

        Raises:
            CheckpointError: processes do not find the same one.
        """
        checkpoint = checkpoints.read_last(folder, fingerprint)
        progress = checkpoint.progress if checkpoint else Progress(fingerprint)
        if checkpoint:
            self.model.load_state_dict(self.rows.take(checkpoint.weights))
            self._load_moments(checkpoint.moments)
            if self.accelerator.scaler is not None:
                self.accelerator.scaler.load_state_dict(progress.scaler)
        epochs = self.accelerator.gather(
            torch.tensor([progress.epoch], device=self.accelerator.device)).tolist()
        if len(set(epochs)) > 1:
            raise CheckpointError(f"{folder}: expected the same checkpoint in every process, found "
                                  f"epochs {', '.join(map(str, epochs))}; run where all of them "
                                  "see the same files")
        if self.accelerator.is_main_process and not progress.epoch:
            shutil.rmtree(folder, ignore_errors=True)
        return progress

    def restore_best(self, folder: Path, progress: Progress) -> None:
        """Load the weights of the best epoch."""
        self.model.load_state_dict(self.rows.take(checkpoints.read_best(folder, progress)))

    def _moments(self) -> dict[str, Tensor]:
        """The optimiser's state by `{index of the parameter}.{name}`."""
        state = self.optimizer.state_dict()["state"]
        return {f"{index}.{key}": value.contiguous()
                for index, slots in state.items() for key, value in slots.items()}

    def _load_moments(self, moments: dict[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in moments.items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _groups(model: StudentModel, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters for the optimiser: biases and layer norms have no weight decay."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    return [{"params": decayed, "weight_decay": weight_decay},
            {"params": others, "weight_decay": 0.0}]


def _contiguous(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.contiguous() for name, value in state.items()}
