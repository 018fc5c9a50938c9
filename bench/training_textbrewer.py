"""TextBrewer's sides: a language is a task, with a teacher and a loader of its own."""

import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from training_task import Task, Taught, captured, encoded, groups, teachers

from amtss.distillation.examples import Examples
from amtss.models import hardware
from amtss.student.model import StudentModel
from amtss.tokenization import tokens

Batch = dict[str, Any]


class WithLoss(nn.Module):
    """A student that takes labels too and returns logits and their loss, as users' models do."""

    def __init__(self, student: StudentModel, precision: hardware.Resolved) -> None:
        super().__init__()
        self.student = student
        self.precision = precision

    def forward(self, input_ids: Tensor, attention_mask: Tensor, language: Tensor,
                labels: Tensor) -> tuple[Tensor, Tensor]:
        with hardware.autocast(self.precision):
            logits = self.student(input_ids, attention_mask, language)
        return logits.float(), functional.cross_entropy(logits.float(), labels)


@dataclass(frozen=True)
class Rows:
    """A language's train rows as both models read them."""

    train: Examples
    rows: Any
    """Which of `train`. *Shape:* (N,)"""
    taught: Taught
    pad: int
    to: int | None
    """Length that all texts are padded to; None for the longest of a batch."""
    cached: Tensor | None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> int:
        return row

    @cached_property
    def whole(self) -> Batch:
        """All rows as tensors of one length."""
        return self.made(list(range(len(self))))

    def batch(self, picked: list[int]) -> Batch:
        """What TextBrewer's distillers take."""
        if not self.to:
            return self.made(picked)
        return {side: {key: each[picked] for key, each in columns.items()}
                for side, columns in self.whole.items()}

    def made(self, picked: list[int]) -> Batch:
        """The same, from token ids."""
        at = self.rows[picked]
        ids, mask = self.train.tokens.padded(at, self.pad)
        if self.to:
            wide = ((0, 0), (0, self.to - ids.shape[1]))
            ids, mask = np.pad(ids, wide, constant_values=self.pad), np.pad(mask, wide)
        student = {"input_ids": ids, "attention_mask": mask, "language": self.train.language[at],
                   "labels": self.train.labels[at]}
        made: Batch = {"student": {key: torch.from_numpy(each) for key, each in student.items()}}
        if self.cached is None:
            return made | {"teacher": self.taught.padded(picked, self.to)}
        return made | {"teacher": {}, "teacher_cache": self.cached[picked]}


class Buckets:
    """Batches of like length, anew each epoch."""

    def __init__(self, lengths: Any, size: int, seed: int) -> None:
        self.lengths, self.size = lengths, size
        self.draw = np.random.default_rng(seed)

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.size)

    def __iter__(self) -> Iterator[list[int]]:
        return (rows.tolist() for rows in tokens.batches(self.lengths, self.size, self.draw))


class Every(nn.Module):
    """One teacher of several that read the same texts each by its own tokenizer."""

    def __init__(self, name: str, taught: Taught) -> None:
        super().__init__()
        self.name, self.model, self.columns = name, taught.model, taught.columns

    def forward(self, **batch: Tensor) -> Tensor:
        own = {key.split(".")[1]: each for key, each in batch.items()
               if key.startswith(f"{self.name}.")}
        logits: Tensor = self.model(**own).logits
        return logits[:, self.columns]


