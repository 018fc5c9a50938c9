"""A teacher's training by transformers' Trainer, with early stopping and exact resumption."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from amtss import processes
from amtss.config.schema import Teaching
from amtss.data.corpus import Corpus
from amtss.errors import CheckpointError, DataError, ParamsError
from amtss.models import hardware
from amtss.progress import bar
from amtss.teachers import checkpoints
from amtss.tokenization import encoding, tokens

if TYPE_CHECKING:
    from transformers import (
        EvalPrediction,
        PreTrainedModel,
        TrainerCallback,
        TrainerState,
        TrainingArguments,
    )

EpochDone = Callable[[int, dict[str, float]], None]
"""Called after each epoch with its number and its validation figures."""
LESS_MEMORY = ("raise teaching.accumulate, set teaching.gradient_checkpointing to true, or lower "
               "teaching.max_length, for this teacher alone under its `training`")


@hardware.fitting(LESS_MEMORY)
def fine_tune(model: "PreTrainedModel", cache: encoding.Cache, settings: Teaching,
              corpora: Sequence[Corpus], labels: Sequence[str], folder: Path,
              on_epoch: EpochDone) -> dict[str, float]:
    """Train with early stopping on validation accuracy; `model` ends as its best epoch.

    Killed at any moment and run again, it resumes from the last epoch in `folder`, which the caller
    deletes, and ends with the same weights.

    Returns: the training's figures for teacher.json.

    Raises:
        CheckpointError: a loss is NaN or infinite.
    """
    from transformers import (
        DataCollatorWithPadding,
        EarlyStoppingCallback,
        PrinterCallback,
        Trainer,
    )

    started = time.perf_counter()
    arguments = _arguments(settings, folder)  # under torchrun the processes connect here
    fingerprint = checkpoints.fingerprint_of(model, settings, corpora, labels)
    with arguments.main_process_first(desc="tokens and checkpoints"):
        train, validation = (_encode(cache, corpora, split, labels)
                             for split in ("train", "validation"))
        resumed = checkpoints.find_last(folder, fingerprint)
        state = checkpoints.read_state(resumed) if resumed else None
    seconds = checkpoints.seconds_of(resumed) if resumed else 0.0
    hardware.place(model)
    shown = ExitStack()
    if state and _is_finished(state, settings):
        arguments.num_train_epochs = _epochs(state)[0]  # Trainer only has to load the best epoch
    trainer = Trainer(
        model=model, args=arguments, processing_class=cache.tokenizer, train_dataset=train,
        eval_dataset=validation, compute_metrics=_accuracy,
        data_collator=DataCollatorWithPadding(
            cache.tokenizer,
            # Tensor cores want it; a CPU would compute a third more tokens for nothing.
            pad_to_multiple_of=None if arguments.use_cpu else 8),
        callbacks=[EarlyStoppingCallback(settings.patience), _reporter(on_epoch),
                   _progress(shown, folder.name, ceil(len(train) / settings.batch_size)),
                   checkpoints.marker(folder, fingerprint, started - seconds)])
    trainer.remove_callback(PrinterCallback)
    # Classifiers accept the number of items but do not divide the loss by it: Trainer must.
    trainer.model_accepts_loss_kwargs = False
    with shown:
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    epochs, best = _epochs(trainer.state)
    return {"examples": epochs * sum(len(corpus["train"]) for corpus in corpora), "epochs": epochs,
            "best_epoch": best, "seconds": round(seconds + time.perf_counter() - started, 3)}


def _arguments(settings: Teaching, folder: Path) -> "TrainingArguments":
    """Trainer's settings.

    Raises:
        ParamsError: the batch cannot be divided into equal parts.
    """
    from transformers import TrainingArguments

    parts = processes.processes() * settings.accumulate
    if settings.batch_size % parts:
        raise ParamsError(
            f"params.yaml: teaching.batch_size: expected a multiple of {parts}, for "
            f"{processes.processes()} processes times accumulate {settings.accumulate}, found "
            f"{settings.batch_size}; change one of the three")
    precision = hardware.resolve(settings.precision)
    return TrainingArguments(
        output_dir=str(folder), num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size // parts,
        gradient_accumulation_steps=settings.accumulate,
        activation_checkpointing=settings.gradient_checkpointing, per_device_eval_batch_size=128,
        learning_rate=settings.learning_rate, weight_decay=settings.weight_decay,
        warmup_steps=settings.warmup, lr_scheduler_type="linear", optim="adamw_torch_fused",
        label_smoothing_factor=settings.label_smoothing,
        train_sampling_strategy="group_by_length", bf16=precision == "bf16",
        fp16=precision == "fp16", eval_strategy="epoch", save_strategy="epoch",
        load_best_model_at_end=True, metric_for_best_model="accuracy",
        restore_callback_states_from_checkpoint=True, logging_strategy="epoch", report_to="none",
        seed=settings.seed, use_cpu=hardware.device().type == "cpu",
        disable_tqdm=True)


@dataclass(frozen=True)
class _Examples:
    """A data set for transformers' Trainer, read row by row."""

    texts: tokens.Tokens
    labels: NDArray[np.int64]
    """*Shape:* (N,)"""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {**self.texts[row], "labels": self.labels[row]}


