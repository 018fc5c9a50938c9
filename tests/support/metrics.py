"""Invented metrics.json and history.jsonl in the form that a run writes."""

import random
from typing import Any

FIVE = ("ar", "en", "es", "fr", "ru")
SEVEN = (*FIVE, "ko", "pl")
TWENTY = (*FIVE, "pt", "ko", "pl", "de", "it", "nl", "tr", "ja", "th", "vi", "id", "he", "uk",
          "zh-CN", "zh-TW")


def figures(languages: tuple[str, ...], level: float, seed: int) -> dict[str, dict[str, float]]:
    """One model's entry in metrics.json."""
    draw = random.Random(seed)
    values: dict[str, dict[str, float]] = {"accuracy": {"average": 0.0}}
    values["accuracy"] |= {code: level + draw.uniform(-4, 4) for code in languages}
    values["accuracy"]["average"] = sum(values["accuracy"][c] for c in languages) / len(languages)
    for key, change in (("macro_f1", -3.0), ("low", -1.5), ("high", 1.5), ("ece", -80.0)):
        values[key] = {code: value + change for code, value in values["accuracy"].items()}
    return values


def metrics(languages: tuple[str, ...] = FIVE) -> dict[str, Any]:
    """A metrics.json: a teacher per language and a multilingual one."""
    student, baseline = figures(languages, 86.0, 1), figures(languages, 85.6, 2)
    teachers = {code: figures((code,), 86.4, 10 + i) for i, code in enumerate(languages)}
    teachers["multilingual"] = figures(languages, 86.2, 3)
    best = {code: "multilingual" if i % 2 else code for i, code in enumerate(languages)}
    models = ["student", "baseline", "floor", *(f"teachers.{name}" for name in teachers)]
    paired = {code: {"difference": (d := student["accuracy"][code] - baseline["accuracy"][code]),
                     "low": d - 0.8, "high": d + 0.8, "p": 0.3 if abs(d) < 0.8 else 0.01}
              for code in ("average", *languages)}
    return {
        "student": student, "baseline": baseline, "mixture": figures(languages, 87.1, 4),
        "floor": figures(languages, 83.0, 5),
        "teachers": teachers, "best_teacher": best, "paired": paired,
        "selective": {level: {"coverage": dict.fromkeys(("average", *languages), coverage),
                              "accuracy": dict.fromkeys(("average", *languages), coverage + 9)}
                      for level, coverage in (("90", 97.5), ("95", 84.25))}
        | {"99": {"coverage": dict.fromkeys(("average", *languages), 0.0), "accuracy": {}}},
        "untold": {"languages": dict.fromkeys(("average", *languages), 98.75),
                   "accuracy": {code: value - 0.125 for code, value
                                in student["accuracy"].items()}},
        "advice": ["distil.kd_weight: 2 or 3", "distil.max_epochs: 8 or more"],
        "sizes": {name: {"parameters": 4_012_345 + 1000 * i, "bytes": 16_049_380 + i,
                         "architecture": f"xlm-roberta, {3 + (i < 2)} layers"}
                  for i, name in enumerate(models)},
        "cost": {name: {"examples": 345_000 + i, "seconds": 200.1 + i, "epochs": 6,
                        "best_epoch": 5} for i, name in enumerate(models)},
        "measured": {"student": "0" * 16, "test": dict.fromkeys(languages, "0" * 16)},
    }


def onboarded(languages: tuple[str, ...] = (*FIVE, "ko", "pl"), new: tuple[str, ...] = ("ko", "pl"),
              version: int = 3) -> dict[str, Any]:
    """A metrics.json of an onboarding of `new`; the baseline is its first version."""
    given, old = metrics(languages), tuple(code for code in languages if code not in new)
    given["baseline"] = figures(old, 85.6, 2)
    given["paired"] = {code: given["paired"][code] for code in ("average", *old)}
    given["cost"]["baseline"] = {"examples": 0, "seconds": 0.0, "epochs": 0, "best_epoch": 0}
    return given | {"onboarded": {"version": version, "languages": list(new)}}


def history(languages: tuple[str, ...] = FIVE, epochs: int = 6) -> list[dict[str, Any]]:
    """A student's history.jsonl: top-3 languages after the first epoch."""
    draw, rows, selected = random.Random(5), [], list(languages)
    mixture = {code: 85 + draw.uniform(-3, 3) for code in languages}
    for epoch in range(1, epochs + 1):
        accuracy = {c: mixture[c] - 14 / epoch + draw.uniform(-1.5, 1.5) for c in languages}
        margin = {c: mixture[c] - accuracy[c] for c in languages}
        ranked = sorted(languages, key=lambda code, of=margin: -of[code])
        rows.append({
            "epoch": epoch, "examples": 57_000, "seconds": 31.2, "loss": 2 / epoch,
            "hard_loss": 1 / epoch, "soft_loss": 2 / epoch, "learning_rate": 1e-3,
            "accuracy": accuracy, "average": sum(accuracy.values()) / len(accuracy),
            "margin": margin, "rank": {code: i for i, code in enumerate(ranked)},
            "selected": selected, "mixing": "geometric",
            "weights": {**{code: {code: 0.35} for code in languages},
                        "multilingual": dict.fromkeys(languages, 0.65)},
            "skill": {code: [720, 600, 100, 30.0, 25.0] for code in languages},
            "best": epoch in (1, 3, epochs - 1)})
        selected = ranked[:3]
    return rows
