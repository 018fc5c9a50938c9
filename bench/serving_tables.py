"""Tables of what `serving.py` measured."""

from typing import Any

from amtss.table import NONE, Table


def tables(results: dict[str, Any]) -> list[Table]:
    """Speed for each number of threads and batch size; then accuracy; then five processes."""
    runs = {(run["threads"], run["batch"], run["tokenising"]): run["sides"]
            for run in results["runs"]}
    shown = [_speed(results, threads, batch, sides, runs[threads, batch, False])
             for (threads, batch, tokenising), sides in runs.items() if tokenising]
    return [*shown, _processes(results), _accuracy(results)]


def _speed(results: dict[str, Any], threads: int, batch: int, sides: dict[str, Any],
           computing: dict[str, Any]) -> Table:
    """p50 and p99 are times of a batch.

    Args:
        computing: the same sides without tokenising.
    """
    rows = []
    for name, figures in sides.items():
        own = f"{name.rpartition(',')[0]}, PyTorch"
        teacher = next(iter(figures["times"]))
        rows.append((name, _megabytes(results["sides"][name]["bytes"]),
                     _megabytes(results["sides"][name]["rss"]), f"{figures['p50']:.2f}",
                     f"{figures['p99']:.2f}", f"{figures['texts_per_second']:,.0f}",
                     _times(figures["times"][teacher]), _times(figures["times"].get(own)),
                     _times(computing[name]["times"].get(own))))
    return Table(
        f"{'One thread' if threads == 1 else f'{threads} threads'}, batches of {batch}",
        ("", "file, MB", "memory, MB", "p50, ms", "p99, ms", "texts/s", "times the teacher",
         "times PyTorch", "without tokenising"), tuple(rows))


def _accuracy(results: dict[str, Any]) -> Table:
    accuracy = results["accuracy"]
    codes = list(next(iter(accuracy.values())))
    return Table("Test accuracy of the project's student", ("", *codes, "average"), tuple(
        (name, *(f"{row[code]:.2f}" for code in codes),
         f"{sum(row.values()) / len(codes):.2f}") for name, row in accuracy.items()))


def _processes(results: dict[str, Any]) -> Table:
    return Table("Five languages, a text at a time: processes of one thread, at once on all cores",
                 ("", "memory, MB", "texts/s", "CPU ms per text"), tuple(
                     (name, _megabytes(row["pss"]), f"{row['texts_per_second']:,.0f}",
                      f"{row['cpu_ms']:.2f}") for name, row in results["processes"].items()))


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f}" if count > 20e6 else f"{count / 1e6:.1f}"


def _times(ratio: list[float] | None) -> str:
    """Median, lowest and highest."""
    if ratio is None:
        return NONE
    return "{:.2f} ({:.2f}–{:.2f})".format(*ratio) if ratio[0] < 10 else (
        "{:.0f} ({:.0f}–{:.0f})".format(*ratio))
