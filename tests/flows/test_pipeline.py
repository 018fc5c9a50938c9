from flows import pipeline


def test_the_registered_version_is_read_from_the_output() -> None:
    lines = ["2026 Creating",
             "amtss-demo version 12, registered before: 2 points; now champion"]
    assert pipeline.registered_version(lines) == "12"
