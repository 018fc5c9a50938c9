"""A linear classifier of texts: TF-IDF of characters and words under a linear SVM, calibrated.

Texts of a chatbot are short, and words and pieces of words carry most of their signal. Such a model
is taught in seconds on a CPU and errs differently from a transformer, which makes it a good member
of a pool of teachers. It is also what a user would try first: the floor for every student.

Shapes: N texts, F features, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from amtss import records
from amtss.errors import CheckpointError, first_line
from amtss.files import read_json, write_json
from amtss.teachers.head import Head, calibrated, certain, check_finite, restored

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

ARCHITECTURE = "TF-IDF, linear SVM"
FEATURES = "features.json"
ANALYZERS: dict[str, dict[str, Any]] = {
    "characters": {"analyzer": "char_wb", "ngram_range": (1, 5), "min_df": 2},
    "words": {"token_pattern": r"(?u)\b\w+\b", "ngram_range": (1, 2)}}
"""The two sets of features, as arguments of scikit-learn's TfidfVectorizer."""


@dataclass(frozen=True)
class LinearModel:
    """A fitted model. Immutable, and safe to use from many threads."""

    vectorizers: dict[str, "TfidfVectorizer"]
    """By the names of `ANALYZERS`."""
    head: Head
    regularisation: float
    """The SVM's C that was chosen."""

    @property
    def parameters(self) -> int:
        """How many numbers it has learnt, those of TF-IDF included."""
        return int(self.head.parameters
                   + sum(vectorizer.idf_.size for vectorizer in self.vectorizers.values()))

    def log_probabilities(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Calibrated log-probabilities of every class. *Shape:* (N, C)"""
        return self.head.log_probabilities(_features(self.vectorizers, texts))


def save(models: Mapping[str, LinearModel], folder: Path) -> None:
    """Write models into `folder`, which must exist, by their names: tensors and JSON, no pickle."""
    from safetensors.numpy import save_file

    tensors: dict[str, NDArray[np.float32]] = {}
    features: dict[str, Any] = {}
    for name, model in models.items():
        tensors |= {f"{name}.{key}": tensor for key, tensor in model.head.tensors.items()}
        tensors |= {f"{name}.idf.{kind}": vectorizer.idf_
                    for kind, vectorizer in model.vectorizers.items()}
        features[name] = {**model.head.about, "regularisation": model.regularisation,
                          "vocabulary": {kind: _terms(vectorizer) for kind, vectorizer
                                         in model.vectorizers.items()}}
    save_file({name: np.ascontiguousarray(tensor, dtype=np.float32)
               for name, tensor in tensors.items()}, folder / "model.safetensors")
    write_json(folder / FEATURES, {"models": features})


def load(folder: Path, command: str) -> dict[str, LinearModel]:
    """The models that `save` wrote, by their names.

    Args:
        command: writes the folder again; for the message of an error.

    Raises:
        AmtssError: a file is missing, truncated, does not fit the other, or has NaN in it.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    features = read_json(folder / FEATURES, records.Linear, command)["models"]
    try:
        tensors = load_file(folder / "model.safetensors")
        check_finite(tensors)
        return {name: _loaded({key.removeprefix(f"{name}."): tensor
                               for key, tensor in tensors.items() if key.startswith(f"{name}.")},
                              about) for name, about in features.items()}
    except (OSError, KeyError, TypeError, ValueError, AttributeError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: expected a whole linear model, found: "
                              f"{first_line(error)}; run `{command}`") from error


def _loaded(tensors: dict[str, NDArray[np.float32]],
            about: records.LinearFeatures) -> LinearModel:
    vectorizers = {kind: _restored(kind, terms, tensors[f"idf.{kind}"])
                   for kind, terms in about["vocabulary"].items()}
    return LinearModel(vectorizers, restored(tensors, about), float(about["regularisation"]))


def fit(texts: Sequence[str], labels: NDArray[np.int64], held_out: Sequence[str],
        held_out_labels: NDArray[np.int64], classes: int,
        candidates: Sequence[float]) -> LinearModel:
    """A model of `texts`: its C is chosen, and its probabilities are calibrated, on `held_out`.

    Args:
        labels: of `texts`, at least two different ones. *Shape:* (N,)
        held_out: validation texts.
        classes: how many classes there are, with those that `texts` do not have.
        candidates: values of the SVM's C to choose from, by accuracy.
    """
    from sklearn.svm import LinearSVC

    vectorizers = {name: _fitted(name, texts) for name in ANALYZERS}
    rows, held_out_rows = _features(vectorizers, texts), _features(vectorizers, held_out)
    if len(set(labels.tolist())) == 1:  # there is nothing to learn
        head = certain(int(labels[0]), classes, len(texts), rows.shape[1])
        return LinearModel(vectorizers, head, candidates[0])
    best = max((LinearSVC(C=c, random_state=0).fit(rows, labels) for c in candidates),
               key=lambda svm: svm.score(held_out_rows, held_out_labels))
    return LinearModel(vectorizers, calibrated(best, classes, len(texts), held_out_rows,
                                               held_out_labels), best.C)


def _vectorizer(name: str, **options: Any) -> "TfidfVectorizer":
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, **ANALYZERS[name], **options)


def _fitted(name: str, texts: Sequence[str]) -> "TfidfVectorizer":
    """With its vocabulary in order and idf in fp32, as `save` keeps them."""
    fitted = _vectorizer(name).fit(texts)
    return _restored(name, _terms(fitted), fitted.idf_.astype(np.float32))


def _terms(vectorizer: "TfidfVectorizer") -> list[str]:
    """The vocabulary, in the order of the features."""
    return [str(term) for term in vectorizer.get_feature_names_out()]


def _restored(name: str, vocabulary: list[str], idf: NDArray[np.float32]) -> "TfidfVectorizer":
    vectorizer = _vectorizer(name, vocabulary=vocabulary)
    vectorizer.idf_ = idf
    return vectorizer


def _features(vectorizers: dict[str, "TfidfVectorizer"], texts: Sequence[str]) -> Any:
    """Both sets of features side by side, a sparse matrix. *Shape:* (N, F)"""
    from scipy.sparse import hstack

    return hstack([vectorizer.transform(texts) for vectorizer in vectorizers.values()],
                  format="csr")
