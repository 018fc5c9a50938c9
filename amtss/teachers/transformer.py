"""`kind: transformer`: a classifier that is fine-tuned here, or taken as it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from amtss import hub, records
from amtss.config.schema import Params, Teaching, TransformerTeacher
from amtss.data.corpus import Corpus
from amtss.errors import CheckpointError
from amtss.models import checkpoint, hardware
from amtss.paths import Layout
from amtss.teachers import forward, trainer
from amtss.teachers.task import Scorer, Task, Taught
from amtss.tokenization import encoding, lengths, unknown
from amtss.tokenization.tokenizer import load_tokenizer, train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def teach(task: Task) -> Taught:
    """Fine-tune the teacher; killed and run again, it resumes from its last epoch.

    Raises:
        ParamsError, DataError, CheckpointError: an input is missing or unfit.
    """
    teacher, labels = _settings(task.params, task.name), task.labels
    training = task.params.training_of(task.name)
    tokenizer = _tokenizer(teacher, task.corpora)
    if teacher.from_scratch:  # the gate knows the others
        _check_reads(task.params, task.name, tokenizer, task.corpora, taught=True)
    read = lengths.settle(tokenizer, task.corpora, training.max_length,
                          task.params.validation if teacher.from_scratch else None, task.name)
    training = training.model_copy(update={"max_length": read["max_length"]})
    if teacher.fine_tune:
        model = _initial(teacher, training, tokenizer, labels)
        forward.set_padding(tokenizer, model)
        cache = encoding.Cache(task.layout.tokens(task.name), tokenizer, read["max_length"])
        cost = trainer.fine_tune(model, cache, training, task.corpora, labels,
                                 task.layout.checkpoints(f"teach-{task.name}"), task.on_epoch)
        # Encoding sets the tokenizer's truncation. With a warm cache nothing has been encoded, and
        # the saved tokenizer must be the same.
        tokenizer("", truncation=True, max_length=read["max_length"])
        columns = list(range(len(labels)))
    else:
        source = _checkpoint_of(teacher)
        model = _load(teacher, read["max_length"])
        forward.set_padding(tokenizer, model)
        columns = align(dict(model.config.id2label or {}), labels, teacher.labels, source)
        cost = {"examples": 0, "epochs": 0, "best_epoch": 0, "seconds": 0.0}

    def save(folder: Path) -> None:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    encoder = getattr(model.config, "encoder", model.config)
    return Taught(save, {
        "architecture": encoder.model_type, "layers": getattr(encoder, "num_hidden_layers", None),
        "checkpoint": teacher.checkpoint,
        "commit": teacher.checkpoint and hub.commit(teacher.checkpoint, teacher.revision),
        "columns": columns, "parameters": model.num_parameters(), "lengths": read, **cost})


def _tokenizer(teacher: TransformerTeacher,
               corpora: Sequence[Corpus]) -> "PreTrainedTokenizerBase":
    """The checkpoint's tokenizer, or a new one where there is no checkpoint."""
    if teacher.checkpoint is not None:
        return load_tokenizer(teacher.checkpoint, teacher.revision)
    return train_tokenizer(corpora, teacher.architecture.vocabulary)


def _check_reads(params: Params, name: str, tokenizer: "PreTrainedTokenizerBase",
                 corpora: Sequence[Corpus], taught: bool) -> None:
    """Check that a tokenizer that was trained here knows the languages' characters.

    Raises:
        CheckpointError: too much of a language that the teacher is `taught` is unknown to it.
    """
    fix = (f"raise teachers.{name}.architecture.vocabulary" if taught else
           f"leave the language out of teachers.{name}.scores, or add it to its languages")
    unknown.check(tokenizer, corpora, params.validation, f"teacher {name}'s tokenizer of "
                  f"{len(tokenizer):,} tokens", fix, refuse=taught)


def _settings(params: Params, name: str) -> TransformerTeacher:
    teacher = params.teachers[name]
    assert isinstance(teacher, TransformerTeacher)
    return teacher


