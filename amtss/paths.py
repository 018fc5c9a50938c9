"""The path of every artifact."""

from dataclasses import dataclass
from pathlib import Path

LINEAGE = ("params.yaml", "dvc.lock")
"""Files that a commit must hold to repeat the pipeline."""
CORRECTIONS = "corrections"
"""Folder of labels that annotators have corrected; it belongs into git too."""

SPLITS = ("train", "validation", "test", "unlabelled")


@dataclass(frozen=True)
class Layout:
    """Paths below a project's root; the folders are the outs of dvc.yaml."""

    root: Path = Path()

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def settings(self) -> Path:
        """params.yaml with all defaults: the params file of the other stages."""
        return self.artifacts / "settings.json"

    def corrections(self, language: str) -> Path:
        """Labels that annotators have corrected; often missing."""
        return self.root / CORRECTIONS / f"{language}.csv"

    @property
    def sources(self) -> Path:
        """A fingerprint of each language's source: the params file of stage `data`."""
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
        """The labels, and a fingerprint of what each teacher reads: the params file of `teach`."""
        return self.artifacts / "gate.json"

    def teacher(self, name: str) -> Path:
        return self.artifacts / "teachers" / name

    def tokens(self, teacher: str | None = None) -> Path:
        """Token ids of the corpora by a teacher's tokenizer, or by the student's. A cache that is
        no out of DVC: whatever is missing is computed again."""
        owner = Path("student") if teacher is None else Path("teachers") / teacher
        return self.artifacts / "tokens" / owner

    def embeddings(self, teacher: str) -> Path:
        """Texts' states by the encoder of a probe: a folder per language. A cache like `tokens`."""
        return self.artifacts / "embeddings" / teacher

    def logits(self, teacher: str, language: str) -> Path:
        return self.artifacts / "logits" / teacher / f"{language}.safetensors"

    @property
    def floor(self) -> Path:
        """Folder of the linear floor: a model per language, and `floor.json` about them."""
        return self.artifacts / "floor"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer of the student and of X-LM-Tiny."""
        return self.artifacts / "tokenizer"

    @property
    def start(self) -> Path:
        """Weights that both encoders start from, where they do not start at random."""
        return self.tokenizer / "start"

    @property
    def lengths(self) -> Path:
        """At how many tokens the student's texts are cut, and how many are."""
        return self.tokenizer / "lengths.json"

    @property
    def student(self) -> Path:
        """The distilled student, a transformers model folder with its tokenizer."""
        return self.artifacts / "student"

    @property
    def baseline(self) -> Path:
        """X-LM-Tiny, a transformers model folder with its tokenizer."""
        return self.artifacts / "baseline"

    def training(self, stage: str) -> Path:
        """Records of a training stage: `history.jsonl`, `cost.json`, the CSV files of plots."""
        return self.artifacts / "training" / stage

    def history(self, stage: str) -> Path:
        """A JSON object per epoch of a training stage."""
        return self.training(stage) / "history.jsonl"

    def checkpoints(self, stage: str) -> Path:
        """Checkpoints that an interrupted training resumes from; no out, so DVC keeps them."""
        return self.artifacts / "checkpoints" / stage

    @property
    def locks(self) -> Path:
        """Folder of lock files: one process at a time writes a stage's results."""
        return self.artifacts / "locks"

    @property
    def registered(self) -> Path:
        """The registered student that an onboarding resumes from; empty without an onboarding."""
        return self.artifacts / "registered"

    @property
    def registry_lock(self) -> Path:
        """Lock file: one process at a time changes the registered model from this checkout."""
        return self.artifacts / "registry.lock"

    @property
    def metrics(self) -> Path:
        return self.artifacts / "metrics.json"

    @property
    def summary(self) -> Path:
        """The few figures that DVC shows as metrics."""
        return self.artifacts / "summary.json"

    @property
    def evaluation(self) -> Path:
        """Folder of `predictions.csv` and the files that `dvc plots` draws from it."""
        return self.artifacts / "evaluation"

    @property
    def report(self) -> Path:
        """Folder of `report.html` and `report.md`."""
        return self.artifacts / "report"

    @property
    def drift(self) -> Path:
        """Folder of the last drift check: `drift.html`, `drift.md` and `drift.json`."""
        return self.artifacts / "drift"

    def reference(self, language: str) -> Path:
        """The student's answers on held-out rows, which `amtss drift` compares with. A cache like
        `tokens`."""
        return self.artifacts / "reference" / f"{language}.safetensors"
