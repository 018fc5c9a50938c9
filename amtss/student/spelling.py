"""How letters follow each other in the words of a kind: a language's, or a whole vocabulary's."""

import math
from collections import defaultdict
from collections.abc import Iterable

BEFORE = 3
"""How many letters the next one hangs on."""
UNSEEN = 1e-4
"""How likely a letter is, by itself, that no word has."""


class Ngrams:
    """A model of letters, interpolated as Witten and Bell do: the more letters have been seen to
    follow some others, the more those after fewer letters before count.
    """

    def __init__(self, words: Iterable[str]) -> None:
        """Count how often a letter follows others in `words`, each taken once."""
        follow: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for word in words:
            for end, letter in enumerate(word):
                for start in range(max(end - BEFORE, 0), end + 1):
                    follow[word[start:end]][letter] += 1
        self._follow = {before: (dict(letters), sum(letters.values()))
                        for before, letters in follow.items()}

    def score(self, word: str) -> float:
        """Mean log-probability of its letters, each given those before it (nats); 0 for none."""
        total = 0.0
        for end, letter in enumerate(word):
            likely = UNSEEN
            for start in range(end, max(end - BEFORE, 0) - 1, -1):
                if word[start:end] not in self._follow:
                    break
                letters, count = self._follow[word[start:end]]
                likely = (letters.get(letter, 0) + len(letters) * likely) / (count + len(letters))
            total += math.log(likely)
        return total / max(len(word), 1)
