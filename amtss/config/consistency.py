"""What sections of params.yaml that are right by themselves demand of each other."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amtss.config.teachers import ALL, NAME, TransformerTeacher

if TYPE_CHECKING:
    from amtss.config.schema import Params


def complaints(params: "Params") -> Iterator[str]:
    """All that does not fit together: `key: expected X, found Y`."""
    if not params.languages:
        yield "languages: expected at least one, found none"
    if not params.teachers:
        yield "teachers: expected at least one, found none"
    if not params.languages or not params.teachers:
        return  # all else would follow from it
    for code in params.data.configs:
        if code not in params.languages:
            yield f"data.configs: expected some of {', '.join(params.languages)}, found {code!r}"
    if (len(params.languages) > 1 and params.data.source == "files"
            and "{language}" not in params.data.files and not params.data.columns.language):
        yield ("data.files: expected a pattern with {language}, or the column of languages in "
               f"data.columns.language, found {params.data.files!r}")
    if params.onboarding and not set() < set(params.newcomers) < set(params.languages):
        yield (f"onboarding.languages: expected some, not all, of {', '.join(params.languages)}, "
               f"found {', '.join(params.newcomers) or 'none'}")
    yield from _of_teachers(params)
    yield from _of_the_pool(params)
    yield from _of_the_baseline(params)


def _of_teachers(params: "Params") -> Iterator[str]:
    for name, teacher in params.teachers.items():
        if not NAME.fullmatch(name):
            yield f"teachers.{name}: expected a name of letters, digits and '_', found {name!r}"
        for key in ("languages", "scores"):
            for code in getattr(teacher, key) or ():
                if code != ALL and code not in params.languages:
                    yield (f"teachers.{name}.{key}: expected some of "
                           f"{', '.join(params.languages)} or all, found {code!r}")
    first = params.student.teacher
    if first not in (None, *params.teachers):
        yield f"student.teacher: expected one of {', '.join(params.teachers)}, found {first!r}"
    elif first and not isinstance(params.teachers[first], TransformerTeacher):
        yield f"student.teacher: expected a teacher of kind transformer, found {first!r}"


def _of_the_pool(params: "Params") -> Iterator[str]:
    if params.distil.teachers == ():
        yield "distil.teachers: expected at least one or null, found none"
    for name in params.distil.teachers or ():
        if name not in params.teachers:
            yield (f"distil.teachers: expected some of {', '.join(params.teachers)}, "
                   f"found {name!r}")
    if params.distil.top_k > len(params.languages):
        yield (f"distil.top_k: expected at most {len(params.languages)}, the number of languages, "
               f"found {params.distil.top_k}")
    known = [name for name in params.pool if name in params.teachers]
    for language in params.languages:
        if known and not any(language in params.scored_by(name) for name in known):
            yield (f"teachers: expected one in the pool that scores {language!r}, found none; add "
                   "it to a teacher's `scores`")


def _of_the_baseline(params: "Params") -> Iterator[str]:
    name = params.baseline.teacher
    if name not in params.teachers:
        yield f"baseline.teacher: expected one of {', '.join(params.teachers)}, found {name!r}"
        return
    missing = [code for code in params.languages if code not in params.scored_by(name)]
    # In an onboarding, X-LM-Tiny stays what it was before the new languages.
    if missing and params.onboarding is None:
        yield (f"baseline.teacher: expected one that scores every language, found {name!r} "
               f"without {', '.join(missing)}")
