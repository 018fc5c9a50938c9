"""Files of a drift check: drift.html, drift.md with the result alone, and drift.json."""

from collections.abc import Mapping
from pathlib import Path

from amtss import fonts, plot
from amtss.config.schema import Params
from amtss.drift import figures, tables
from amtss.drift.drift import Compared, record
from amtss.files import replacing, write_json
from amtss.paths import Layout
from amtss.report import page
from amtss.report.page import Picture, Section


def write(params: Params, layout: Layout, compared: Mapping[str, Compared], model: Path) -> None:
    """Write the folder `artifacts/drift`, whole or not at all."""
    title = f"Drift: {params.project}"
    result, pictures = _result(params, compared), _pictures(compared)
    with replacing(layout.drift) as folder:
        folder.mkdir()
        (folder / "drift.html").write_text(page.html(title, [result, *pictures]), encoding="utf-8")
        (folder / "drift.md").write_text(page.markdown(title, [result]), encoding="utf-8")
        write_json(folder / "drift.json", record(compared, model))


def _result(params: Params, compared: Mapping[str, Compared]) -> Section:
    words = tables.sentences(compared)
    return Section("Result", (tables.headline(compared), *([words] if words else []),
                              tables.table(compared, params.drift)))


def _pictures(compared: Mapping[str, Compared]) -> list[Section]:
    chosen = figures.most_changed(compared)
    left_out = len(next(iter(compared.values())).shares) - len(chosen)
    note = f" {left_out} labels that changed less are left out." if left_out else ""
    drawn = {
        "Labels": (figures.labels(compared, chosen), "Shares of the labels that the student gives, "
                   f"before and now.{note}{fonts.drawn(chosen).note}"),
        "Confidence": (figures.confidence(compared), "Share of the texts whose labels are less "
                       "probable than that, before and now."),
        "Lengths": (figures.length(compared), "Share of the texts that have fewer tokens than "
                    "that, before and now.")}
    return [Section(title, (Picture(title.lower(), caption, plot.png(figure)),))
            for title, (figure, caption) in drawn.items()]
