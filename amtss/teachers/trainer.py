"""A teacher's training by transformers' Trainer: early stopping, and going on after a kill.

A checkpoint is Trainer's own. It is gone on from if what `MARK` says of it holds: written last, it
names the training and the bytes of all the other files.
"""

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from amtss import processes
from amtss.config.schema import Teaching
from amtss.data.corpus import Corpus
from amtss.errors import AmtssError, DataError, ParamsError
from amtss.files import contents, fingerprint, read_json, write_json
from amtss.models import hardware
from amtss.tokenization import tokens

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
MARK = "amtss.json"
MEND = ("raise teaching.accumulate, set teaching.gradient_checkpointing to true, or lower "
        "teaching.max_length, for this teacher alone under its `training`")


@hardware.fitting(MEND)
def fine_tune(model: "PreTrainedModel", cache: tokens.Cache, settings: Teaching,
              corpora: Sequence[Corpus], labels: Sequence[str], folder: Path,
              on_epoch: EpochDone) -> dict[str, float]:
    """Train with early stopping on validation accuracy; `model` ends as its best epoch.

    Killed at any moment and run again, it goes on from the last epoch in `folder`, which the
    caller deletes, and ends the same.

    Returns: what teacher.json tells of it.
    """
    from transformers import (
        DataCollatorWithPadding,
        EarlyStoppingCallback,
        PrinterCallback,
        Trainer,
    )

    started = time.perf_counter()
    arguments = _arguments(settings, folder)  # where torchrun's processes meet
    fingerprint = _fingerprint(model, settings, corpora, labels)
    with arguments.main_process_first(desc="tokens and checkpoints"):
        train, validation = (_encoded(cache, corpora, split, labels)
                             for split in ("train", "validation"))
        resumed = _last(folder, fingerprint)
        state = _state(resumed) if resumed else None
        _keep(folder, (resumed, _best(folder, state)) if state else ())
    seconds = _told(resumed)["seconds"] if resumed else 0.0
    hardware.place(model)
    if state and _finished(state, settings):
        arguments.num_train_epochs = _epochs(state)[0]  # Trainer has the best epoch to load
    trainer = Trainer(
        model=model, args=arguments, processing_class=cache.tokenizer, train_dataset=train,
        eval_dataset=validation, compute_metrics=_accuracy,
        data_collator=DataCollatorWithPadding(cache.tokenizer, pad_to_multiple_of=8),
        callbacks=[EarlyStoppingCallback(settings.patience), _reporter(on_epoch),
                   _marker(folder, fingerprint, started - seconds)])
    trainer.remove_callback(PrinterCallback)
    # Classifiers take the number of items and do not divide by it: Trainer is to divide itself.
    trainer.model_accepts_loss_kwargs = False
    trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    epochs, best = _epochs(trainer.state)
    return {"examples": epochs * sum(len(each["train"]) for each in corpora), "epochs": epochs,
            "best_epoch": best, "seconds": round(seconds + time.perf_counter() - started, 3)}


def _arguments(settings: Teaching, folder: Path) -> "TrainingArguments":
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
        disable_tqdm=not sys.stderr.isatty())


@dataclass(frozen=True)
class _Lessons:
    """What transformers' Trainer reads, row by row."""

    texts: tokens.Tokens
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {**self.texts[row], "labels": self.labels[row]}


def _encoded(cache: tokens.Cache, corpora: Sequence[Corpus], split: str,
             labels: Sequence[str]) -> _Lessons:
    """All corpora's rows, end to end, with `labels`."""
    for each in corpora:
        if not len(each[split]):
            raise DataError(f"{each.language}/{split}: expected rows to fine-tune on, found none; "
                            "mend the source, then run `dvc repro`")
    return _Lessons(tokens.joined([cache.of(each, split) for each in corpora]),
                    np.concatenate([each.label_ids(split, labels) for each in corpora]))


def _accuracy(predictions: "EvalPrediction") -> dict[str, float]:
    chosen = np.argmax(predictions.predictions, axis=-1)
    return {"accuracy": 100.0 * float((chosen == predictions.label_ids).mean())}


def _reporter(on_epoch: EpochDone) -> "TrainerCallback":
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        def on_evaluate(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            figures = rest["metrics"]
            on_epoch(round(state.epoch), {"accuracy": figures["eval_accuracy"],
                                          "loss": figures["eval_loss"]})

    return Reporter()


def _marker(folder: Path, fingerprint: str, started: float) -> "TrainerCallback":
    """Marks each checkpoint, whole, and then drops all but it and the best epoch's."""
    from accelerate import PartialState
    from transformers import TrainerCallback

    class Marker(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            PartialState().wait_for_everyone()  # each process writes a file of its own
            if processes.first():
                made = folder / f"checkpoint-{state.global_step}"
                write_json(made / MARK, {
                    "fingerprint": fingerprint, "files": _files(made),
                    "seconds": round(time.perf_counter() - started, 3)})
                _keep(folder, (made, _best(folder, state)))

    return Marker()


def _keep(folder: Path, kept: Iterable[Path | None]) -> None:
    for old in set(folder.glob("*")) - set(kept):
        shutil.rmtree(old)


def _last(folder: Path, fingerprint: str) -> Path | None:
    """The last whole checkpoint of this very training whose best epoch's is whole too."""
    marked = [made.parent for made in folder.glob(f"checkpoint-*/{MARK}")]
    for made in sorted(marked, key=lambda path: int(path.name.split("-")[1]), reverse=True):
        if _whole(made, fingerprint) and _whole(_best(folder, _state(made)), fingerprint):
            return made
    return None


def _whole(made: Path, fingerprint: str) -> bool:
    try:
        told = _told(made)
        return bool(told["fingerprint"] == fingerprint and told["files"] == _files(made))
    except (AmtssError, OSError):
        return False


def _told(made: Path) -> Any:
    return read_json(made / MARK, "dvc repro")


def _files(made: Path) -> str:
    """Of all that Trainer has written."""
    paths = sorted(path for path in made.iterdir() if path.name != MARK)
    return fingerprint(contents(paths))


def _state(made: Path) -> "TrainerState":
    from transformers import TrainerState

    state: TrainerState = TrainerState.load_from_json(str(made / "trainer_state.json"))
    return state


def _best(folder: Path, state: "TrainerState") -> Path:
    return folder / f"checkpoint-{state.best_global_step}"


def _epochs(state: "TrainerState") -> tuple[int, int]:
    """How many there were, and which was the best."""
    history = [row for row in state.log_history if "eval_accuracy" in row]
    best = max(history, key=lambda row: row["eval_accuracy"])
    return len(history), round(best["epoch"])


def _finished(state: "TrainerState", settings: Teaching) -> bool:
    """Whether Trainer was killed between its last checkpoint and its end."""
    epochs, best = _epochs(state)
    return epochs == settings.epochs or epochs - best >= settings.patience


def _fingerprint(model: "PreTrainedModel", settings: Teaching, corpora: Sequence[Corpus],
                 labels: Sequence[str]) -> str:
    """Of all that a training begins with: a checkpoint of another one is not gone on from."""
    weights = [fingerprint(name, tensor.cpu().contiguous().numpy().tobytes())
               for name, tensor in model.state_dict().items()]
    return fingerprint(settings.model_dump(), [each.fingerprint for each in corpora],
                       list(labels), weights)
