"""A progress bar with rate and time left; nothing is shown where stderr is not a terminal."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


def track(items: Sequence[Item], title: str) -> Iterator[Item]:
    """Yield the items one by one, with a bar on stderr if that is a terminal."""
    with bar(len(items), title) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def bar(total: int, title: str) -> Iterator[Callable[[int], None]]:
    """A bar on stderr if that is a terminal; a function that moves it on by a number of items."""
    if not sys.stderr.isatty():
        yield lambda count: None
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
