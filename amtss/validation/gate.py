"""Stage `gate`: compare the languages, settle the label list, and fingerprint what every teacher
reads."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from amtss import records
from amtss.config.schema import Params, Validation
from amtss.data.corpus import UNLABELLED, Corpus, load
from amtss.errors import DataError
from amtss.files import fingerprint, replacing, seal, write_json
from amtss.lookalikes import alike, printed, shown
from amtss.paths import Layout
from amtss.validation import lengths, summary, vocabulary
from amtss.validation.checks import LABELLED
from amtss.validation.labels import divergence, mean_distribution
from amtss.validation.summary import Language


def gate(params: Params, layout: Layout) -> None:
    """Compare the languages, settle the label list, and write the gate's folder and keys.

    Raises:
        DataError: a language is not validated or has errors; the label lists of the languages
            differ; validation or test contains a label that is in no language's train split.
        CheckpointError: a checkpoint does not exist or has no tokenizer, or too much of a language
            is unknown to it.
        AmtssError: a corpus or its validation is altered.
    """
    corpora = {code: load(layout, code) for code in params.languages}
    validations = {code: _validation(layout, corpus) for code, corpus in corpora.items()}
    _check_taught(params, corpora)
    labels = _settle_labels(params, corpora)
    _check_learnable(corpora, labels)
    _check_spelling(labels)
    languages = _measure(corpora, validations, labels)
    # A checkpoint that does not exist, or cannot read the texts, is found now, not after teaching.
    cuts = lengths.count(params, [*corpora.values()])
    warnings = [*_warnings(languages, labels, params.validation),
                *lengths.warnings(cuts, params.validation),
                *vocabulary.warnings(params, [*corpora.values()])]
    warnings += [f"{code}: no {split} split in the source; its {len(corpus[split]):,} rows are cut "
                 "off train" for code, corpus in corpora.items() for split in corpus.cut]
    if (unlabelled := params.data.splits.unlabelled) is not None:
        warnings += [f"{language.code}: no unlabelled split {unlabelled!r}"
                     for language in languages if not language.unlabelled[0]]
    with replacing(layout.gate) as folder:
        folder.mkdir()
        summary.write(folder, layout, languages, labels, cuts, warnings)
        seal(folder)
    write_json(layout.gate_keys, _keys(params, corpora, labels))


def _validation(layout: Layout, corpus: Corpus) -> records.Validation:
    """The language's validation.json.

    Raises:
        DataError: there is none, it belongs to another corpus, or it contains errors.
        AmtssError: it is altered.
    """
    path = layout.validation(corpus.language) / "validation.json"
    command = f"dvc repro validate@{corpus.language}"
    if not path.is_file():
        raise DataError(f"{path}: expected {corpus.language}'s validation, found none; "
                        f"run `{command}`")
    report = records.validation(layout, corpus.language)
    if report["fingerprint"] != corpus.fingerprint:
        raise DataError(f"{path}: expected the validation of corpus {corpus.fingerprint}, found "
                        f"that of {report['fingerprint']}; run `{command}`")
    if report["errors"]:
        raise DataError(f"{path}: expected no errors, found {report['errors']}; see "
                        f"{path.with_suffix('.md')}, fix the data and run `{command}`")
    return report


def _check_taught(params: Params, corpora: dict[str, Corpus]) -> None:
    """Check that no teacher is to be taught on a language without labels.

    Raises:
        DataError: one is.
    """
    for name in params.teachers:
        for code in params.taught_on(name):
            if corpora[code].without_labels:
                raise DataError(f"teachers.{name}.languages: expected languages with labelled "
                                f"training rows, found {code}, which has texts without labels "
                                f"alone; give it a train split, or name {code} in the `scores` of "
                                "teachers of other languages instead")


def _settle_labels(params: Params, corpora: dict[str, Corpus]) -> tuple[str, ...]:
    """The label list of params.yaml, else that of the sources, else the labels of all train splits.

    Raises:
        DataError: two lists differ, or there are fewer than two labels.
    """
    lists = [("params.yaml", params.data.labels),
             *((code, corpus.labels) for code, corpus in corpora.items())]
    given = [(where, labels) for where, labels in lists if labels is not None]
    for where, labels in given[1:]:
        first, expected = given[0]
        if labels != expected:
            raise DataError(f"{where}: expected the label list of {first}, {_shortened(expected)}, "
                            f"found {_shortened(labels)}; set data.labels in params.yaml and "
                            f"run `dvc repro validate@{where}`")
    settled = given[0][1] if given else tuple(sorted(
        {name for corpus in corpora.values() for name in _names(corpus, "train")}))
    if len(settled) < 2:
        raise DataError(f"all languages: expected at least 2 labels in train, found "
                        f"{_shortened(settled)}; fix data.columns.label in params.yaml")
    return settled


def _shortened(labels: tuple[str, ...]) -> str:
    return f"{len(labels)} ({', '.join(labels[:4])}{', …' if len(labels) > 4 else ''})"


def _names(corpus: Corpus, split: str) -> list[str]:
    """A split's labels; none where it is without labels."""
    return [str(name) for name in corpus[split]["label"].to_pylist() if name is not None]


