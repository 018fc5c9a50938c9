"""Three sides of `training.py`: amtss itself, a bare loop over labels, transformers' Trainer."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from measuring import Meter
from torch import Tensor
from torch.nn import functional
from training_task import Task, groups, teachers

from amtss.distillation import algorithm1
from amtss.distillation.examples import Examples
from amtss.distillation.learner import Learner
from amtss.logits import score
from amtss.models import hardware
from amtss.tokenization import tokens


def amtss(task: Task) -> None:
    """Teachers' logits, then Algorithm 1 on all languages, by the commands' own functions."""
    with task.meter.part("capture"):
        for name in task.params.pool:
            score.score(task.params, task.layout, name)
    with ExitStack() as parts:
        parts.enter_context(task.meter.part("rest"))
        parts.enter_context(_timed(task.meter, Learner, "epoch", "training"))
        parts.enter_context(_timed(task.meter, algorithm1, "measure_on_validation",
                                  "validation"))
        algorithm1.distil(task.params, task.layout, lambda row: task.reached(row["average"]))


@contextmanager
def _timed(meter: Meter, owner: Any, name: str, part: str) -> Iterator[None]:
    """Measure the calls of `owner.name` as a part."""
    original = getattr(owner, name)

    def timed(*arguments: Any) -> Any:
        with meter.part(part):
            return original(*arguments)

    with patch.object(owner, name, timed):
        yield


def bare(task: Task) -> None:
    """A plain loop over labels, with the same precision, buckets, clipping and fused optimiser: the
    most that this model could reach."""
    chosen, pad = task.params.distil, task.tokenizer.pad_token_id
    with task.meter.part("rest"):
        train, validation = task.examples("train"), task.examples("validation")
        model = task.student()
    precision = hardware.resolve(chosen.precision)
    optimizer = torch.optim.AdamW(groups(model, chosen.weight_decay), lr=chosen.learning_rate,
                                  fused=True)
    for epoch in range(chosen.max_epochs):
        with task.meter.part("training"):
            batches = list(tokens.batches(train.tokens.lengths, chosen.batch_size,
                                          np.random.default_rng([chosen.seed, epoch])))
            for step, rows in enumerate(batches):
                done = (epoch + step / len(batches)) / chosen.max_epochs
                for group in optimizer.param_groups:
                    group["lr"] = chosen.learning_rate * min(done / chosen.warmup,
                                                             (1 - done) / (1 - chosen.warmup))
                _step(model, optimizer, train, rows, pad, precision)
        task.validate(model, validation)


def _step(model: Any, optimizer: torch.optim.Optimizer, train: Examples, rows: Any, pad: int,
          precision: hardware.Resolved) -> None:
    ids, mask = train.tokens.padded(rows, pad)
    with hardware.autocast(precision):
        logits = model(torch.from_numpy(ids), torch.from_numpy(mask),
                       torch.from_numpy(train.language[rows]))
    functional.cross_entropy(logits.float(), torch.from_numpy(train.labels[rows])).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def trainer(task: Task, *, best: bool = False) -> None:
    """transformers' Trainer; its teachers run within `compute_loss`.

    Args:
        best: use what its arguments offer: bf16 and batches of similar length.
    """
    from transformers import Trainer, TrainerCallback, TrainingArguments

    with task.meter.part("rest"):
        train, validation = task.examples("train"), task.examples("validation")
        taught, model = list(teachers(task).values()), task.student()
    chosen, first = task.params.distil, [int(train.of(i)[0]) for i in range(len(task.languages))]

    def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
        rows = np.array([item["row"] for item in items])
        ids, mask = train.tokens.padded(rows, task.tokenizer.pad_token_id)
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask),
                "language": torch.from_numpy(train.language[rows]),
                "labels": torch.from_numpy(train.labels[rows]), "row": torch.from_numpy(rows)}

    class Distilling(Trainer):
        def compute_loss(self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False,
                         num_items_in_batch: Any = None) -> Any:
            rows, labels = inputs.pop("row"), inputs.pop("labels")
            logits = model(**inputs).float()
            soft = torch.empty_like(logits)
            with torch.no_grad():
                for index in inputs["language"].unique().tolist():
                    at = inputs["language"] == index
                    batch = taught[index].padded((rows[at] - first[index]).tolist())
                    soft[at] = taught[index].logits(batch).float()
            kd = functional.kl_div(functional.log_softmax(logits, -1), soft.softmax(-1),
                                   reduction="batchmean")
            return functional.cross_entropy(logits, labels) + chosen.kd_weight * kd

    class Validating(TrainerCallback):
        def on_epoch_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            task.validate(model, validation)

    items = [{"row": row, **train.tokens[row]} for row in range(len(train.labels))]
    with tempfile.TemporaryDirectory() as folder, task.meter.part("training"):
        Distilling(
            model=model, data_collator=collate, callbacks=[Validating()], train_dataset=items,
            args=TrainingArguments(
                output_dir=folder, num_train_epochs=chosen.max_epochs, seed=chosen.seed,
                per_device_train_batch_size=chosen.batch_size, weight_decay=chosen.weight_decay,
                learning_rate=chosen.learning_rate, warmup_steps=chosen.warmup, max_grad_norm=1.0,
                lr_scheduler_type="linear", bf16=best, use_cpu=True, save_strategy="no",
                train_sampling_strategy="group_by_length" if best else "random",
                report_to="none", logging_strategy="no", remove_unused_columns=False,
                disable_tqdm=True)).train()
