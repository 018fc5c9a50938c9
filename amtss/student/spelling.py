"""How letters follow each other in words: of a language, or of a whole vocabulary."""

import math
from collections import defaultdict
from collections.abc import Iterable

BEFORE = 3
"""Number of letters from which the next one is predicted."""
UNSEEN = 1e-4
"""Probability of a letter that occurs in no word."""


class Ngrams:
    """A model of letters with Witten-Bell interpolation: the more often a context has been seen,
    the more it counts against shorter contexts.
    """

    def __init__(self, words: Iterable[str]) -> None:
        """Count how often each letter follows each context in `words`; each word counts once."""
        follow: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for word in words:
            for end, letter in enumerate(word):
                for start in range(max(end - BEFORE, 0), end + 1):
                    follow[word[start:end]][letter] += 1
        self._follow = {context: (dict(letters), sum(letters.values()))
                        for context, letters in follow.items()}

    def score(self, word: str) -> float:
        """Mean log-probability of the letters, each given those before it (nats); 0 for no word."""
        total = 0.0
        for end, letter in enumerate(word):
            probability = UNSEEN
            for start in range(end, max(end - BEFORE, 0) - 1, -1):
                if word[start:end] not in self._follow:
                    break
                letters, count = self._follow[word[start:end]]
                probability = ((letters.get(letter, 0) + len(letters) * probability)
                               / (count + len(letters)))
            total += math.log(probability)
        return total / max(len(word), 1)
