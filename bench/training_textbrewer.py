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
    """A student that also takes labels and returns logits and loss, as TextBrewer expects."""

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
    """A language's training rows, in the student's and in its teacher's tokens."""

    train: Examples
    rows: Any
    """Indices into `train`. *Shape:* (N,)"""
    taught: Taught
    pad: int
    to: int | None
    """Length to which all texts are padded; None for the longest of a batch."""
    cached: Tensor | None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> int:
        return row

    @cached_property
    def whole(self) -> Batch:
        """All rows as tensors of one length."""
        return self._inputs(list(range(len(self))))

    def batch(self, picked: list[int]) -> Batch:
        """A batch as TextBrewer's distillers take it."""
        if not self.to:
            return self._inputs(picked)
        return {side: {key: column[picked] for key, column in columns.items()}
                for side, columns in self.whole.items()}

    def _inputs(self, picked: list[int]) -> Batch:
        """The batch, from token ids."""
        at = self.rows[picked]
        ids, mask = self.train.tokens.padded(at, self.pad)
        if self.to:
            wide = ((0, 0), (0, self.to - ids.shape[1]))
            ids, mask = np.pad(ids, wide, constant_values=self.pad), np.pad(mask, wide)
        student = {"input_ids": ids, "attention_mask": mask, "language": self.train.language[at],
                   "labels": self.train.labels[at]}
        batch: Batch = {"student": {key: torch.from_numpy(column)
                                    for key, column in student.items()}}
        if self.cached is None:
            return batch | {"teacher": self.taught.padded(picked, self.to)}
        return batch | {"teacher": {}, "teacher_cache": self.cached[picked]}


class Buckets:
    """Batches of similar length, drawn anew for each epoch."""

    def __init__(self, lengths: Any, size: int, seed: int) -> None:
        self.lengths, self.size = lengths, size
        self.draw = np.random.default_rng(seed)

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.size)

    def __iter__(self) -> Iterator[list[int]]:
        return (rows.tolist() for rows in tokens.batches(self.lengths, self.size, self.draw))


class OneOfSeveral(nn.Module):
    """A teacher among others that read the same texts, each in its own tokens."""

    def __init__(self, name: str, taught: Taught) -> None:
        super().__init__()
        self.name, self.model, self.columns = name, taught.model, taught.columns

    def forward(self, **batch: Tensor) -> Tensor:
        own = {key.split(".")[1]: column for key, column in batch.items()
               if key.startswith(f"{self.name}.")}
        logits: Tensor = self.model(**own).logits
        return logits[:, self.columns]


def multitask(task: Task, *, to_max: bool = False, by_hand: bool = False,
              precision: hardware.Resolved = "fp32", fused: bool = False) -> None:
    """`MultiTaskDistiller`, as in its examples or with everything that speeds it up.

    Args:
        to_max: pad texts to the maximal length, as TextBrewer's examples do.
        by_hand: cache teachers' logits beforehand, and use batches of similar length.
        precision: of the student's forward pass.
        fused: use the fused AdamW.
    """
    from textbrewer import MultiTaskDistiller

    with task.meter.part("rest"):
        train, validation = task.examples("train"), task.examples("validation")
        taught, model = teachers(task), task.student()
    size, pad, sets, loaders = task.params.distil.batch_size, task.tokenizer.pad_token_id, {}, {}
    for index, (language, teacher) in enumerate(taught.items()):
        with task.meter.part("capture"):
            cached = captured(teacher) if by_hand else None
        rows = train.of(index)
        sets[language] = Rows(train, rows, teacher, pad,
                              task.params.student.max_length if to_max else None, cached)
        order = {"batch_sampler": Buckets(train.tokens.lengths[rows], size, index)} if by_hand \
            else {"batch_size": size, "shuffle": True}
        loaders[language] = DataLoader(sets[language], collate_fn=sets[language].batch,
                                       **order)

    def answered(batch: Batch, outputs: Any) -> Batch:
        return {"logits": getattr(outputs, "logits", outputs)}

    _trained(task, model, validation, precision, fused, lambda configs: MultiTaskDistiller(
        *configs, {code: teacher.model for code, teacher in taught.items()},
        WithLoss(model, precision), dict.fromkeys(taught, answered),
        dict.fromkeys(taught, _student)), loaders)


def multiteacher(task: Task) -> None:
    """`MultiTeacherDistiller`: every teacher scores every text, and their logits are averaged."""
    from textbrewer import MultiTeacherDistiller

    with task.meter.part("rest"):
        train, validation = task.examples("train"), task.examples("validation")
        taught, model = teachers(task), task.student()
        readers = {name: Taught(teacher.model, teacher.tokenizer, teacher.columns,
                                _everything(task, teacher))
                   for name, teacher in taught.items()}

    def batch(picked: list[int]) -> Batch:
        rows = Rows(train, np.arange(len(train.labels)), next(iter(readers.values())),
                    task.tokenizer.pad_token_id, None, None).batch(picked)
        return rows | {"teacher": {f"{name}.{key}": column for name, teacher in readers.items()
                                   for key, column in teacher.padded(picked).items()}}

    loader = DataLoader(range(len(train.labels)), batch_size=task.params.distil.batch_size,
                        shuffle=True, collate_fn=batch)

    def answered(batch: Batch, outputs: Any) -> Batch:
        return {"logits": outputs}

    _trained(task, model, validation, "fp32", False, lambda configs: MultiTeacherDistiller(
        *configs, [OneOfSeveral(name, teacher).eval() for name, teacher in readers.items()],
        WithLoss(model, "fp32"), answered, _student), loader)


def _everything(task: Task, taught: Taught) -> Any:
    """All languages' training rows in one teacher's tokens."""
    length = task.params.student.max_length
    parts = [encoded(taught.tokenizer, texts, length) for texts in task.corpora]
    return {key: [row for part in parts for row in part[key]] for key in parts[0]}


def _student(batch: Batch, outputs: tuple[Tensor, Tensor]) -> Batch:
    return {"logits": outputs[0], "losses": outputs[1]}


def _trained(task: Task, model: StudentModel, validation: Examples, precision: hardware.Resolved,
             fused: bool, distiller: Callable[[Any], Any], loaders: Any) -> None:
    """Train with the distiller's own loop."""
    from textbrewer import DistillationConfig, TrainingConfig
    from transformers import get_linear_schedule_with_warmup

    logging.disable(logging.INFO)
    chosen = task.params.distil
    all_loaders = loaders.values() if isinstance(loaders, dict) else [loaders]
    steps = chosen.max_epochs * sum(len(loader) for loader in all_loaders)
    with task.meter.part("training"), tempfile.TemporaryDirectory() as folder:
        np.random.seed(chosen.seed)  # the distiller draws a step's language from it
        optimizer = torch.optim.AdamW(groups(model, chosen.weight_decay), lr=chosen.learning_rate,
                                      fused=fused)
        training = distiller((
            TrainingConfig(ckpt_steps=-(-steps // chosen.max_epochs), output_dir=folder,
                           device="cpu"),
            DistillationConfig(temperature=chosen.temperature, kd_loss_weight=chosen.kd_weight,
                               hard_label_weight=1.0)))
        with training:
            training.train(optimizer, loaders, num_steps=steps, max_grad_norm=1.0,
                       scheduler_class=get_linear_schedule_with_warmup,
                       scheduler_args={"num_warmup_steps": round(chosen.warmup * steps),
                                       "num_training_steps": steps},
                       callback=lambda model, step: task.validate(model.student, validation))
