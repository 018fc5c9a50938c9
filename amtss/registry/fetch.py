"""Stage `fetch`: the registered student that an onboarding starts from."""

from amtss.config.schema import Params
from amtss.files import replacing, seal, write_json
from amtss.paths import Layout
from amtss.registry import versions


def fetch(params: Params, layout: Layout) -> None:
    """Write `layout.registered`: `origin.json`, and the student's folder `student`.

    Without an onboarding `origin.json` says nothing and there is no student. The stages that read
    this folder then do not depend on `continuation`.

    Raises:
        RegistryError: the registry has no such student.
    """
    origin = params.onboarding
    with replacing(layout.registered) as folder:
        write_json(folder / "origin.json", {} if origin is None else {
            "onboarding": origin.model_dump(), "continuation": params.continuation.model_dump()})
        if origin is not None:
            versions.fetch(params, layout, origin.version, origin.fingerprint, folder / "student")
        seal(folder)
