"""A first params.yaml: what the data are, and settings that fit their size, with comments."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from math import ceil, sqrt
from pathlib import Path
from typing import Any

from amtss import hub
from amtss.config import yaml
from amtss.config.defaults import LAYERS
from amtss.config.params import check_unedited, load_params
from amtss.data.presence import CUT
from amtss.discovery.proposal import Proposal
from amtss.errors import ParamsError
from amtss.files import write_text
from amtss.paths import Layout
from amtss.table import one_line
from amtss.temporary import temporary_folder

PLAIN = re.compile(r"[A-Za-z./][\w./-]*")
SUGGESTED = "intfloat/multilingual-e5-small"
FEW, MANY = 500, 20_000
"""Training rows of all languages from which on an encoder is tuned, and below which a frozen one
teaches beside it."""
DEEP = 8
"""Layers of a student that starts from an encoder, for pairs and for less than `MANY` rows; else
`LAYERS`."""
EXAMPLES = 35_000
"""Training examples that tune an encoder: 10 epochs of 3,500 rows, 2 of 17,500."""
DIFFERENT = 0.03
"""Test rows that one of two equally good students has right and the other wrong: 2 to 3% on
MASSIVE."""


def check(layout: Layout, place: Path, encoder: str, force: bool) -> None:
    """Check that `write` may write, before the data are read.

    Args:
        place: the folder of the data.
        encoder: hub id or folder of a pretrained encoder; empty for none.
        force: replace settings of the user's own.

    Raises:
        ParamsError: there is no pipeline here, or params.yaml is the user's own.
        CheckpointError: there is no such encoder.
    """
    if not (layout.root / "dvc.yaml").is_file():
        raise ParamsError("dvc.yaml: expected the pipeline here, found none; run in a clone of "
                          "amtss's repository: `git clone URL mine && cd mine`")
    check_unedited(layout, f"amtss init {place}", force)
    if encoder:
        hub.check("model", encoder)


def write(layout: Layout, proposal: Proposal, encoder: str) -> None:
    """Write params.yaml for a data set.

    Args:
        encoder: hub id or folder of a pretrained encoder for a teacher; empty for none.
    """
    lines = [*_head(layout, proposal), *_data(proposal, encoder), *_teachers(proposal, encoder),
             *_student(proposal, encoder), *_promotion(proposal)]
    text = "\n".join(line.rstrip() for line in lines) + "\n"
    with temporary_folder(layout.artifacts, "init") as folder:
        (folder / "params.yaml").write_text(text, encoding="utf-8")
        load_params(folder / "params.yaml")  # what we write can be read
    write_text(layout.params, text)


def advice(proposal: Proposal, encoder: str) -> Iterator[str]:
    """What an encoder would be good for, where there is none."""
    if encoder:
        return
    why = ("Pairs gain most from a pretrained encoder, as words alone tell little of them."
           if proposal.data.columns.pair else
           "A pretrained encoder would be a better teacher than words and their pieces.")
    yield f"{why} To take one, run this again with `--force --encoder {SUGGESTED}` or a folder."


def _head(layout: Layout, proposal: Proposal) -> Iterator[str]:
    rows = f"{proposal.training_rows:,}"
    yield f"# Written by `amtss init {one_line(proposal.folder)}`."
    yield (f"# Languages: {len(proposal.rows)}. Labels: {len(proposal.labels)}. Training rows: "
           f"{rows}.")
    yield "# docs/params.md explains every key; what is not here has a default."
    yield f"project: {_flow(_project(layout, proposal))}"
    yield f"languages: {_flow([*proposal.rows])}"
    yield ""


def _project(layout: Layout, proposal: Proposal) -> str:
    """A name for MLflow: the folder's, with that above it if it is a language's; or the project's
    where that says nothing."""
    place = Path(proposal.folder).resolve()
    name = layout.root.resolve().name if place.name == "data" else place.name
    if place.name in proposal.rows:
        name = f"{place.parent.name}-{name}"
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-") or "mine"


def _data(proposal: Proposal, encoder: str) -> Iterator[str]:
    data = proposal.data
    yield "data:"
    yield f"  source: {data.source}"
    yield f"  path: {_flow(data.path)}"
    if data.source == "files":
        yield f"  files: {_flow(data.files)}"
    if data.configs:
        yield f"  configs: {_flow(data.configs)}"
    columns = {key: names[0] for key in ("text", "pair", "label", "id", "language")
               if (names := getattr(data.columns, key)) and (names != (key,) or key == "label")}
    others = f"# labels may also be {', '.join(map(one_line, proposal.others))}"
    yield _commented(f"  columns: {_flow(columns)}", others if proposal.others else "")
    if not proposal.named:
        yield "  # labels: [...]             names for 0, 1, ... in this order, if you know them"
    splits = {key: name for key, name in data.splits.model_dump().items()
              if name != type(data.splits).model_fields[key].default}
    if splits:
        cut = any(set(CUT) - rows.keys() for rows in proposal.rows.values())
        yield _commented(f"  splits: {_flow(splits)}", "# what is missing is cut off train" if cut
                         else "")
    if encoder and proposal.training_rows < MANY:
        yield _commented("  mixed: 5000", "# texts a language: fewer are filled up with mixed ones")
    yield _commented("  seed: 0", "# of the rows that are cut off train, and of mixed texts")
    yield ""
    if proposal.characters > 2000:
        yield "validation:"
        yield _commented(f"  max_characters: {_round(proposal.characters)}",
                         "# the longest text fits; more count as absurd")
        yield ""


def _teachers(proposal: Proposal, encoder: str) -> Iterator[str]:
    rows = proposal.training_rows
    tuned = encoder and rows >= FEW
    if tuned:
        yield "teaching:"
        epochs = min(max(2, ceil(EXAMPLES / rows)), 20)
        yield f"  epochs: {epochs}"
        yield _commented(f"  patience: {epochs}", "# all of them: the rate falls to the end")
        yield f"  batch_size: {64 if rows >= MANY else 32}"
        yield "  learning_rate: 2.0e-4"
        yield _commented("  freeze: embeddings", "# a CPU's step costs a sixth less")
        yield ""
    yield "teachers:"
    yield _commented("  words: {kind: linear, languages: [all]}",
                     "# words and their pieces: seconds")
    checkpoint = f"languages: [all], checkpoint: {_flow(encoder)}"
    if tuned:
        yield f"  encoder: {{{checkpoint}, pooling: mean}}"
    if encoder and not (tuned and (rows >= MANY or proposal.data.columns.pair)):
        prefix = ', prefix: "query: "' if "e5" in Path(encoder).name.lower() else ""
        yield (f"  {'frozen' if tuned else 'encoder'}:".ljust(29)
               + "# as it is, under a regression: it errs differently")
        yield f"    {{kind: probe, {checkpoint}{prefix}}}"
    if not encoder:
        yield "  # A pretrained encoder, of the hub or in a folder, is a better teacher, and the"
        yield "  # student then starts from it. To get one:"
        yield f"  # amtss init {one_line(proposal.folder)} --force --encoder {SUGGESTED}"
    yield ""


def _student(proposal: Proposal, encoder: str) -> Iterator[str]:
    yield ("# The student starts from the encoder's first layers, see docs/params.md." if encoder
           else "# The student has no layers, as nothing is pretrained.")
    yield (f"# Texts have up to {proposal.tokens} tokens, roughly; without a max_length here the "
           "stages count them.")
    if encoder or len(proposal.rows) > 1:
        yield "student:"
    if encoder:
        from amtss.models.classifier import configuration

        easy = proposal.training_rows >= MANY and not proposal.data.columns.pair
        wanted = LAYERS if easy else DEEP
        found = configuration(encoder, "name another encoder").num_hidden_layers
        yield _commented(f"  layers: [{', '.join(map(str, range(min(wanted, found))))}]",
                         "# of the encoder; four answer twice as fast as eight")
    if len(proposal.rows) > 1:
        yield _commented("  heads: residual", "# one for all languages, and a difference for each")
    yield ""
    yield "baseline:"
    yield _commented(f"  teacher: {'encoder' if encoder else 'words'}",
                     "# of X-LM-Tiny, which the student is compared with")
    yield ""


def _promotion(proposal: Proposal) -> Iterator[str]:
    """Rules that the draw of the test rows alone does not break."""
    tests = [size["test"] for size in proposal.sizes.values()]
    average, language = map(_chance, (sum(tests), min(tests)))
    yield _commented("promotion:", "# points of test accuracy that a new champion may lose")
    yield _commented(f"  max_average_drop: {_between(0.3, average):g}",
                     f"# as far as chance goes with {sum(tests):,} test rows")
    yield _commented(f"  max_language_drop: {_between(1.0, language):g}",
                     f"# the smallest test has {min(tests):,}")
    yield _commented(f"  max_below_floor: {3.0 + min(round(average, 1), 5.0):g}",
                     "# a first champion may be so far below the linear floor")


def _chance(rows: int) -> float:
    """Points between two equally good students on so many test rows: two standard errors."""
    return 200 * sqrt(DIFFERENT / rows)


def _between(least: float, points: float) -> float:
    return min(max(least, ceil(10 * points) / 10), 5.0)


def _round(number: int) -> int:
    return ceil(number / 1000) * 1000


def _commented(line: str, comment: str) -> str:
    return f"{line:<27}  {comment}"


def _flow(value: str | Sequence[str] | Mapping[str, Any] | None) -> str:
    """A value on one line, with quotes where YAML would take it for something else."""
    if value is None:
        return "null"
    if isinstance(value, str):
        plain = PLAIN.fullmatch(value) and yaml.load(value) == value
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_flow(key)}: {_flow(item)}' for key, item in value.items())}}}"
    return f"[{', '.join(map(_flow, value))}]"
