import warnings

import numpy as np

from amtss import distribution, fonts, plot
from amtss.report import figures

LABELS = ["결제 문의", "付款", "line\nbreak", "été $x$", "плата", "pay 👩\u200d💻", "\u202eturned"]


def test_a_label_is_drawn_whole_or_numbered() -> None:
    names, families, note = fonts.drawn(LABELS)
    assert families[0] == "DejaVu Sans"
    assert names[2:5] == ["line break", "été $x$", "плата"]
    assert names[5:] == ["[6]", "[7]"]
    for number, (name, label) in enumerate(zip(names, LABELS, strict=True), start=1):
        assert name in (f"[{number}]", " ".join(label.split()))
        assert (f"[{number}] {label}" in note) == (name == f"[{number}]")


def test_plain_labels_need_no_note() -> None:
    assert fonts.drawn(["pay", "ship"]) == (["pay", "ship"], ["DejaVu Sans"], "")


def test_figures_have_no_missing_glyphs() -> None:
    counts = {"ko": {label: index + 1 for index, label in enumerate(LABELS)}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot.png(figures.confusion(np.eye(len(LABELS), dtype=np.int64), LABELS, "ko"))
        plot.png(distribution.figure(counts, LABELS))
