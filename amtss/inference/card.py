"""The model card of a student: README.md in the hub's format."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import amtss
from amtss.config.schema import ALL
from amtss.files import write_text
from amtss.inference import load_code
from amtss.inference.facts import Facts, Language
from amtss.table import NONE, Table, escaped, markdown

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

FILE = "README.md"
Kind = Literal["transformers", "onnx", "onnx-int8", "onnx-int4", "student"]
LIBRARY: dict[Kind, str] = {"transformers": "transformers", "student": "amtss"}
"""By kind of folder, as the hub calls it; the others are `onnx`."""
HOLDS: dict[Kind, str] = {
    "transformers": "a checkpoint of transformers",
    "student": "the student as amtss has trained it", "onnx": "it for onnxruntime",
    "onnx-int8": "it for onnxruntime, with weights of 8 bits",
    "onnx-int4": "it for onnxruntime, with weights of 4 and 8 bits"}
SPLITS = ("train", "validation", "test", "unlabelled", "mixed")
NAMES = {"floor": "Linear floor", "mixture": "Teachers, mixed", "baseline": "X-LM-Tiny"}
FEW = 0.0005
"""Shares below it would be shown as 0.0%."""


@dataclass(frozen=True)
class Model:
    """What lies beside the card."""

    kind: Kind
    labels: Sequence[str]
    languages: Sequence[str]
    max_tokens: int
    facts: Facts | None
    """None for a student that has not been evaluated; only those of `languages` are shown."""
    place: str = ""
    """A repository of the hub that the folder goes to, or the URI of a registered version."""


def write(folder: Path, model: Model) -> None:
    """Write the card into a folder. `seal` should come first, so that the card may be edited.

    Equal models give equal bytes.
    """
    write_text(folder / FILE, content(model))


def content(model: Model) -> str:
    """The card's text: metadata in YAML, then Markdown."""
    code = load_code.lines(model.kind, model.languages, model.place)
    parts = [f"# {escaped(model.facts['project'] if model.facts else 'A student')}", _about(model),
             f"## How to load it\n\n```python\n{code}```"]
    if model.facts is None:
        parts.append("## Results\n\nThis student had not been evaluated when it was exported. "
                     "`dvc repro` evaluates it; then export it again.")
    else:
        parts += [f"## Results\n\n{markdown(_accuracies(model.facts, model.languages))}".rstrip(),
                  f"## Data\n\n{_data(model.facts, model.languages)}".rstrip(),
                  f"## Teachers\n\n{markdown(_teachers(model.facts, model.languages))}".rstrip()]
    parts += ["## Limits\n\n" + "\n".join(f"- {limit}" for limit in _limits(model)),
              "## Labels\n\n" + ", ".join(map(escaped, model.labels))]
    return f"---\n{_metadata(model).to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n"


def _metadata(model: Model) -> "ModelCardData":
    from huggingface_hub import ModelCardData

    facts = model.facts
    codes = dict.fromkeys(code.partition("-")[0].lower() for code in model.languages
                          if code != ALL)
    return ModelCardData(
        language=list(codes) or None, library_name=LIBRARY.get(model.kind, "onnx"),
        pipeline_tag="text-classification", tags=["amtss", "text-classification", "distillation"],
        base_model=facts["base"] if facts else None,
        datasets=[facts["hub"]] if facts and facts["hub"] else None,
        metrics=["accuracy"] if facts else None,
        model_name=facts["project"] if facts else None,
        eval_results=list(_results(facts, model.languages)) if facts else None)


def _results(facts: Facts, languages: Sequence[str]) -> "Iterator[EvalResult]":
    from huggingface_hub import EvalResult

    for code in languages:
        if not facts["languages"][code]["accuracy"]:
            continue
        yield EvalResult(
            task_type="text-classification", dataset_type=facts["hub"] or facts["project"],
            dataset_name=facts["project"], dataset_config=code, dataset_split="test",
            metric_type="accuracy", metric_name="accuracy, %",
            metric_value=round(facts["languages"][code]["accuracy"]["student"], 2))


def _about(model: Model) -> str:
    codes = ", ".join(model.languages)
    return (f"A classifier of texts in {escaped(codes)} into {len(model.labels)} labels, distilled "
            f"from several teachers into one small student by amtss {amtss.__version__}. This "
            f"folder holds {HOLDS[model.kind]}.")


