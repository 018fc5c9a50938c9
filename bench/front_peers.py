"""What users pick instead of a student, for `front.py`, trained on the same texts.

All answer on one thread. Where a side has a model of each language, the language is given, as it is
to the students.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from front_students import Answer, Task

TOKENS = 48
"""Where the look-up cuts texts, as the students do."""


def by_fasttext(task: Task) -> tuple[Answer, int]:
    """A supervised model of each language: words, pairs of words, two to four letters."""
    import fasttext

    models, size = {}, 0
    for language in task.languages:
        path = task.work / f"fasttext-{language}"
        if not path.exists():
            rows = zip(*task.read(language, "train"), strict=True)
            lines = path.with_suffix(".txt")
            lines.write_text("".join(f"__label__{label} {text}\n" for text, label in rows),
                             encoding="utf-8")
            fasttext.train_supervised(str(lines), dim=50, epoch=25, lr=0.5, wordNgrams=2, minn=2,
                                      maxn=4, bucket=200_000, thread=1, verbose=0, seed=0
                                      ).save_model(str(path))
        models[language] = fasttext.load_model(str(path))
        size += path.stat().st_size

    def answer(language: str, texts: list[str]) -> list[str]:
        return [label.removeprefix("__label__") for label, in models[language].predict(texts)[0]]

    return answer, size


def by_words(task: Task) -> tuple[Answer, int]:
    """TF-IDF of words and letters and a linear SVM of scikit-learn, for each language."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    models, size = {}, 0
    for language in task.languages:
        features = make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2))
        models[language] = make_pipeline(features, LinearSVC(C=0.3)).fit(
            *task.read(language, "train"))
        weights = models[language][-1].coef_
        size += 4 * weights.size + sum(len(name) for name in features.get_feature_names_out())

    def answer(language: str, texts: list[str]) -> Sequence[str]:
        labels: Sequence[str] = models[language].predict(texts)
        return labels

    return answer, size


def by_look_up(task: Task) -> tuple[Answer, int]:
    """Model2Vec's look-up with a logistic regression of each language on it."""
    from model2vec import StaticModel
    from sklearn.linear_model import LogisticRegression

    assert task.encoder is not None
    vectors, mapping, tokenizer = _token_vectors(task, task.encoder)
    model = StaticModel(vectors, tokenizer, token_mapping=mapping, normalize=True)
    heads = {}
    for language in task.languages:
        texts, labels = task.read(language, "train")
        heads[language] = LogisticRegression(C=30, max_iter=300).fit(
            model.encode(texts, max_length=TOKENS), labels)

    def answer(language: str, texts: list[str]) -> Sequence[str]:
        found: Sequence[str] = heads[language].predict(model.encode(texts, max_length=TOKENS))
        return found

    return answer, vectors.nbytes + sum(head.coef_.nbytes for head in heads.values())


def _token_vectors(task: Task, encoder: Path) -> tuple[Any, Any, Any]:
    """As Model2Vec distils them: an encoder's state of each token alone, 256 principal components,
    weights by how rare the token is. Tokens that no training text has share one row."""
    import numpy as np
    import torch
    from sklearn.decomposition import PCA
    from tokenizers import Tokenizer
    from transformers import AutoModel

    tokenizer = Tokenizer.from_file(str(encoder / "tokenizer.json"))
    tokenizer.no_truncation()
    texts = [text for language in task.languages for text in task.read(language, "train")[0]]
    encoded = [row.ids for row in tokenizer.encode_batch(texts, add_special_tokens=False)]
    used, counts = np.unique(np.concatenate(encoded), return_counts=True)
    path = task.work / "token-vectors.npy"
    if not path.exists():
        start, *_, end = tokenizer.encode("a").ids
        model = AutoModel.from_pretrained(encoder).eval()
        with torch.inference_mode():
            states = [model(torch.tensor([[start, token, end] for token in part.tolist()])
                            ).last_hidden_state.mean(1).numpy()
                      for part in np.array_split(used, len(used) // 256 + 1)]
        np.save(path, PCA(256, random_state=0).fit_transform(np.concatenate(states)))
    vectors = np.load(path)
    mapping = np.full(tokenizer.get_vocab_size(), len(used))
    mapping[used] = np.arange(len(used))
    rare = 1e-3 / (1e-3 + counts[:, None] / counts.sum())
    unused = np.zeros((1, vectors.shape[1]))
    return np.vstack([vectors * rare, unused]).astype(np.float32), mapping, tokenizer