def multitask(task: Task, *, to_max: bool = False, by_hand: bool = False,
              precision: hardware.Resolved = "fp32", fused: bool = False) -> None:
    """`MultiTaskDistiller`: as its users run it, or with all that can be done for it.

    Args:
        to_max: texts are padded to the maximal length, as in TextBrewer's examples.
        by_hand: teachers' logits are cached before, and batches are of like length.
        precision: of the student's forward pass.
        fused: AdamW as one kernel.
    """
    from textbrewer import MultiTaskDistiller

    with task.meter.part("rest"):
        train, validation = task.examples("train"), task.examples("validation")
        taught, model = teachers(task), task.student()
    size, pad, sets, loaders = task.params.distil.batch_size, task.tokenizer.pad_token_id, {}, {}
    for index, (language, each) in enumerate(taught.items()):
        with task.meter.part("capture"):
            cached = captured(each) if by_hand else None
        rows = train.of(index)
        made = Rows(train, rows, each, pad, task.params.student.max_length if to_max else None,
                    cached)
        sets[language] = made
        order = {"batch_sampler": Buckets(train.tokens.lengths[rows], size, index)} if by_hand \
            else {"batch_size": size, "shuffle": True}
        loaders[language] = DataLoader(made, collate_fn=made.batch, **order)

    def answered(batch: Batch, outputs: Any) -> Batch:
        return {"logits": getattr(outputs, "logits", outputs)}

    _trained(task, model, validation, precision, fused, lambda told: MultiTaskDistiller(
        *told, {code: each.model for code, each in taught.items()}, WithLoss(model, precision),
        dict.fromkeys(taught, answered), dict.fromkeys(taught, _student)), loaders)


def multiteacher(task: Task) -> None:
    """`MultiTeacherDistiller`: every teacher scores every text, and their logits are averaged."""
    from textbrewer import MultiTeacherDistiller

    with task.meter.part("rest"):
        train, validation = task.examples("train"), task.examples("validation")
        taught, model = teachers(task), task.student()
        read = {name: Taught(each.model, each.tokenizer, each.columns, _everything(task, each))
                for name, each in taught.items()}

    def batch(picked: list[int]) -> Batch:
        made = Rows(train, np.arange(len(train.labels)), next(iter(read.values())),
                    task.tokenizer.pad_token_id, None, None).batch(picked)
        return made | {"teacher": {f"{name}.{key}": column for name, each in read.items()
                                   for key, column in each.padded(picked).items()}}

    loader = DataLoader(range(len(train.labels)), batch_size=task.params.distil.batch_size,
                        shuffle=True, collate_fn=batch)

    def answered(batch: Batch, outputs: Any) -> Batch:
        return {"logits": outputs}

    _trained(task, model, validation, "fp32", False, lambda told: MultiTeacherDistiller(
        *told, [Every(name, each).eval() for name, each in read.items()],
        WithLoss(model, "fp32"), answered, _student), loader)


def _everything(task: Task, taught: Taught) -> Any:
    """All languages' train rows by one teacher's tokenizer."""
    length = task.params.student.max_length
    parts = [encoded(taught.tokenizer, each, length) for each in task.corpora]
    return {key: [row for part in parts for row in part[key]] for key in parts[0]}


def _student(batch: Batch, outputs: tuple[Tensor, Tensor]) -> Batch:
    return {"logits": outputs[0], "losses": outputs[1]}


def _trained(task: Task, model: StudentModel, validation: Examples, precision: hardware.Resolved,
             fused: bool, distiller: Callable[[Any], Any], loaders: Any) -> None:
    """Train with a distiller's own loop."""
    from textbrewer import DistillationConfig, TrainingConfig
    from transformers import get_linear_schedule_with_warmup

    logging.disable(logging.INFO)
    chosen = task.params.distil
    each = loaders.values() if isinstance(loaders, dict) else [loaders]
    steps = chosen.max_epochs * sum(len(loader) for loader in each)
    with task.meter.part("training"), tempfile.TemporaryDirectory() as folder:
        np.random.seed(chosen.seed)  # it draws a step's language by it
        optimizer = torch.optim.AdamW(groups(model, chosen.weight_decay), lr=chosen.learning_rate,
                                      fused=fused)
        made = distiller((
            TrainingConfig(ckpt_steps=-(-steps // chosen.max_epochs), output_dir=folder,
                           device="cpu"),
            DistillationConfig(temperature=chosen.temperature, kd_loss_weight=chosen.kd_weight,
                               hard_label_weight=1.0)))
        with made:
            made.train(optimizer, loaders, num_steps=steps, max_grad_norm=1.0,
                       scheduler_class=get_linear_schedule_with_warmup,
                       scheduler_args={"num_warmup_steps": round(chosen.warmup * steps),
                                       "num_training_steps": steps},
                       callback=lambda model, step: task.validate(model.student, validation))
