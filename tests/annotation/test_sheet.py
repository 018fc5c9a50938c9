import pyarrow as pa

from amtss.annotation import sheet
from amtss.annotation.sheet import Line

TABLE = pa.table({"key": [1, 2], "id": ["a", "b"], "text": ["hello, you", "=1"],
                  "label": pa.array([None, "x"], pa.string())})
COLUMNS = ("id", "lang", "split", "text", "pair", "label", "score", "corrected")


def test_lines_of_a_table() -> None:
    lines = [Line(1, score=0.25), Line(0)]
    assert sheet.text(TABLE, "fr", "train", lines, COLUMNS).splitlines() == [
        "id,lang,split,text,label,score,corrected", "b,fr,train,'=1,x,0.2500,",
        'a,fr,train,"hello, you",,,']


def test_pairs_have_a_column_more() -> None:
    pairs = TABLE.append_column("pair", pa.array(["c", "d"]))
    assert sheet.text(pairs, "fr", "train", [Line(0)], ("pair", "label")) == "pair,label\nc,\n"
