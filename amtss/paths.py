"""Every path of every artifact, and the one way to write any of them: whole or not at all."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

LINEAGE = ("params.yaml", "dvc.lock")
"""What a commit must hold to repeat the pipeline."""

SPLITS = ("train", "validation", "test", "unlabelled")


@dataclass(frozen=True)
class Layout:
    """Paths below a project's root. Directories are those of `dvc.yaml`'s outs."""

    root: Path = Path()

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def sources(self) -> Path:
        """A key per language of what its source holds: the params file of `data`."""
        return self.artifacts / "sources.json"

    def corpus(self, language: str) -> Path:
        """Folder of one language: `{split}.arrow` and `corpus.json`."""
        return self.artifacts / "data" / language

    def validation(self, language: str) -> Path:
        """Folder of one language's findings: `validation.json`, `validation.md`, `docs/`."""
        return self.artifacts / "validation" / language

    @property
    def gate(self) -> Path:
        """Folder of the gate's tables: `summary.md`, `appendix_a.csv`, `labels.csv`, the plot."""
        return self.artifacts / "gate"

    @property
    def gate_keys(self) -> Path:
        """Labels, and what each teacher reads as one fingerprint: the params file of `teach`."""
        return self.artifacts / "gate.json"

    def teacher(self, name: str) -> Path:
        return self.artifacts / "teachers" / name

    def tokens(self, teacher: str | None = None) -> Path:
        """Token ids of the corpora by a teacher's tokenizer, or by the student's; a cache, not an
        out: DVC leaves it alone, and what is missing is made again."""
        owner = Path("student") if teacher is None else Path("teachers") / teacher
        return self.artifacts / "tokens" / owner

    def logits(self, teacher: str, language: str) -> Path:
        return self.artifacts / "logits" / teacher / f"{language}.safetensors"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer of the student and of X-LM-Tiny."""
        return self.artifacts / "tokenizer"

    @property
    def start(self) -> Path:
        """Weights that the encoders of both begin with, where they do not begin at random."""
        return self.tokenizer / "start"

    @property
    def student(self) -> Path:
        """The distilled student, a transformers model folder with its tokenizer."""
        return self.artifacts / "student"

    @property
    def baseline(self) -> Path:
        """X-LM-Tiny, a transformers model folder with its tokenizer."""
        return self.artifacts / "baseline"

    def training(self, stage: str) -> Path:
        """What a training stage tells of itself: `history.jsonl`, `cost.json`, plots' CSV."""
        return self.artifacts / "training" / stage

    def history(self, stage: str) -> Path:
        """A JSON object per epoch of a training stage."""
        return self.training(stage) / "history.jsonl"

    def checkpoints(self, stage: str) -> Path:
        """Where an interrupted training goes on from; not an out, so DVC leaves it alone."""
        return self.artifacts / "checkpoints" / stage

    @property
    def registered(self) -> Path:
        """The registered student that an onboarding goes on from; without one, no student."""
        return self.artifacts / "registered"

    @property
    def registry_lock(self) -> Path:
        """Held by whoever changes the registered model: one at a time in this checkout."""
        return self.artifacts / "registry.lock"

    @property
    def metrics(self) -> Path:
        return self.artifacts / "metrics.json"

    @property
    def evaluation(self) -> Path:
        """Folder of `predictions.csv` and what `dvc plots` draws from it."""
        return self.artifacts / "evaluation"

    @property
    def report(self) -> Path:
        """Folder of `report.html` and `report.md`."""
        return self.artifacts / "report"
