"""What a server or a file says of a prediction."""

from typing import Any

from amtss.inference.predictor import Prediction


def answer(prediction: Prediction, abstaining: bool) -> dict[str, Any]:
    """`label`, its `score` and the `probabilities` of all labels; `lang` and `lang_probability`
    where the language was recognised.

    Args:
        abstaining: whether an accuracy was asked for. Then `best` is the most probable label, and
            `label` is None where that is not sure enough.
    """
    sure = prediction.language_probability
    return {"label": prediction.label, **({"best": prediction.best} if abstaining else {}),
            "score": prediction.score, "probabilities": prediction.probabilities,
            **({} if sure is None else {"lang": prediction.language, "lang_probability": sure})}
