"""Score a file of texts: `amtss predict --data FILE --out FILE`.

The rows are scored a chunk at a time, and each chunk is written as a part beside the output. A run
that was interrupted goes on behind the last part; at the end the parts are joined to the output,
which is replaced whole or not at all.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from typing_extensions import TypedDict

import amtss
from amtss import files, processes, progress
from amtss.errors import DataError
from amtss.inference import jsonl
from amtss.inference.answers import answer
from amtss.inference.jsonl import Question, Refuse
from amtss.inference.predictor import Predictor
from amtss.inference.rows import FORMATS, Answer, Chunk, Format
from amtss.locks import alone

SIZE = 2_000
"""Rows of a chunk: what an interruption costs at most."""
STATE = "state.json"
"""In the folder of the parts: what they were made from."""
PARTS = "*.part"


@dataclass(frozen=True)
class Request:
    """What to score, and where the answers go."""

    data: Path
    out: Path
    language: str | None = None
    """Of rows that name none in a column `lang`; None or `auto` recognises it."""
    pair: str | None = None
    """Of rows that have none in a column `pair`."""
    column: str = "text"
    """The column with the texts."""
    prefix: str = ""
    """What the names of the new columns begin with."""
    min_accuracy: float | None = None
    """As in `Predictor.predict`."""

    @property
    def format(self) -> Format:
        return FORMATS[self.data.suffix]

    @property
    def parts(self) -> Path:
        """The folder of the parts until they are joined."""
        return self.out.with_name(f"{self.out.name}.parts")

    def chunks(self) -> Iterator[Chunk]:
        """The rows of `data`."""
        return self.format.read(self.data, (self.column, "lang", "pair"), SIZE)


class Scored(NamedTuple):
    """What `score` has done."""

    rows: int
    before: int
    """Rows that an interrupted run had scored."""
    refused: int
    """Rows that cannot be answered, whose new columns are null."""


class _State(TypedDict):
    """state.json: fingerprints of what the parts were made from."""

    data: str
    model: str
    settings: str


def score(request: Request, predictor: Predictor, model: Path, refuse: Refuse = jsonl.stop
          ) -> Scored:
    """Write the rows of `request.data` to `request.out`, each with its answer in new columns.

    All rows are checked before the first is answered. Goes on where an interrupted run has ended,
    if the data, the model and the settings are the same; then the result is the same too.

    Args:
        model: the folder that `predictor` was loaded from.
        refuse: called with the error of each row that cannot be answered.

    Raises:
        DataError: the data cannot be read; or a row cannot be answered, and `refuse` raises it.
        AmtssError: the file system refuses.
    """
    _check(request)
    parts = request.parts
    try:
        with alone(parts / "lock", f"another process is scoring into {parts}; waiting until it has "
                                   "ended"):
            try:
                return _score(request, predictor, model, refuse)
            finally:
                if not any(parts.glob(PARTS)):  # nothing to go on with
                    shutil.rmtree(parts, ignore_errors=True)
    except OSError as error:
        raise files.refused(request.out, error) from error


def _score(request: Request, predictor: Predictor, model: Path, refuse: Refuse) -> Scored:
    schema, written = answer_schema(predictor.labels, request), _written(request.data)
    rows = refused = 0
    for chunk in request.chunks():
        _check_names(chunk, schema.names)
        answered = len(_questions(chunk, request, predictor, refuse)[0])
        rows, refused = rows + len(chunk.rows), refused + len(chunk.rows) - answered
    before = _write_parts(request, predictor, schema, _done(request, model), rows)
    if _written(request.data) != written:
        raise DataError(f"{request.data}: expected it to stay as it was, found it changed while it "
                        "was scored; run the same command again")
    with files.replacing(request.out) as temporary:
        request.format.join(sorted(request.parts.glob(PARTS)), temporary)
    shutil.rmtree(request.parts, ignore_errors=True)
    return Scored(rows, before, refused)


def _written(path: Path) -> tuple[int, int]:
    """Size of a file and when it was written last."""
    about = path.stat()
    return about.st_size, about.st_mtime_ns


def _check(request: Request) -> None:
    """Check the names of the files.

    Raises:
        DataError: they have the wrong suffixes, or are the same file, or there are no data.
    """
    if request.data.suffix not in FORMATS:
        raise DataError(f"--data: expected a name that ends in {' or '.join(FORMATS)}, found "
                        f"{request.data}; convert the file")
    if not request.data.is_file():
        raise DataError(f"{request.data}: expected a file, found none; correct --data")
    if request.out.suffix != request.data.suffix:
        raise DataError(f"--out: expected a name that ends in {request.data.suffix}, as that of "
                        f"--data does, found {request.out}; correct it")
    if request.out.is_dir() or (request.out.exists() and request.out.samefile(request.data)):
        raise DataError(f"{request.out}: expected a file other than that of --data, found "
                        f"{'a folder' if request.out.is_dir() else 'the same'}; correct --out")


def answer_schema(labels: Sequence[str], request: Request) -> pa.Schema:
    """The columns that an answer brings. `lang` is filled in where the data have one."""
    columns = {"label": pa.string(),
               **({} if request.min_accuracy is None else {"best": pa.string()}),
               "score": pa.float64(),
               "probabilities": pa.struct([(label, pa.float64()) for label in labels]),
               "lang": pa.string(), "lang_probability": pa.float64()}
    return pa.schema([(request.prefix + name, kind) for name, kind in columns.items()])


def _check_names(chunk: Chunk, new: Sequence[str]) -> None:
    """Check that no row has a column of a new one's name.

    Raises:
        DataError: one has.
    """
    own = chunk.table.column_names if chunk.table is not None else ()
    for row, where in zip(chunk.rows, chunk.where, strict=True):
        if taken := [name for name in new if name != "lang" and (name in row or name in own)]:
            raise DataError(f"{where}: expected no column {taken[0]!r}, which the answers bring, "
                            "found one; give theirs other names, as by --prefix predicted_")


def _questions(chunk: Chunk, request: Request, predictor: Predictor, refuse: Refuse
               ) -> tuple[list[int], list[Question]]:
    """Which rows of a chunk can be answered, and their questions; the others are refused."""
    found: list[tuple[int, Question]] = []
    for at, (row, where) in enumerate(zip(chunk.rows, chunk.where, strict=True)):
        try:
            question = jsonl.question(row, where, request.language, request.pair, request.column)
        except DataError as error:
            refuse(error)
        else:
            found += [(at, one) for one in jsonl.answerable([question], predictor, refuse)]
    return [at for at, _ in found], [question for _, question in found]


def _done(request: Request, model: Path) -> int:
    """How many parts an interrupted run has left. Parts of other data, another model or other
    settings are removed first."""
    parts = request.parts
    state = _State(
        data=files.fingerprint(files.contents([request.data])),
        model=files.fingerprint(files.contents(files.visible(model))),
        settings=files.fingerprint(amtss.__version__, SIZE, request.language, request.pair,
                                   request.column, request.prefix, request.min_accuracy))
    if (parts / STATE).is_file():
        old = files.read_json(parts / STATE, _State, "amtss predict --data")
        changed = [key for key, value in state.items() if old.get(key) != value]
        if not changed:
            return len(list(parts.glob(PARTS)))
        processes.warn(f"{parts}: begun with other {', '.join(changed)}; starting anew")
    for part in parts.glob(PARTS):
        part.unlink()
    files.write_json(parts / STATE, state)
    return 0


def _write_parts(request: Request, predictor: Predictor, schema: pa.Schema, done: int, rows: int
                 ) -> int:
    """Score the chunks behind the first `done`; returns the number of rows in those."""
    before = 0
    with progress.bar(rows, "rows") as advance:
        for number, chunk in enumerate(request.chunks()):
            if number < done:
                before += len(chunk.rows)
            else:
                answers = _answers(chunk, request, predictor, schema.names)
                with files.replacing(request.parts / f"{number:08d}.part") as temporary:
                    request.format.write(temporary, chunk, answers, schema)
            advance(len(chunk.rows))
    return before


def _answers(chunk: Chunk, request: Request, predictor: Predictor, names: Sequence[str]
             ) -> list[Answer]:
    """The new columns of each row; null where it cannot be answered."""
    at, asked = _questions(chunk, request, predictor, lambda error: None)
    predictions = predictor.predict([question.text for question in asked],
                                    [question.language for question in asked],
                                    [question.pair for question in asked], request.min_accuracy)
    answers: list[Answer] = [{**dict.fromkeys(names), **_own_language(row, names)}
                             for row in chunk.rows]
    for row, prediction in zip(at, predictions, strict=True):
        found = {"lang": prediction.language, "lang_probability": None,
                 **answer(prediction, request.min_accuracy is not None)}
        answers[row] = {name: found[name.removeprefix(request.prefix)] for name in names}
    return answers


def _own_language(row: Mapping[str, Any], names: Sequence[str]) -> Answer:
    """What a row without an answer keeps in the column that answers fill in."""
    return {"lang": row["lang"]} if "lang" in names and isinstance(row.get("lang"), str) else {}
