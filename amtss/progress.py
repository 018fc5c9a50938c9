"""How far a loop is: a bar with rate and time left on a terminal, in a log a line a minute."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

Item = TypeVar("Item")
EVERY = 60.0
"""Seconds between two lines in a log."""


def track(items: Sequence[Item], title: str) -> Iterator[Item]:
    """Yield the items one by one, and show on stderr how far it is."""
    with bar(len(items), title) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def bar(total: int, title: str) -> Iterator[Callable[[int], None]]:
    """Show on stderr how far a loop is; a function that moves it on by a number of items."""
    if not sys.stderr.isatty():
        yield _log(total, title)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed or 0.0:.1f}/s")

    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(),
                  TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda count: progress.advance(task, count)


def _log(total: int, title: str) -> Callable[[int], None]:
    """A function that writes a line where the last one is a minute old."""
    started = said = moved = time.monotonic()
    done = 0

    def advance(count: int) -> None:
        nonlocal said, moved, done
        done += count
        now = time.monotonic()
        moved = now if count else moved
        if now - said < EVERY or done >= total:
            return
        said = now
        # what the items so far say, less what the one in work has had
        seconds = (moved - started) * (total - done) / done - (now - moved) if done else 0
        left = timedelta(seconds=round(seconds)) if seconds > 0 else "?"
        # No colon behind an epoch's number: such a line says that it has ended.
        print(f"{title}, {done:,} of {total:,}, {left} left", file=sys.stderr, flush=True)

    return advance
