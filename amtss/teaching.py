"""Fine-tune one teacher: section 2.1.1, with transformers' Trainer."""

import hashlib
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from amtss import checkpoint, corpus, hardware, tokens, vocabulary
from amtss.config import Params, Teacher, Teaching
from amtss.corpus import Corpus
from amtss.errors import CheckpointError, DataError
from amtss.layout import Layout, read_json, replacing, write_json

if TYPE_CHECKING:
    from transformers import (
        EvalPrediction,
        PreTrainedModel,
        PreTrainedTokenizerBase,
        TrainerCallback,
        TrainingArguments,
    )

EpochDone = Callable[[int, dict[str, float]], None]
"""Called after each epoch with its number and its validation figures."""


def teach(params: Params, layout: Layout, name: str, on_epoch: EpochDone) -> None:
    """Write teacher `name`'s folder: model, tokenizer and `teacher.json`.

    Raises:
        ParamsError, DataError, CheckpointError: what it reads is not as it must be.
    """
    teacher = params.teachers[name]
    labels = read_json(layout.gate_keys, "dvc repro gate")["labels"]
    corpora = [corpus.load(layout, language) for language in params.taught_on(name)]
    started = time.perf_counter()
    if teacher.fine_tune:
        settings = params.training_of(name)
        tokenizer, model = _start(teacher, settings, corpora, labels)
        _pad(tokenizer, model)
        cache = tokens.Cache(layout.tokens(name), tokenizer, settings.max_length)
        told = _fine_tune(model, cache, settings, corpora, labels,
                          layout.checkpoints(f"teach-{name}"), on_epoch)
        columns = list(range(len(labels)))
    else:
        tokenizer, model = vocabulary.load(_named(teacher), teacher.revision), _load(teacher)
        _pad(tokenizer, model)
        columns = align(dict(model.config.id2label or {}), labels, teacher.labels, _named(teacher))
        told = {"examples": 0, "epochs": 0, "best_epoch": 0}
    with replacing(layout.teacher(name)) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_json(folder / "teacher.json", {
            "name": name, "architecture": model.config.model_type,
            "layers": getattr(model.config, "num_hidden_layers", None),
            "checkpoint": teacher.checkpoint, "languages": params.taught_on(name),
            "labels": labels, "columns": columns, "parameters": model.num_parameters(),
            "fingerprint": _fingerprint(folder, columns), **told,
            "seconds": round(time.perf_counter() - started, 3)})


def align(theirs: dict[Any, str], labels: list[str], renamed: dict[str, str],
          where: str) -> list[int]:
    """For each of our labels, the checkpoint's column of that name; order and case may differ.

    Raises:
        CheckpointError: one of our labels is not among the checkpoint's, or twice.
    """
    names = [renamed.get(name, name).casefold() for name in theirs.values()]
    twice = [label for label in labels if names.count(label.casefold()) > 1]
    if twice:
        raise CheckpointError(f"{where}: expected one label for each of ours, found two of its "
                              f"labels for {', '.join(twice)}; mend the teacher's `labels`")
    column = dict(zip(names, theirs, strict=True))
    missing = [label for label in labels if label.casefold() not in column]
    if missing:
        raise CheckpointError(f"{where}: expected the labels {', '.join(labels)}, found "
                              f"{', '.join(theirs.values())}, without {', '.join(missing)}; map "
                              "its names to ours in the teacher's `labels`")
    return [column[label.casefold()] for label in labels]


def _named(teacher: Teacher) -> str:
    assert teacher.checkpoint is not None  # Teacher's validator has seen to it
    return teacher.checkpoint


def _load(teacher: Teacher, **changes: Any) -> "PreTrainedModel":
    """The checkpoint as a classifier; before fine-tuning its head may be new."""
    from transformers import AutoModelForSequenceClassification

    return checkpoint.load(AutoModelForSequenceClassification, _named(teacher),
                           "mend the teacher's `checkpoint`", head=not teacher.fine_tune,
                           revision=teacher.revision or "main", **changes)


