"""A student, its optimiser and its rows."""

import numpy as np
import torch
from numpy.typing import NDArray

from amtss.config.schema import Distil
from amtss.distillation.examples import examples
from amtss.distillation.learner import Learner
from amtss.models import hardware
from amtss.student.model import build_student
from amtss.tokenization import encoding
from amtss.tokenization.tokenizer import load_tokenizer
from support.training import LABELS, LANGUAGES, Project


class Lesson:
    """A student, its optimiser and the train and unlabelled rows of a scored project."""

    def __init__(self, project: Project, seed: int = 0, kd_weight: float = 0.5,
                 **settings: object) -> None:
        tokenizer = load_tokenizer(str(project.layout.tokenizer))
        self.folder = project.layout.checkpoints("test")
        cache = encoding.Cache(project.layout.tokens(), tokenizer, 16)
        self.data = examples(cache, project.corpora(), ("train", "unlabelled"), LABELS)
        hardware.deterministic(seed)
        model = build_student(project.params.student, list(LANGUAGES), list(LABELS),
                              len(tokenizer), tokenizer.pad_token_id)
        self.kd_weight = kd_weight
        self.learner = Learner(model, Distil.model_validate(
            project.settings["distil"] | {"seed": seed} | settings), tokenizer.pad_token_id,
            [self.data])
        draw = np.random.default_rng(0)
        self.targets = draw.dirichlet(np.ones(3), len(self.data.labels)).astype(np.float32)

    def epoch(self, number: int, rows: NDArray[np.int64] | None = None) -> dict[str, float]:
        everything = np.arange(len(self.data.labels)) if rows is None else rows
        return self.learner.epoch(self.data, everything, self.targets, number,
                                  ((number - 1) / 4, number / 4), self.kd_weight)

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in self.learner.weights().items()}
