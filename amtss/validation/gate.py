"""Stage `gate`: all languages side by side. Settles the labels and what each teacher reads."""

from typing import Any

import numpy as np

from amtss import hub
from amtss.config.schema import Params, Validation
from amtss.data import corpus as corpora
from amtss.data.corpus import Corpus
from amtss.errors import DataError
from amtss.files import fingerprint, read_json, replacing, write_json
from amtss.paths import Layout
from amtss.validation import lengths, summary
from amtss.validation.checks import LABELLED
from amtss.validation.labels import divergence, mean_distribution
from amtss.validation.lengths import Cut
from amtss.validation.summary import Language


def gate(params: Params, layout: Layout) -> None:
    """Compare the languages, settle the label list, and write the gate's folder and keys.

    Raises:
        DataError: a language is not validated or has errors; the languages' label lists differ;
            validation or test holds a label that no language's train has.
        CheckpointError: a checkpoint cannot be found, or has no tokenizer.
    """
    read = {code: corpora.load(layout, code) for code in params.languages}
    validations = {code: _validated(layout, corpus) for code, corpus in read.items()}
    labels = _settled(params, read)
    _check_learnable(read, labels)
    languages = _measured(read, validations, labels)
    if params.onboarding is None and (given := params.student.checkpoint
                                      or params.student.tokenizer):
        hub.check("model", given, params.student.revision)  # else it fails after all teachers
    cuts = lengths.count(params, [*read.values()])
    warnings = _warnings(languages, labels, cuts, params.validation)
    if (logs := params.data.splits.unlabelled) is not None:
        warnings += [f"{code}: no unlabelled split {logs!r}" for code, corpus in read.items()
                     if "unlabelled" not in corpus.splits]
    with replacing(layout.gate) as folder:
        folder.mkdir()
        summary.write(folder, layout, languages, labels, cuts, warnings)
    write_json(layout.gate_keys, _keys(params, read, labels))


def _validated(layout: Layout, corpus: Corpus) -> dict[str, Any]:
    """The language's validation.json, if it has no errors and is of this corpus."""
    path = layout.validation(corpus.language) / "validation.json"
    command = f"dvc repro validate@{corpus.language}"
    if not path.is_file():
        raise DataError(f"{path}: expected {corpus.language}'s validation, found none; "
                        f"run `{command}`")
    found: dict[str, Any] = read_json(path, command)
    if found["fingerprint"] != corpus.fingerprint:
        raise DataError(f"{path}: expected the validation of corpus {corpus.fingerprint}, found "
                        f"that of {found['fingerprint']}; run `{command}`")
    if found["errors"]:
        raise DataError(f"{path}: expected no errors, found {found['errors']}; see "
                        f"{path.with_suffix('.md')}, mend the data and run `{command}`")
    return found


def _settled(params: Params, read: dict[str, Corpus]) -> tuple[str, ...]:
    """The list of params, else the one the sources agree on, else what the train splits hold."""
    fixed = {"params.yaml": params.data.labels} | {code: each.labels for code, each in read.items()}
    given = {where: labels for where, labels in fixed.items() if labels is not None}
    first = next(iter(given), None)
    for where, labels in given.items():
        if first is not None and labels != given[first]:
            raise DataError(f"{where}: expected the label list of {first}, {_few(given[first])}, "
                            f"found {_few(labels)}; set data.labels in params.yaml and "
                            f"run `dvc repro validate@{where}`")
    found = given[first] if first is not None else tuple(sorted(
        {name for each in read.values() for name in _names(each, "train")}))
    if len(found) < 2:
        raise DataError(f"all languages: expected at least 2 labels in train, found {_few(found)}; "
                        "mend data.columns.label in params.yaml")
    return found


def _few(labels: tuple[str, ...]) -> str:
    return f"{len(labels)} ({', '.join(labels[:4])}{', …' if len(labels) > 4 else ''})"


def _names(corpus: Corpus, split: str) -> list[str]:
    return [str(name) for name in corpus[split]["label"].to_pylist()]


def _check_learnable(read: dict[str, Corpus], labels: tuple[str, ...]) -> None:
    """Every label of a split is in the list, and some language's train shows it to a teacher."""
    taught = set(labels) & {name for each in read.values() for name in _names(each, "train")}
    for code, corpus in read.items():
        for split in LABELLED:
            for row, name in enumerate(_names(corpus, split)):
                if name not in taught:
                    wanted = "a label of the list" if split == "train" else (
                        "a label that some language's train has")
                    raise DataError(f"{code}/{split}: expected {wanted}, found {name!r} at id "
                                    f"{str(corpus[split]['id'][row])!r}; add training examples of "
                                    f"it, mend that row or data.labels in params.yaml, then run "
                                    f"`dvc repro validate@{code}`")


def _measured(read: dict[str, Corpus], validations: dict[str, dict[str, Any]],
              labels: tuple[str, ...]) -> list[Language]:
    counts = {code: {split: np.bincount(corpus.label_ids(split, labels), minlength=len(labels))
                     for split in LABELLED} for code, corpus in read.items()}
    mean = mean_distribution(each["train"] for each in counts.values())
    return [Language(code, validations[code], each, divergence(each["train"], mean))
            for code, each in counts.items()]


def _warnings(languages: list[Language], labels: tuple[str, ...], cuts: list[Cut],
              settings: Validation) -> list[str]:
    """What a person should know before training; nothing here stops it."""
    nowhere = set(labels).intersection(*[each.without_examples(labels) for each in languages])
    found = [f"all: no training example of {label}: it cannot be learnt"
             for label in sorted(nowhere)]
    for each in languages:
        lacking = [label for label in each.without_examples(labels) if label not in nowhere]
        if lacking:
            found.append(f"{each.code}: no training example of {', '.join(lacking)}")
        if each.divergence > settings.warn_language_divergence:
            found.append(f"{each.code}: its labels are distributed otherwise than in the mean of "
                         f"all languages: KL {each.divergence:.2f} nats, above "
                         f"{settings.warn_language_divergence:g}")
        if own := each.validation["warnings"]:
            found.append(f"{each.code}: {own} warning{'s'[:own > 1]} of its own validation")
    return found + [
        f"{cut.language}: {cut.longer} of {cut.rows} rows ({cut.share:.1%}) are longer than the "
        f"{cut.max_length} tokens that {', '.join(cut.teachers)} read; raise max_length"
        for cut in cuts if cut.share > settings.warn_truncated]


def _keys(params: Params, read: dict[str, Corpus], labels: tuple[str, ...]) -> dict[str, Any]:
    """What DVC's stages of each teacher depend on: labels, the corpora it reads, its settings."""
    def key(codes: tuple[str, ...], settings: Any = None) -> str:
        return fingerprint(labels, [(code, read[code].fingerprint) for code in codes], settings)

    return {"labels": labels, "student": key(params.languages),
            "teach": {name: key(params.taught_on(name), params.made_with(name))
                      for name in params.teachers},
            "score": {name: key(params.scored_by(name), [params.scoring.model_dump(),
                                                         params.scored_with(name)])
                      for name in params.teachers}}
