import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from amtss.data import formats
from amtss.errors import DataError


def columns(path: Path, content: str, kind: str) -> dict[str, list[str | int | None]]:
    """All columns of a file with this content."""
    path.write_bytes(content.encode())
    read = formats.read([path], kind, ("label",)).columns
    return {name: reader().to_pylist() for name, reader in read.items() if reader}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


DATES = ["2024-01-01", "2024-01-01T00:00:00Z", "2024-01-03 10:30:00+02:00", "1e5", "007", "NaN"]


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_text_that_looks_like_a_date_or_a_number_stays(path: Path, kind: str) -> None:
    content = ("label\n" + "\n".join(DATES) if kind == "csv" else
               "\n".join(json.dumps({"label": date}) for date in DATES))
    assert columns(path, content, kind) == {"label": DATES}


ROWS = [{"text": "a", "label": "x", "meta": 1}, {"text": "é\u2028\n", "meta": "two"},
        {"text": "c", "label": None, "meta": [[]], "long": "x" * 2_000_000}]


@pytest.mark.parametrize("text", [
    pytest.param("\r\n".join(map(json.dumps, ROWS)) + "\n\n", id="lines"),
    pytest.param("\n".join(json.dumps(row, indent=1) for row in ROWS), id="indented"),
    pytest.param("\ufeff" + json.dumps(ROWS, ensure_ascii=False), id="a-list"),
    pytest.param(" \n" + json.dumps(ROWS, indent=2), id="an-indented-list")])
