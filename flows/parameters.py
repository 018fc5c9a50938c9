"""Types of the flows' parameters. Prefect refuses other values when a run is created."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from amtss.config.params import preset_names
from amtss.config.schema import CODE, Params
from amtss.paths import Layout
from flows.workspace import OWN

PRESETS = [*preset_names(Layout()), OWN]
KEY = rf"^({'|'.join(Params.model_fields)})(\.[\w-]+)*$"


def _known(name: str) -> str:
    if name not in PRESETS:
        raise ValueError(f"expected one of {', '.join(PRESETS)}, found {name!r}")
    return name


Preset = Annotated[str, AfterValidator(_known), Field(
    json_schema_extra={"enum": list(PRESETS)},
    description="A file of params/, or `own` for the project's params.yaml.")]
Overrides = Annotated[dict[Annotated[str, Field(pattern=KEY)], Any], Field(
    json_schema_extra={"additionalProperties": False},
    description='Values that replace the preset\'s, by dotted key: {"distil.max_epochs": 2}.')]
Concurrency = Annotated[int, Field(
    ge=1, description="Teachers at once; by default one per GPU, or one more than cores.")] | None
Spread = Annotated[bool, Field(
    description="Run teachers on other machines, those with `python -m flows work`.")]
Files = Annotated[list[str], Field(
    min_length=1, description="Logs: CSV, JSONL or Parquet files, or patterns such as logs/*.csv, "
                              "below the project's folder or from /.")]
Language = Annotated[str, Field(
    pattern=f"^({CODE.pattern})?$", description="Language of texts that name none, such as ko.")]
Languages = Annotated[list[Annotated[str, Field(pattern=f"^{CODE.pattern}$")]], Field(
    min_length=1, json_schema_extra={"uniqueItems": True},
    description="Language codes, such as ko.")]
