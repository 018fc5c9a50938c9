import csv
import io

import pytest
from support.project import Project, run, unfolded

pytestmark = pytest.mark.slow


def test_a_sheet_there_and_back(ready: Project, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("suspects", "--lang", "fr", "--split", "validation") == 0
    printed = capfd.readouterr().out
    assert next(csv.reader(io.StringIO(printed)))[:4] == ["id", "lang", "split", "text"]
    assert run("suspects", "--lang", "fr", "--split", "validation", "--out", "sheet.csv") == 0
    assert capfd.readouterr().out.endswith("then run `amtss suspects --apply sheet.csv`\n")
    content = (ready.root / "sheet.csv").read_text(encoding="utf-8")
    assert content == f"\ufeff{printed}"
    assert run("suspects", "--lang", "fr", "--out", "sheet.csv") == 1
    assert "sheet.csv: expected no file yet, found one" in capfd.readouterr().err

    ready.write("sheet.csv", printed + "extra,fr,train\n")
    assert run("suspects", "--apply", "sheet.csv") == 1
    assert capfd.readouterr().err.count("\n") == 1


def test_without_a_language_or_logs(ready: Project, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("suspects") == 1
    assert capfd.readouterr().err == ("amtss: --lang: expected one of en, fr, found ''; name one "
                                      "of them\n")
    assert run("label-next", "--lang", "en") == 1
    assert "en: expected logs that differ from the labelled texts" in capfd.readouterr().err


def test_logs_of_a_new_language_are_labelled(ready: Project,
                                             capfd: pytest.CaptureFixture[str]) -> None:
    ready.params(lambda values: values["data"].update(splits={"unlabelled": "logs"}))
    ready.rows("data/ko/logs.jsonl", [{"id": "=7", "text": "-- 소포"}, {"id": "8", "text": "로봇"}])
    assert run("label-next", "--lang", "ko", "--budget", "5", "--out", "sheet.csv") == 0
    assert "sheet.csv: 2 rows" in capfd.readouterr().out
    with open("sheet.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["label"] = "ship" if row["id"] == "'=7" else ""
    with open("sheet.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    for _ in range(2):
        assert run("label-next", "--apply", "sheet.csv") == 0
        assert unfolded(capfd.readouterr().out) == (
            "corrections/ko.csv: 0 corrected, 0 confirmed, 1 newly labelled; commit it, and run "
            "`dvc repro`\n")
    content = (ready.root / "corrections/ko.csv").read_text(encoding="utf-8").splitlines()
    assert content[0] == "split,id,key,old,new"
    assert content[1].startswith("unlabelled,'=7,k")
    assert content[1].endswith(",,ship")
