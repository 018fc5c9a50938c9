from flows import pipeline


def test_the_registered_version_is_found() -> None:
    assert pipeline.registered(["2026 Creating", "amtss-demo version 12, registered before: 2 "
                             "points; now champion"]) == "12"
