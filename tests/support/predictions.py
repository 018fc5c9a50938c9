"""Questions to a student, and what it answers."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from amtss.data import corpus
from amtss.inference import jsonl
from amtss.inference.jsonl import Question
from amtss.inference.load import load_folder
from amtss.inference.predictor import Predictor
from support.training import LANGUAGES, Project


def questions(project: Project) -> list[Question]:
    """All test texts, languages taking turns."""
    texts = [corpus.load(project.layout, code)["test"]["text"].to_pylist() for code in LANGUAGES]
    return [Question(text, code) for row in zip(*texts, strict=True)
            for text, code in zip(row, LANGUAGES, strict=True)]


def answers(folder: Path, asked: Sequence[Question],
            load: Callable[[Path], Predictor] = load_folder) -> list[dict[str, Any]]:
    """The rows that `amtss predict` prints."""
    return [json.loads(line) for line in jsonl.answer(load, folder, asked)]
