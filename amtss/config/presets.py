"""Presets: files of params/ that become params.yaml whole."""

from amtss.config.params import load_params
from amtss.errors import ParamsError
from amtss.paths import Layout, write_bytes


def names(layout: Layout) -> list[str]:
    """Names of all presets, sorted."""
    return sorted(path.stem for path in (layout.root / "params").glob("*.yaml"))


def activate(layout: Layout, name: str, *, force: bool = False) -> None:
    """Write preset `name` over params.yaml.

    Raises:
        ParamsError: no such preset, the preset is wrong, or params.yaml is somebody's own work.
    """
    folder = layout.root / "params"
    if name not in names(layout):
        raise ParamsError(f"preset: expected one of {', '.join(names(layout)) or 'none'} "
                          f"({folder}/), found {name!r}; name one of them")
    known = [(folder / f"{each}.yaml").read_bytes() for each in names(layout)]
    if not force and layout.params.exists() and layout.params.read_bytes() not in known:
        raise ParamsError(f"{layout.params}: expected an unedited preset, found your own "
                          f"settings; keep a copy, then `amtss preset {name} --force`")
    load_params(folder / f"{name}.yaml")
    write_bytes(layout.params, (folder / f"{name}.yaml").read_bytes())