def align(id2label: dict[Any, Any], labels: list[str], renamed: dict[str, str],
          where: str) -> list[int]:
    """For each of our labels, the checkpoint's column of that name; order and case may differ.

    A name that is one of ours as it is means no other. Names that are numbers count as text.

    Args:
        id2label: the checkpoint's label of each column.
        renamed: the checkpoint's label -> ours.
        where: what an error's message begins with.

    Raises:
        CheckpointError: one of our labels is not among the checkpoint's, or twice, or two of ours
            are one of its labels.
    """
    names = {column: renamed.get(str(name), str(name)) for column, name in id2label.items()}
    columns = {label: [column for column, name in names.items() if name == label or (
        name not in labels and name.casefold() == label.casefold())] for label in labels}
    twice = [label for label in labels if len(columns[label]) > 1]
    if twice:
        raise CheckpointError(f"{where}: expected one label for each of ours, found two of its "
                              f"labels for {', '.join(twice)}; correct the teacher's `labels`")
    found = [column for label in labels for column in columns[label]]
    missing = [label for label in labels
               if not columns[label] or found.count(columns[label][0]) > 1]
    if missing:
        raise CheckpointError(f"{where}: expected the labels {', '.join(labels)}, found "
                              f"{', '.join(map(str, id2label.values()))}, without "
                              f"{', '.join(missing)}; map its names to ours in the teacher's "
                              "`labels`")
    return found


def _checkpoint_of(teacher: TransformerTeacher) -> str:
    assert teacher.checkpoint is not None  # Teacher's validator makes sure of it
    return teacher.checkpoint


def _load(teacher: TransformerTeacher, max_length: int, **options: Any) -> "PreTrainedModel":
    """The checkpoint as a classifier, before fine-tuning with a new head, or as an encoder where
    the head is ours."""
    from transformers import AutoModel, AutoModelForSequenceClassification

    source = _checkpoint_of(teacher)
    model = checkpoint.load(AutoModel if teacher.pooling == "mean" else
                            AutoModelForSequenceClassification, source,
                            "correct the teacher's `checkpoint`", head=not teacher.fine_tune,
                            revision=teacher.revision or "main", **options)
    checkpoint.check_length(model, max_length, source, "lower teaching.max_length, for this "
                            "teacher alone under its `training`")
    return model


def _initial(teacher: TransformerTeacher, settings: Teaching,
             tokenizer: "PreTrainedTokenizerBase", labels: list[str]) -> "PreTrainedModel":
    """The model as it is before the first step; `settings` have a `max_length`."""
    from transformers import XLMRobertaForSequenceClassification, set_seed

    from amtss.models.architecture import scratch
    from amtss.models.classifier import classifier_of
    from amtss.teachers import freezing

    set_seed(settings.seed)
    length = settings.max_length or 0
    model: PreTrainedModel
    task = {"id2label": dict(enumerate(labels)),
            "label2id": {label: index for index, label in enumerate(labels)},
            "problem_type": "single_label_classification"}
    if teacher.checkpoint is not None:
        options = _dropout(teacher, settings.dropout)
        if teacher.pooling == "mean":
            model = classifier_of(_load(teacher, length, **options), settings.dropout, **task)
        else:
            model = _load(teacher, length, ignore_mismatched_sizes=True, **task, **options)
        freezing.freeze(model, settings.freeze, teacher.checkpoint)
        return model
    config = scratch(teacher.architecture, len(tokenizer), tokenizer.pad_token_id, length,
                     settings.dropout)
    config.update(task)
    model = XLMRobertaForSequenceClassification._from_config(
        config, attn_implementation=hardware.attention())
    return model


def _dropout(teacher: TransformerTeacher, rate: float) -> dict[str, float]:
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


def scorer(params: Params, layout: Layout, name: str) -> Scorer:
    """Raw logits of the fine-tuned classifier, its columns in the order of the project's labels.

    Raises:
        AmtssError: the teacher's folder cannot be loaded.
    """
    from transformers import AutoModelForSequenceClassification

    from amtss.models import classifier  # noqa: F401, it registers the mean-pooled one

    folder = layout.teacher(name)
    about = records.teacher(layout, name)
    model = checkpoint.load(AutoModelForSequenceClassification, str(folder),
                            f"run `dvc repro -f teach@{name}`", ours=True)
    hardware.place(model)
    model.eval()
    tokenizer = load_tokenizer(str(folder))
    length = params.training_of(name).max_length or tokenizer.model_max_length
    cache = encoding.Cache(layout.tokens(name), tokenizer, length)
    from_scratch = _settings(params, name).from_scratch

    def score(corpus: Corpus, split: str) -> NDArray[np.float32]:
        if from_scratch and split == "train" and corpus.language not in params.taught_on(name):
            _check_reads(params, name, tokenizer, [corpus], taught=False)
            lengths.settle(tokenizer, [corpus], length, params.validation, name)
        title = f"{name} scores {corpus.language}/{split}"
        texts = cache.of(corpus, split)
        logits = np.empty((len(texts), int(model.config.num_labels or 0)), dtype=np.float32)
        for rows, _, output in forward.outputs(model, tokenizer, texts, params.scoring, title):
            logits[rows] = output.logits.float().cpu().numpy()
        return logits[:, about["columns"]]

    return score
