"""Stage `score@NAME`: run one teacher, once, over the languages it scores (Equation 3)."""

import numpy as np

from amtss.config.schema import Params
from amtss.data import corpus
from amtss.errors import CheckpointError
from amtss.files import verify
from amtss.logits import cache as logits_cache
from amtss.logits.cache import Logits, origin_of
from amtss.models import hardware
from amtss.paths import SPLITS, Layout
from amtss.teachers.kinds import kind_of


@hardware.fitting("lower scoring.batch_size")
def score(params: Params, layout: Layout, name: str) -> None:
    """Write teacher `name`'s logits cache, one file per language it scores.

    Raises:
        AmtssError: the teacher's folder cannot be loaded or is altered, or it gives logits that are
            NaN or infinite.
    """
    verify(layout.teacher(name), f"dvc repro teach@{name}")
    scorer = kind_of(params, name).scorer(params, layout, name)
    for language in params.scored_by(name):
        texts = corpus.load(layout, language)
        splits = {split: Logits(texts[split]["key"].to_numpy(), scorer(texts, split))
                  for split in SPLITS if split in texts.splits}
        if not all(np.isfinite(logits.values).all() for logits in splits.values()):
            raise CheckpointError(f"{layout.teacher(name)}: expected a teacher whose logits are "
                                  f"finite, found NaN or infinite ones on {language}; set "
                                  "scoring.precision: fp32, or run "
                                  f"`dvc repro -f teach@{name}` with a lower learning rate")
        logits_cache.write(layout.logits(name, language), origin_of(params, layout, name, language),
                           splits)
