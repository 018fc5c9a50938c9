import json

import pytest
from support.project import Project, run


def test_a_file_is_scored(ready: Project, capfd: pytest.CaptureFixture[str]) -> None:
    ready.rows("logs.jsonl", [{"text": "hi", "lang": "en"}, {"text": "bonjour"}, {"id": 3}])
    asked = ["predict", "--lang", "fr", "--data", "logs.jsonl", "--out", "scored.jsonl"]
    assert run(*asked) == 1
    assert capfd.readouterr().err == (
        "amtss: logs.jsonl:3: expected a `text`, found keys id; add it\n")
    assert run(*asked, "--keep-going") == 1
    assert capfd.readouterr().out == "scored.jsonl: 3 rows, 1 without an answer\n"
    rows = [json.loads(line) for line in (ready.root / "scored.jsonl").read_text().splitlines()]
    assert [row["label"] in ("pay", "ship", "chat") for row in rows] == [True, True, False]


@pytest.mark.parametrize(("arguments", "found"), [
    (["--data", "a.jsonl"], "--data alone"), (["--out", "a.jsonl"], "--out alone"),
    (["--data", "a.jsonl", "--out", "b.jsonl", "hello"], "texts as arguments too")])
def test_half_of_a_request_is_refused(project: Project, capfd: pytest.CaptureFixture[str],
                                      arguments: list[str], found: str) -> None:
    assert run("predict", *arguments) == 1
    assert capfd.readouterr().err == ("amtss: predict: expected --data with --out and no other "
                                      f"texts, found {found}; give both files alone\n")