def test_json_objects_in_lines_or_in_a_list(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    read = formats.read([path], "json", ()).columns
    assert list(read) == ["text", "label", "meta", "long"]
    found = {name: (read[name] or pytest.fail)() for name in ("text", "label")}
    assert found["text"].to_pylist() == ["a", "é\u2028\n", "c"]
    assert found["label"].to_pylist() == ["x", None, None]


def test_values_of_json(path: Path) -> None:
    content = ('{"a": 1, "b": 1, "c": 1.0, "d": true, "e": 123456789012345678901}\n'
               '{"a": -1, "b": "one", "c": 1e5, "d": null, "e": ' + "9" * 5000 + "}")
    assert columns(path, content, "json") == {
        "a": [1, -1], "b": ["1", "one"], "c": ["1.0", "1e5"], "d": ["true", None],
        "e": ["123456789012345678901", "9" * 5000]}


@pytest.mark.parametrize(("content", "says"), [
    ('{"text": "a"}\n{"text": "b"},\n', r"file:2: expected JSON, found: Expecting value"),
    ('[{"text": "a"},', r"file:1: expected JSON, found: "),
    ('{"text": "a"}\n' + "[" * 100_000, r"file:2: expected JSON, found lists .* too deeply"),
    ('{"text": "a"}\n{"meta": ' + '{"a":' * 100_000, r"file:2: expected JSON, found .* deeply"),
    ('{"text": "a"}\n\n"b"', r"file:3: expected a JSON object, found a string"),
    ('[{"text": "a"}, null]', r"file: object 2: expected a JSON object, found null"),
    ('{"text": "a"}\n\n{"text": {}}', r"file:3: expected strings in the column 'text', found an "
                                     r"object"),
    ('{"text": "a"}\n{"text": "b\\ud83d"}', r"file:2: column 'text': expected text, found half "
                                           r"of a surrogate pair, '\\ud83d', at character 2"),
    ("[]", r"file: expected JSON objects, found: Empty"),
])
def test_bad_json(path: Path, content: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        columns(path, content, "json")


def test_csv_as_it_is_written(path: Path) -> None:
    content = ('\ufefftext,label\r\n"a ""b"", c",x\r\n\r\n5" tv,y\r\n'
               '"Dear shop,\r\nwhere is it, please?\r\n",x\r\n')
    assert columns(path, content, "csv") == {
        "text": ['a "b", c', '5" tv', "Dear shop,\r\nwhere is it, please?\r\n"],
        "label": ["x", "y", "x"]}


@pytest.mark.parametrize("content", [
    "text,label\na,x", "text\tlabel\na\tx", "text;label\na;x", '"text"\t"label"\n"a"\tx',
    '"text, or so";text;label\n1;a;x', "\r\n\r\ntext;label\na;x"])
def test_the_header_says_what_divides_the_columns(path: Path, content: str) -> None:
    found = columns(path, content, "csv")
    assert (found["text"], found["label"]) == (["a"], ["x"])


def test_a_single_column_has_nothing_that_divides(path: Path) -> None:
    assert columns(path, "text\na\tb;c", "csv") == {"text": ["a\tb;c"]}


def test_quotes_between_tabs_may_be_part_of_the_texts(path: Path) -> None:
    content = 'text\tlabel\n"hi" he said\tx\n"a ""b"" c"\ty\n"open\tx\n'
    assert columns(path, content, "csv") == {"text": ['"hi" he said', '"a ""b"" c"', '"open'],
                                             "label": ["x", "y", "x"]}
    assert columns(path, 'text\tlabel\n"a ""b"" c"\ty\n', "csv")["text"] == ['a "b" c']


@pytest.mark.parametrize(("content", "says"), [
    ('text,label\na,x\n"b,y\nc "d" e,x\n', r"file:3: expected CSV, found a row up to line 4 with a "
                                           r"stray quote"),
    ('text,label\na,x\n"b,y\nc,x\n', r"file:3: expected CSV, found a row up to line 4 with a "),
    ('text,label\n"hi" he said,x\n', r"file:2: .* a stray quote"),
    ('text,label\na,x\nb,y\n"c,x\nd,y\n24",x\n', r"file:4: expected a row, found a text in quotes "
                                                r"up to line 6 that holds whole rows"),
    ('id,text,label\n1,a,x\n2,"b,x\n3,24",x\n', r"file:3: .* up to line 4 that holds whole rows"),
    ('label,text\nx,a\ny,"b\nx,c\nx,24"\n', r"file:3: .* up to line 5 that holds whole rows"),
    ("text,label\na,x\nb\n", r"file:3: expected 2 columns, found 1"),
    ("", r"file: expected a header and rows, found: Empty CSV"),
])
def test_bad_csv(path: Path, content: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        columns(path, content, "csv")


def test_long_fields_of_csv(path: Path) -> None:
    assert columns(path, f"text,html\na,{'x' * 200_000}\n", "csv")["text"] == ["a"]


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_bytes_that_are_not_utf_8_have_a_line(path: Path, kind: str) -> None:
    path.write_bytes(b'{"text": "a"}\n{"text": "caf\xe9"}\n')
    with pytest.raises(DataError, match=r"file:2: expected UTF-8, found .* at byte 27; save it as"):
        formats.read([path], kind, ())


def test_columns_of_parquet_that_nobody_asks_for(path: Path) -> None:
    broken = pa.array([b"caf\xe9"], pa.binary()).view(pa.string())
    pyarrow.parquet.write_table(pa.table({"text": ["a"], "other": broken}), path)
    reader = formats.read([path], "parquet", ()).columns["text"]
    assert reader is not None
    assert reader().to_pylist() == ["a"]


def test_several_files_and_compressed_ones(tmp_path: Path) -> None:
    paths = [tmp_path / "1.csv.gz", tmp_path / "2.csv"]
    for number, path in enumerate(paths):
        with pa.output_stream(str(path)) as stream:
            stream.write(f"text\ttext\tlabel\na{number}\tb\tx\n".encode())
    read = formats.read(paths, "csv", (), "\t").columns
    assert read["text"] is None
    assert read["label"] is not None
    assert read["label"]().to_pylist() == ["x", "x"]
    paths[1].write_text("text\nb\n")
    with pytest.raises(DataError, match=r"2\.csv: expected the columns of .*gz, found text"):
        formats.read(paths, "csv", (), "\t")