def _start(teacher: Teacher, settings: Teaching, corpora: list[Corpus],
           labels: list[str]) -> tuple["PreTrainedTokenizerBase", "PreTrainedModel"]:
    """Tokenizer and model as they are before the first step."""
    from transformers import XLMRobertaForSequenceClassification, set_seed

    from amtss.architecture import scratch

    set_seed(settings.seed)
    names = {"id2label": dict(enumerate(labels)),
             "label2id": {label: index for index, label in enumerate(labels)}}
    if teacher.checkpoint is not None:
        return (vocabulary.load(teacher.checkpoint, teacher.revision),
                _load(teacher, ignore_mismatched_sizes=True, **names,
                      **_dropout(teacher, settings.dropout)))
    tokenizer = vocabulary.train(corpora, teacher.architecture.vocabulary)
    config = scratch(teacher.architecture, len(tokenizer), tokenizer.pad_token_id,
                     settings.max_length, settings.dropout)
    config.update(names)
    return tokenizer, XLMRobertaForSequenceClassification._from_config(
        config, attn_implementation=hardware.attention())


def _dropout(teacher: Teacher, rate: float) -> dict[str, float]:
    """The checkpoint's own settings of dropout, whatever its architecture calls them."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(_named(teacher), revision=teacher.revision or "main")
    except (OSError, ValueError):
        return {}  # loading the weights says what is wrong
    names = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout",
             "attention_dropout", "seq_classif_dropout")
    return {name: rate for name in names if hasattr(config, name)}


def _pad(tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel") -> None:
    """Decoders' tokenizers have no padding token; their models must know which one it is."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
        model.config.pad_token_id = tokenizer.pad_token_id


def _fine_tune(model: "PreTrainedModel", cache: tokens.Cache, settings: Teaching,
               corpora: list[Corpus], labels: list[str], scratch: Path,
               on_epoch: EpochDone) -> dict[str, int]:
    """Train with early stopping on validation accuracy; `model` ends as its best epoch."""
    from transformers import (
        DataCollatorWithPadding,
        EarlyStoppingCallback,
        PrinterCallback,
        Trainer,
    )

    hardware.place(model)
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    trainer = Trainer(
        model=model, args=_arguments(settings, scratch), processing_class=cache.tokenizer,
        train_dataset=_encoded(cache, corpora, "train", labels),
        eval_dataset=_encoded(cache, corpora, "validation", labels),
        data_collator=DataCollatorWithPadding(cache.tokenizer, pad_to_multiple_of=8),
        compute_metrics=_accuracy,
        callbacks=[EarlyStoppingCallback(settings.patience), _reporter(on_epoch)])
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    shutil.rmtree(scratch)
    epochs = round(trainer.state.epoch or 0)
    rows = sum(len(c["train"]) for c in corpora)
    history = [row for row in trainer.state.log_history if "eval_accuracy" in row]
    best = max(history, key=lambda row: row["eval_accuracy"])
    return {"examples": epochs * rows, "epochs": epochs, "best_epoch": round(best["epoch"])}


def _arguments(settings: Teaching, scratch: Path) -> "TrainingArguments":
    from transformers import TrainingArguments

    precision = hardware.resolve(settings.precision)
    return TrainingArguments(
        output_dir=str(scratch), num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size, per_device_eval_batch_size=128,
        learning_rate=settings.learning_rate, weight_decay=settings.weight_decay,
        warmup_steps=settings.warmup, lr_scheduler_type="linear", optim="adamw_torch_fused",
        label_smoothing_factor=settings.label_smoothing,
        train_sampling_strategy="group_by_length", bf16=precision == "bf16",
        fp16=precision == "fp16", eval_strategy="epoch", save_strategy="epoch",
        save_total_limit=1, save_only_model=True, load_best_model_at_end=True,
        metric_for_best_model="accuracy", logging_strategy="epoch", report_to="none",
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


def _encoded(cache: tokens.Cache, corpora: list[Corpus], split: str,
             labels: list[str]) -> _Lessons:
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


def _fingerprint(folder: Path, columns: list[int]) -> str:
    """Of the weights, the tokenizer and the order of labels."""
    told = f"{checkpoint.fingerprint(folder)} {columns}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]
