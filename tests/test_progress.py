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


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch,
                              capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True)
    with progress.bar(2, "epoch 7") as advance:
        advance(1)
    assert re.search(r"epoch 7.*/2", capfd.readouterr().err)