def _encode(cache: encoding.Cache, corpora: Sequence[Corpus], split: str,
            labels: Sequence[str]) -> _Examples:
    """The rows of all corpora, one corpus after another.

    Raises:
        DataError: a corpus has no rows.
    """
    for corpus in corpora:
        if not len(corpus[split]):
            raise DataError(f"{corpus.language}/{split}: expected rows to fine-tune on, found "
                            "none; correct the source, then run `dvc repro`")
    return _Examples(tokens.joined([cache.of(corpus, split) for corpus in corpora]),
                     np.concatenate([corpus.label_ids(split, labels) for corpus in corpora]))


def _accuracy(predictions: "EvalPrediction") -> dict[str, float]:
    predicted = np.argmax(predictions.predictions, axis=-1)
    return {"accuracy": 100.0 * float((predicted == predictions.label_ids).mean())}


def _reporter(on_epoch: EpochDone) -> "TrainerCallback":
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        def on_evaluate(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            figures = rest["metrics"]
            if not np.isfinite(figures["eval_loss"]):
                raise CheckpointError(
                    "teacher: expected a finite loss, found NaN or infinity in epoch "
                    f"{round(state.epoch)}; lower teaching.learning_rate (now "
                    f"{args.learning_rate:g}) or set teaching.precision: fp32, for this teacher "
                    "alone under its `training`")
            on_epoch(round(state.epoch), {"accuracy": figures["eval_accuracy"],
                                          "loss": figures["eval_loss"]})

    return Reporter()


def _progress(shown: ExitStack, title: str, steps: int) -> "TrainerCallback":
    """Shows how far an epoch of `steps` steps is; closing `shown` takes the bar away."""
    from transformers import TrainerCallback

    class Progress(TrainerCallback):
        def on_epoch_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            epoch = round(state.epoch or 0) + 1
            self.advance = shown.enter_context(bar(steps, f"{title}, epoch {epoch}"))

        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            self.advance(1)

        def on_epoch_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            shown.close()

    return Progress()


def _epochs(state: "TrainerState") -> tuple[int, int]:
    """How many epochs there have been, and the number of the best."""
    history = [row for row in state.log_history if "eval_accuracy" in row]
    best = max(history, key=lambda row: row["eval_accuracy"])
    return len(history), round(best["epoch"])


def _is_finished(state: "TrainerState", settings: Teaching) -> bool:
    """Whether the training was killed after its last epoch."""
    epochs, best = _epochs(state)
    return epochs == settings.epochs or epochs - best >= settings.patience
