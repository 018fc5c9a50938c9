"""The tables of what `serving.py` has measured."""

from typing import Any

from amtss.table import NONE, Table


def tables(made: dict[str, Any]) -> list[Table]:
    """Speed for each number of threads and batch size; then accuracy; then five processes."""
    runs = {(run["threads"], run["batch"], run["tokenising"]): run["sides"]
            for run in made["runs"]}
    shown = [_speed(made, threads, batch, sides, runs[threads, batch, False])
             for (threads, batch, tokenising), sides in runs.items() if tokenising]
    return [*shown, _processes(made), _accuracy(made)]


def _speed(made: dict[str, Any], threads: int, batch: int, sides: dict[str, Any],
           tokens: dict[str, Any]) -> Table:
    """p50 and p99 are of a batch."""
    rows = []
    for name, told in sides.items():
        own = f"{name.rpartition(',')[0]}, PyTorch"
        teacher = next(iter(told["times"]))
        rows.append((name, _megabytes(made["sides"][name]["bytes"]),
                     _megabytes(made["sides"][name]["rss"]), f"{told['p50']:.2f}",
                     f"{told['p99']:.2f}", f"{told['texts_per_second']:,.0f}",
                     _times(told["times"][teacher]), _times(told["times"].get(own)),
                     _times(tokens[name]["times"].get(own))))
    return Table(
        f"{'One thread' if threads == 1 else f'{threads} threads'}, batches of {batch}",
        ("", "file, MB", "memory, MB", "p50, ms", "p99, ms", "texts/s", "times the teacher",
         "times PyTorch", "without tokenising"), tuple(rows))


def _accuracy(made: dict[str, Any]) -> Table:
    told = made["accuracy"]
    codes = list(next(iter(told.values())))
    return Table("Test accuracy of the project's student", ("", *codes, "average"), tuple(
        (name, *(f"{each[code]:.2f}" for code in codes),
         f"{sum(each.values()) / len(codes):.2f}") for name, each in told.items()))


def _processes(made: dict[str, Any]) -> Table:
    return Table("Five languages, a text at a time: processes of one thread, at once on all cores",
                 ("", "memory, MB", "texts/s", "CPU ms per text"), tuple(
                     (name, _megabytes(told["pss"]), f"{told['texts_per_second']:,.0f}",
                      f"{told['cpu_ms']:.2f}") for name, told in made["processes"].items()))


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f}" if count > 20e6 else f"{count / 1e6:.1f}"


def _times(ratio: list[float] | None) -> str:
    """Median, lowest and highest."""
    if ratio is None:
        return NONE
    return "{:.2f} ({:.2f}–{:.2f})".format(*ratio) if ratio[0] < 10 else (
        "{:.0f} ({:.0f}–{:.0f})".format(*ratio))