def _check_learnable(corpora: dict[str, Corpus], labels: tuple[str, ...]) -> None:
    """Check that every label is in the list and has a training example in some language.

    Raises:
        DataError: one is not, or has none.
    """
    learnable = set(labels) & {name for corpus in corpora.values()
                               for name in _names(corpus, "train")}
    for code, corpus in corpora.items():
        for split in LABELLED:
            for row, name in enumerate(_names(corpus, split)):
                if name not in learnable:
                    expected = "a label of the list" if split == "train" else (
                        "a label that some language's train has")
                    raise DataError(f"{code}/{split}: expected {expected}, found {name!r} at id "
                                    f"{str(corpus[split]['id'][row])!r}; add training examples of "
                                    f"it, fix that row or data.labels in params.yaml, then run "
                                    f"`dvc repro validate@{code}`")


def _check_spelling(labels: tuple[str, ...]) -> None:
    """Check that no two labels, perhaps of two languages, print alike.

    Raises:
        DataError: two do.
    """
    for group in alike(labels):
        first, *twins = group
        for twin in twins:
            if printed(twin) == printed(first):
                raise DataError(f"all languages: expected labels that do not print alike, found "
                                f"{shown(first)} and {shown(twin)}; spell them alike in the source")


def _measure(corpora: dict[str, Corpus], validations: dict[str, records.Validation],
             labels: tuple[str, ...]) -> list[Language]:
    counts = {code: {split: _counts(corpus.label_ids(split, labels), len(labels))
                     for split in LABELLED} for code, corpus in corpora.items()}
    mean = mean_distribution(splits["train"] for splits in counts.values()
                             if splits["train"].any())
    return [Language(code, validations[code], splits,
                     divergence(splits["train"], mean) if splits["train"].any() else None,
                     corpora[code].unlabelled()) for code, splits in counts.items()]


def _counts(ids: NDArray[np.int64], labels: int) -> NDArray[np.int64]:
    """Rows per label; those without a label do not count. *Shape:* (K,)"""
    return np.bincount(ids[ids != UNLABELLED], minlength=labels)


def _warnings(languages: list[Language], labels: tuple[str, ...],
              settings: Validation) -> list[str]:
    """What a person should know before training; warnings do not stop it."""
    nowhere = set(labels).intersection(*[language.without_examples(labels) for language in languages
                                         if not language.without_labels])
    warnings = [f"all: no training example of {label}, so it cannot be learnt"
                for label in sorted(nowhere)]
    warnings += [f"all: labels that may be one: {' and '.join(map(shown, group))}"
                 for group in alike(labels)]
    for language in languages:
        code, limit = language.code, settings.warn_language_divergence
        missing = [label for label in language.without_examples(labels) if label not in nowhere]
        if language.without_labels:
            warnings.append(f"{code}: no labels to learn from; the student learns it from what its "
                            "teachers answer, and its validation is agreement with them" + (
                                "" if language.counts["test"].any() else ", and so is its test"))
        elif missing:
            warnings.append(f"{code}: no training example of {', '.join(missing)}")
        if language.divergence is not None and language.divergence > limit:
            warnings.append(f"{code}: its label distribution differs from the mean of all "
                            f"languages: KL {language.divergence:.2f} nats, above {limit:g}")
        if own := language.validation["warnings"]:
            warnings.append(f"{code}: {own} warning{'s'[:own > 1]} from its own validation")
    return warnings


def _keys(params: Params, corpora: dict[str, Corpus], labels: tuple[str, ...]) -> dict[str, Any]:
    """Hashes that DVC's stages of a teacher depend on: labels, its corpora, its settings."""
    def key(codes: tuple[str, ...], settings: Any = None) -> str:
        return fingerprint(labels, [(code, corpora[code].fingerprint) for code in codes], settings)

    # What the student starts from may follow from the teachers; see config/defaults.py.
    student = params.student.model_dump(include={"start", "teacher", "checkpoint"})
    return {"labels": labels, "student": key(params.languages, student),
            "teach": {name: key(params.taught_on(name), params.made_with(name))
                      for name in params.teachers},
            "score": {name: key(params.scored_by(name), [params.scoring.model_dump(),
                                                         params.scored_with(name)])
                      for name in params.teachers}}
