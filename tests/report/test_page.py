"""Sections as Markdown and as HTML."""

from support.page import Page

from amtss.report.page import Fold, Picture, Section, html, markdown, pictures
from amtss.table import Table

INNER, OUTER = Picture("inner", "In <a> fold", b"1"), Picture("outer", "Out", b"22")
SECTIONS = [
    Section("Size and cost", ("a < b & *c*", ("first", "<second>"), OUTER)),
    Section("Result", (Fold("More <of> it", (INNER, Table("T", ("", "x"), (("r", "1"),)))),)),
]


def test_anchors_are_the_contents_links() -> None:
    page = Page(html("t", SECTIONS))
    assert page.ids == ["size-and-cost", "result"]
    assert [link for link in page.links if link.startswith("#")] == ["#size-and-cost", "#result"]


def test_html_escapes_every_text() -> None:
    page = Page(html("<b>bold</b>", SECTIONS))
    assert not {"b", "of", "second"} & set(page.tags)
    assert page.tags.count("a") == len(SECTIONS)  # the contents
    for text in ("<b>bold</b>", "a < b & *c*", "<second>", "In <a> fold", "More <of> it"):
        assert text in page.text


def test_no_text_becomes_a_link_an_image_or_html() -> None:
    for text in ("[click](http://x)", "![image](http://x)", "<http://x>", "http://x", "www.x.org",
                 "<script>alert(1)</script>", "a | b", "`a`", "**a**"):
        page = Page(html(text, [Section("s", (
            text, (text,), Table(text, ("", text), ((text, text),), (text,)),
            Picture("p", text, b""), Fold(text, (text,))))]))
        assert not {"script", "code", "strong"} & set(page.tags)
        assert page.links == ["#s", "data:image/png;base64,"]
        assert page.text.count(text) == 12  # title and heading, then the blocks


def test_tables_have_captions_and_headers() -> None:
    text = html("t", [Section("s", (Table("T", ("", "x"), (("r", "1"),)),))])
    assert '<figure class="table"><figcaption>T</figcaption>' in text
    assert '<th scope="row">r</th>' in text
    assert '<td style="text-align:right" class="number">1</td>' in text


def test_html_refers_to_nothing_outside() -> None:
    page = Page(html("t", SECTIONS))
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert [link for link in page.links if not link.startswith("#")] == [
        "data:image/png;base64,MjI=", "data:image/png;base64,MQ=="]


def test_markdown() -> None:
    assert markdown("t", SECTIONS) == """\
# t

## Size and cost

a \\< b \\& \\*c\\*

- first
- \\<second\\>

![Out](figures/outer.png)

Out

## Result

<details><summary>More &lt;of&gt; it</summary>

![In \\<a\\> fold](figures/inner.png)

In \\<a\\> fold

**T**

|  | x |
| --- | ---: |
| r | 1 |

</details>
"""


def test_pictures_are_found_in_folds() -> None:
    assert list(pictures(SECTIONS)) == [OUTER, INNER]
