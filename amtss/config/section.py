"""What all settings share: the base class of sections, and the types of their values."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

CODE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
"""A language code such as ko or zh-CN."""


def _language(code: str) -> str:
    if not CODE.fullmatch(code):
        raise ValueError(f"expected a language code such as 'ko' or 'zh-CN', found {code!r}")
    return code


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"expected each entry once, found {', '.join(repeated)} more than once")
    return values


Language = Annotated[str, AfterValidator(_language)]
Distinct = Annotated[tuple[str, ...], AfterValidator(_distinct)]
Languages = Annotated[tuple[Language, ...], AfterValidator(_distinct)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
MaxLength = Annotated[int, Field(ge=8)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


class Section(BaseModel):
    """A part of params.yaml: frozen, strict (no `"3"` for 3), unknown keys refused.

    The docstring under a field is its description in docs/params.md.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False,
                              use_attribute_docstrings=True)
