from amtss.report import suspects


def test_labels_with_suspects_are_rows() -> None:
    table = suspects.table({"en": {"pay": 3, "ship": 0, "chat": 0}, "fr": {"pay": 0, "chat": 1}},
                           {"en": {"pay": 100, "ship": 20}, "fr": {"pay": 30}, "ko": {"pay": 9}},
                           ("en", "fr", "ko"), ("pay", "ship", "chat"))
    assert table.header == ("Label", "en", "fr", "ko")
    assert table.rows == (("pay", "3", "0", "–"), ("chat", "0", "1", "–"),
                          ("Total", "3 (2.5%)", "1 (3.3%)", "–"))
    assert table.notes[1].startswith("Not known of ko,")


def test_where_all_is_known_nothing_is_said() -> None:
    table = suspects.table({"en": {"pay": 0}}, {"en": {"pay": 10}}, ("en",), ("pay",))
    assert table.rows == (("Total", "0 (0.0%)"),)
    assert len(table.notes) == 1
