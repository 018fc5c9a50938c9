from flows import ui


class TestArtifacts:
    def test_a_new_language_has_no_accuracy_of_the_champion(self) -> None:
        metrics = {"student": {"accuracy": {"en": 80.0, "ko": 70.0}},
                   "baseline": {"accuracy": {"en": 78.123, "ko": 60.0}},
                   "floor": {"accuracy": {"en": 75.0, "ko": 65.5}},
                   "teachers": {"t": {"accuracy": {"en": 81.0, "ko": 71.0}}},
                   "best_teacher": {"en": "t", "ko": "t"}}
        rows = ui.rows(("en", "ko"), metrics, {"en": 79.0})
        assert [row["champion"] for row in rows] == ["79.00", "", ""]
        assert rows[0] == {"language": "en", "student": "80.00", "X-LM-Tiny": "78.12",
                           "linear floor": "75.00", "best teacher": "81.00", "its name": "t",
                           "champion": "79.00"}
        assert rows[-1]["student"] == "75.00"
        assert rows[-1]["linear floor"] == "70.25"

    def test_keys_are_valid_in_prefect(self) -> None:
        assert ui.key("teach@zh_Hant") == "teach-zh-hant"
