import re

import pytest

from amtss import progress


def test_a_log_has_a_line_a_minute(monkeypatch: pytest.MonkeyPatch,
                                   capfd: pytest.CaptureFixture[str]) -> None:
    clock = iter(range(0, 10_000, 25))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    assert list(progress.track(range(9), "epoch 1")) == [*range(9)]
    assert capfd.readouterr().err.splitlines() == [
        "epoch 1, 3 of 9, 0:02:30 left", "epoch 1, 6 of 9, 0:01:15 left"]


def test_a_log_says_that_nothing_is_done_yet(monkeypatch: pytest.MonkeyPatch,
                                             capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with progress.bar(2, "experiments") as advance:
        advance(0)
        advance(2)
    assert capfd.readouterr().err == "experiments, 0 of 2, ? left\n"


def test_time_left_falls_while_an_item_is_worked_on(
        monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    clock = iter((0.0, 300.0, 400.0, 580.0, 700.0))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.bar(2, "experiments") as advance:
        for count in (1, 0, 0, 0):
            advance(count)
    assert capfd.readouterr().err.splitlines() == [
        f"experiments, 1 of 2, {left} left" for left in ("0:05:00", "0:03:20", "0:00:20", "?")]


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch,
                              capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True)
    with progress.bar(2, "epoch 7") as advance:
        advance(1)
    assert re.search(r"epoch 7.*/2", capfd.readouterr().err)
