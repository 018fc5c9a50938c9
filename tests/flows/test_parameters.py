import pytest
from pydantic import TypeAdapter, ValidationError

from flows import parameters
from flows.distill import distill


class TestParameters:
    @pytest.mark.parametrize("key", ["nosuch.x", "distil.", "distil.top k", ""])
    def test_an_unknown_key_is_refused(self, key: str) -> None:
        with pytest.raises(ValidationError, match="match pattern"):
            TypeAdapter(parameters.Overrides).validate_python({key: 1})

    @pytest.mark.parametrize("key", ["distil.top_k", "data.configs.zh-Hans", "languages"])
    def test_any_key_of_params_yaml_is_accepted(self, key: str) -> None:
        assert TypeAdapter(parameters.Overrides).validate_python({key: 1}) == {key: 1}

    def test_an_unknown_preset_is_refused(self) -> None:
        with pytest.raises(ValidationError, match=r"expected one of .*demo.*, found 'nosuch'"):
            TypeAdapter(parameters.Preset).validate_python("nosuch")

    @pytest.mark.parametrize("codes", [[], ["Korean"]], ids=str)
    def test_languages_without_a_code_are_refused(self, codes: list[str]) -> None:
        with pytest.raises(ValidationError, match=r"at least 1 item|match pattern"):
            TypeAdapter(parameters.Languages).validate_python(codes)

    def test_the_schema_has_the_same_rules(self) -> None:
        schema = distill.parameters.model_dump()["properties"]
        assert schema["preset"]["enum"] == parameters.PRESETS
        assert schema["overrides"]["additionalProperties"] is False
        assert schema["concurrency"]["anyOf"][0]["minimum"] == 1
