"""Which files of a folder hold which language and split, by their names."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from amtss.config.schema import Splits
from amtss.data import hub_folder
from amtss.data.sources import KINDS
from amtss.errors import DataError

CODES = frozenset(re.findall("[a-z]+", """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da
    de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz
    ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln
    lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi
    pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti
    tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
    ast ceb ckb fil haw hsb kab nds yue"""))
"""ISO 639-1, and some languages that it lacks."""
PLACE = re.compile("[A-Za-z]{2}|[0-9]{3}|Arab|Cyrl|Hans|Hant|Latn")
"""A country, a region or a script after a language, as in pt-BR."""
NAMES = {"train": ("train", "training", "trn"),
         "validation": ("validation", "valid", "val", "dev", "development", "eval"),
         "test": ("test", "testing", "tst"),
         "unlabelled": ("unlabelled", "unlabeled", "logs", "log", "unsupervised", "unsup")}
"""Split -> names that it has in files, whatever their case."""
SPLITS = {name: split for split, names in NAMES.items() for name in names}
SHARD = re.compile("-[0-9]{5}-of-(?!00001)[0-9]{5}")
DOUBTFUL = re.compile("_[a-z]{2}$")
"""In my_fr the language may be Burmese, as spoken in France, or French."""


@dataclass(frozen=True)
class Found:
    """The files of a folder that make a data set."""

    pattern: str
    """`data.files`: their paths below the folder, with {language} and {split}; empty for a folder
    in the hub's layout."""
    names: dict[str, str]
    """Language code -> what stands for {language}; empty where nothing does."""
    splits: Splits
    """Those that some language has; `missing: cut` if another language lacks one of them."""
    unused: tuple[str, ...]
    """Paths of all other files."""


Files = dict[tuple[str, str], str]
"""Names of a language and a split, empty where the path has none -> path."""


def code_of(name: str) -> str | None:
    """The language code in our form that `name` is: pt-BR for pt_br; None where it is none."""
    language, *places = re.split("[-_]", name.strip())
    if language.lower() not in CODES or len(places) > 2 or not all(map(PLACE.fullmatch, places)):
        return None
    return "-".join([language.lower(), *(place.upper() if len(place) == 2 else place
                                         for place in places)])


def find(folder: Path) -> Found:
    """Read the names of the files in `folder`.

    The pattern that most files fit is taken; of those that fit as many, the one that says most.

    Raises:
        DataError: no file of a kind that we read, none for training, or splits in several files.
    """
    paths = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    paths = [path for path in paths if not any(part.startswith(".") for part in path.parts)]
    readable = [path.as_posix() for path in paths if path.suffix in KINDS
                and not {*"{}"} & {*path.as_posix()}]
    if not readable:
        raise DataError(f"{folder}: expected CSV, TSV, JSONL or Parquet files, found "
                        f"{listed([path.as_posix() for path in paths])}; name another folder")
    shards = [path for path in readable if SHARD.search(path)]
    if shards and (configs := _configs(folder)):
        return configs
    if shards:
        raise DataError(f"{folder}: expected a file for each language and split, found several, "
                        f"such as {shards[0]}; join them, or describe them in a README.md in the "
                        "hub's layout")
    fitting: dict[str, Files] = defaultdict(dict)
    for path in readable:
        for pattern, language, split in _readings(path):
            fitting[pattern][language, split] = path
    chosen = max(fitting, key=lambda pattern: (
        len(fitting[pattern]), pattern.count("{"),
        -sum(bool(DOUBTFUL.search(language)) for language, _ in fitting[pattern]), -len(pattern)))
    if "{" not in chosen and len(readable) > 1:
        raise DataError(f"{folder}: expected names with a language or a split, such as "
                        f"fr/train.csv, found {listed(readable)}; rename them")
    return _found(folder, chosen, fitting[chosen], [path.as_posix() for path in paths])


def _configs(folder: Path) -> Found | None:
    """A folder in the hub's layout with a config for each language; None for any other."""
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    names = re.findall(r"""^[-\s]*config_name:\s*["']?([\w.-]+)""", text, re.M)
    codes = {code: name for name in sorted(names, reverse=True) if (code := code_of(name))}
    if not codes:
        return None
    config = min(codes.values())
    present = hub_folder.read(folder, config, f"data set {folder}, config {config!r}", ())
    found = {split: next((name for name in present if SPLITS.get(name.lower()) == split), None)
             for split in NAMES}
    splits = Splits(train=found["train"] or "train", validation=found["validation"],
                    test=found["test"], unlabelled=found["unlabelled"], missing="cut")
    return Found("", dict(sorted(codes.items())), splits, ())


def _readings(path: str) -> Iterator[tuple[str, str, str]]:
    """Every way to take a part of the path for a language and another for a split: the pattern and
    both names."""
    stem = path.removesuffix(Path(path).suffix)
    tokens = [match.span() for match in re.finditer("[A-Za-z0-9]+", stem)]
    spans = tokens + [(start, end) for (start, middle), (after, end)
                      in pairwise(tokens)
                      if stem[middle:after] in ("-", "_")]
    nothing = (len(path), len(path))
    languages = [nothing, *(span for span in spans if code_of(stem[slice(*span)]))]
    splits = [nothing, *(span for span in tokens if stem[slice(*span)].lower() in SPLITS)]
    for language in languages:
        for split in splits:
            if language != nothing and language[0] <= split[0] < language[1]:
                continue
            pattern = path
            for (start, end), name in sorted([(language, "{language}"), (split, "{split}")],
                                             reverse=True):
                if (start, end) != nothing:
                    pattern = pattern[:start] + name + pattern[end:]
            yield pattern, path[slice(*language)], path[slice(*split)]


def _found(folder: Path, pattern: str, files: Files, paths: list[str]) -> Found:
    """What the files of one pattern are."""
    counts = Counter(split for _, split in files)
    names = {split: max((name for name in sorted(counts) if SPLITS.get(name.lower()) == split),
                        key=counts.__getitem__, default=None) for split in NAMES}
    if "{split}" in pattern and names["train"] is None:
        raise DataError(f"{folder}: expected files of a split for training, such as train.csv, "
                        f"found {listed([*files.values()])}; rename them")
    train = names["train"] or ""
    codes = {code: name for name, split in sorted(files, reverse=True)
             if split == train and (code := code_of(name))}
    languages = [*codes.values()] or [""]
    lacking = any((language, name) not in files for language in languages
                  for name in (names["validation"], names["test"]) if name)
    used = {files[language, name] for language in languages
            for name in (train, *filter(None, names.values())) if (language, name) in files}
    splits = Splits(train=train or "train", validation=names["validation"], test=names["test"],
                    unlabelled=names["unlabelled"], missing="cut" if lacking else "refuse")
    return Found(pattern, dict(sorted(codes.items())), splits,
                 tuple(path for path in paths if path not in used))


def listed(names: Sequence[str]) -> str:
    """The first five names, and the number of the others."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}" or "none"