def _accuracies(facts: Facts, languages: Sequence[str]) -> Table:
    rows = []
    for code in languages:
        figures = facts["languages"][code]
        others = [figures["accuracy"].get(name) for name in NAMES]
        known = "student" in figures["accuracy"]
        rows.append((code, f"{figures['accuracy']['student']:.2f}" if known else NONE,
                     f"{figures['low']:.1f} to {figures['high']:.1f}" if known else NONE,
                     *(NONE if other is None else f"{other:.2f}" for other in others)))
    old = f"version {facts['onboarded']['version']}" if "onboarded" in facts else NAMES["baseline"]
    return Table("", ("Language", "This student", "95% interval", NAMES["floor"], NAMES["mixture"],
                      old), tuple(rows), (
        "Accuracy on test in percent, of the student in PyTorch in full precision. Linear floor: a "
        "linear model per language, taught on the labelled rows alone. Teachers, mixed: what the "
        "student learnt from. X-LM-Tiny: a student of the same size and of one teacher.",))


def _data(facts: Facts, languages: Sequence[str]) -> str:
    source = escaped(facts["hub"] or facts["source"])
    texts = {code: facts["languages"][code]["texts"] for code in languages}
    rows = tuple((code, *(f"{own['rows'][split]:,}" for split in SPLITS))
                 for code, own in texts.items() if own)
    if not rows:
        return f"Source: {source}."
    header = ("Language", *(f"{split.capitalize()} rows" for split in SPLITS))
    return f"Source: {source}.\n\n" + markdown(Table("", header, rows, (
        "Unlabelled rows have taught by the teachers' answers alone. Mixed rows are unlabelled "
        "ones, put together from the training texts.",)))


def _teachers(facts: Facts, languages: Sequence[str]) -> Table:
    rows = [(name, teacher["kind"], teacher["checkpoint"] or NONE,
             ", ".join(code for code in languages if code in teacher["languages"]))
            for name, teacher in facts["teachers"].items()]
    return Table("", ("Teacher", "Kind", "Checkpoint", "Languages"),
                 tuple(row for row in rows if row[-1]))


def _limits(model: Model) -> Iterator[str]:
    """What the figures say against the student, in sentences of Markdown."""
    shown = model.facts["languages"] if model.facts else {}
    figures = {code: shown[code] for code in model.languages if code in shown}
    gaps = {code: of["accuracy"]["student"] - of["accuracy"]["floor"]
            for code, of in figures.items() if "floor" in of["accuracy"]}
    if unknown := [code for code, of in figures.items() if not of["accuracy"]]:
        yield f"It has learnt {', '.join(unknown)} without labels: its accuracy there is unknown."
    if below := [f"{code} ({gap:+.2f} points)" for code, gap in gaps.items() if gap < 0]:
        yield (f"It is below the linear floor in {', '.join(below)}: there a linear model would do "
               "better.")
    elif gaps:
        yield "It is below the linear floor in none of its languages."
    yield (f"It reads the first {model.max_tokens} tokens of a text; the rest is cut off"
           f"{_shares(figures, 'cut', 'of the test texts')}.")
    if lost := _shares(figures, "unknown", "of the tokens of test"):
        yield f"It does not know every character: unknown are {lost.removeprefix(': ')}."
    yield ("It gives one of its labels to every text, also to one that none of them fits or that is"
           " in a language that it has not learnt"
           f"{'' if model.kind == 'transformers' else ', unless `min_accuracy` is asked for'}.")
    if model.kind in ("onnx-int8", "onnx-int4"):
        yield (f"Its weights are rounded to {model.kind.removeprefix('onnx-int')} bits: some "
               "answers differ from those that were measured.")
    yield ("No licence is stated here. Those of the data and of the teachers' checkpoints may bind "
           "whoever uses the student, as where they forbid commercial use.")


def _shares(figures: Mapping[str, Language], key: Literal["cut", "unknown"], of: str) -> str:
    """Where a share is worth telling."""
    texts = {code: own["texts"] for code, own in figures.items()}
    shares = [f"{own[key]:.1%} {of} of {code}" for code, own in texts.items()
              if own and own[key] >= FEW]
    return f": {', '.join(shares)}" if shares else ""
