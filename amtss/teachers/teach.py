"""Fine-tune one teacher (section 2.1.1), or take a classifier as it is."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amtss import hub, processes
from amtss.config.schema import Params, Teacher, Teaching
from amtss.data import corpus
from amtss.data.corpus import Corpus
from amtss.errors import CheckpointError
from amtss.files import fingerprint, read_json, replacing, write_json
from amtss.models import checkpoint, hardware
from amtss.paths import Layout
from amtss.teachers import trainer
from amtss.teachers.trainer import EpochDone
from amtss.tokenization import tokens
from amtss.tokenization.tokenizer import load_tokenizer, train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def teach(params: Params, layout: Layout, name: str, on_epoch: EpochDone) -> None:
    """Write teacher `name`'s folder: model, tokenizer and `teacher.json`.

    Killed at any moment and run again, it resumes from its last epoch and ends with the same bytes.

    Raises:
        ParamsError, DataError, CheckpointError: an input is missing or unfit.
    """
    teacher = params.teachers[name]
    labels = read_json(layout.gate_keys, "dvc repro gate")["labels"]
    corpora = [corpus.load(layout, language) for language in params.taught_on(name)]
    settings = params.training_of(name)
    if teacher.fine_tune:
        tokenizer, model = _initial(teacher, settings, corpora, labels)
        _set_padding(tokenizer, model)
        cache = tokens.Cache(layout.tokens(name), tokenizer, settings.max_length)
        training = trainer.fine_tune(model, cache, settings, corpora, labels,
                                     layout.checkpoints(f"teach-{name}"), on_epoch)
        # Encoding sets the tokenizer's truncation. With a warm cache nothing has been encoded, and
        # the saved tokenizer must be the same.
        tokenizer("", truncation=True, max_length=settings.max_length)
        columns = list(range(len(labels)))
    else:
        source = _checkpoint_of(teacher)
        tokenizer = load_tokenizer(source, teacher.revision)
        model = _load(teacher, settings.max_length)
        _set_padding(tokenizer, model)
        columns = align(dict(model.config.id2label or {}), labels, teacher.labels, source)
        training = {"examples": 0, "epochs": 0, "best_epoch": 0, "seconds": 0.0}
    if not processes.first():
        return
    with replacing(layout.teacher(name)) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_json(folder / "teacher.json", {
            "name": name, "architecture": model.config.model_type,
            "layers": getattr(model.config, "num_hidden_layers", None),
            "checkpoint": teacher.checkpoint,
            "commit": teacher.checkpoint and hub.commit(teacher.checkpoint, teacher.revision),
            "languages": params.taught_on(name),
            "labels": labels, "columns": columns, "parameters": model.num_parameters(),
            "fingerprint": _fingerprint(folder, columns), **training})
    shutil.rmtree(layout.checkpoints(f"teach-{name}"), ignore_errors=True)


def align(id2label: dict[Any, str], labels: list[str], renamed: dict[str, str],
          where: str) -> list[int]:
    """For each of our labels, the checkpoint's column of that name; order and case may differ.

    Args:
        id2label: the checkpoint's label of each column.
        renamed: the checkpoint's label -> ours.
        where: what an error's message begins with.

    Raises:
        CheckpointError: one of our labels is not among the checkpoint's, or twice.
    """
    names = [renamed.get(name, name).casefold() for name in id2label.values()]
    twice = [label for label in labels if names.count(label.casefold()) > 1]
    if twice:
        raise CheckpointError(f"{where}: expected one label for each of ours, found two of its "
                              f"labels for {', '.join(twice)}; correct the teacher's `labels`")
    column = dict(zip(names, id2label, strict=True))
    missing = [label for label in labels if label.casefold() not in column]
    if missing:
        raise CheckpointError(f"{where}: expected the labels {', '.join(labels)}, found "
                              f"{', '.join(id2label.values())}, without {', '.join(missing)}; map "
                              "its names to ours in the teacher's `labels`")
    return [column[label.casefold()] for label in labels]


def _checkpoint_of(teacher: Teacher) -> str:
    assert teacher.checkpoint is not None  # Teacher's validator makes sure of it
    return teacher.checkpoint


def _load(teacher: Teacher, max_length: int, **options: Any) -> "PreTrainedModel":
    """The checkpoint as a classifier; before fine-tuning its head may be new."""
    from transformers import AutoModelForSequenceClassification

    source = _checkpoint_of(teacher)
    model = checkpoint.load(AutoModelForSequenceClassification, source,
                            "correct the teacher's `checkpoint`", head=not teacher.fine_tune,
                            revision=teacher.revision or "main", **options)
    checkpoint.check_length(model, max_length, source, "lower teaching.max_length, for this "
                            "teacher alone under its `training`")
    return model


def _initial(teacher: Teacher, settings: Teaching, corpora: list[Corpus],
             labels: list[str]) -> tuple["PreTrainedTokenizerBase", "PreTrainedModel"]:
    """Tokenizer and model as they are before the first step."""
    from transformers import XLMRobertaForSequenceClassification, set_seed

    from amtss.models.architecture import scratch

    set_seed(settings.seed)
    task = {"id2label": dict(enumerate(labels)),
            "label2id": {label: index for index, label in enumerate(labels)},
            "problem_type": "single_label_classification"}
    if teacher.checkpoint is not None:
        return (load_tokenizer(teacher.checkpoint, teacher.revision),
                _load(teacher, settings.max_length, ignore_mismatched_sizes=True, **task,
                      **_dropout(teacher, settings.dropout)))
    tokenizer = train_tokenizer(corpora, teacher.architecture.vocabulary)
    config = scratch(teacher.architecture, len(tokenizer), tokenizer.pad_token_id,
                     settings.max_length, settings.dropout)
    config.update(task)
    return tokenizer, XLMRobertaForSequenceClassification._from_config(
        config, attn_implementation=hardware.attention())


def _dropout(teacher: Teacher, rate: float) -> dict[str, float]:
    """The checkpoint's settings of dropout, whatever its architecture calls them, set to `rate`."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(_checkpoint_of(teacher),
                                            revision=teacher.revision or "main")
    except (OSError, ValueError):
        return {}  # loading the weights reports what is wrong
    names = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout",
             "attention_dropout", "seq_classif_dropout")
    return {name: rate for name in names if hasattr(config, name)}


def _set_padding(tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel") -> None:
    """Decoders' tokenizers have no padding token; their models must know which token it is."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
        model.config.pad_token_id = tokenizer.pad_token_id


def _fingerprint(folder: Path, columns: list[int]) -> str:
    """Hash of the weights, the tokenizer and the order of labels. 16 hexadecimal digits."""
    return fingerprint(checkpoint.fingerprint(folder), columns)
