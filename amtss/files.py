"""Files: written whole or not at all, checked as they are read, fingerprinted.

A file that a later step reads is checked as it is read, so that no bit that a disk, a copy or an
editor has changed is believed: JSON bears its own checksum, and the folder that a stage writes is
sealed by a list of its files' checksums.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from amtss.errors import AlteredError, AmtssError, first_line

if TYPE_CHECKING:
    from pydantic import ValidationError

Kind = TypeVar("Kind")
CHECKSUM = "checksum"
"""The key of our JSON files that holds a hash of all the others."""
SEAL = "checksums.json"
"""In a stage's folder: what `seal` writes."""


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically (temporary file, fsync, rename)."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` with its checksum as indented JSON, atomically; keys keep their order."""
    checked = {**value, CHECKSUM: _checksum(value)}
    write_text(path, json.dumps(checked, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _checksum(value: Mapping[str, Any]) -> str:
    return fingerprint(json.dumps({key: value[key] for key in value if key != CHECKSUM}).encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically.

    Raises:
        AmtssError: the file system refuses (disk full, no permission); `path` is as it was.
    """
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(data)


@contextmanager
def replacing(path: Path, private: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it over `path`.

    The caller writes either a file or a folder there. Its permissions follow the umask, whatever
    library has written it, unless it is `private`: then they stay as the caller has set them. After
    any error nothing is left behind and `path` is as it was.

    Raises:
        AmtssError: the file system refuses (disk full, no permission).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for stale in path.parent.glob(f".{path.name}-????????"):  # left by a killed process
            shutil.rmtree(stale, ignore_errors=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise refused(path, error) from error
    temporary = holder / path.name
    try:
        yield temporary
        if not private:
            permit(temporary, holder / "mode")
        _sync(temporary)
        _swap(temporary, path, holder / "replaced")
        _sync_folder(path.parent)
    except Exception as error:
        if isinstance(error, AmtssError) or _os_error(error) is None:
            raise
        raise refused(path, error) from error
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def permit(path: Path, probe: Path) -> None:
    """Give a file, or a folder and all below it, the permissions that the umask leaves, which only
    a new folder, `probe`, shows: safetensors, for one, writes files that are the user's alone."""
    probe.mkdir()
    folder = stat.S_IMODE(probe.stat().st_mode)
    probe.rmdir()
    for entry in (path, *path.rglob("*")):
        mode = stat.S_IMODE(entry.lstat().st_mode)
        wanted = mode | (folder if entry.is_dir() else folder & 0o666)
        if mode != wanted and not entry.is_symlink():
            entry.chmod(wanted)


def _swap(temporary: Path, path: Path, replaced: Path) -> None:
    """Move `temporary` to `path`; a folder that is there moves to `replaced`."""
    if not path.is_dir():
        os.replace(temporary, path)
        return
    os.rename(path, replaced)
    try:
        os.replace(temporary, path)
    except OSError:
        os.rename(replaced, path)
        raise


def refused(path: Path, error: Exception) -> AmtssError:
    """The error of a path that the file system refuses to write."""
    reason = getattr(error, "strerror", None) or first_line(error)
    return AmtssError(
        f"{path}: expected to be able to write it, found: {reason}; "
        "free space or fix permissions there, then run the same command again"
    )


def _os_error(error: Exception) -> int | None:
    """The system's number of an error. Rust libraries (safetensors, tokenizers) have it only in
    their message."""
    if isinstance(error, OSError):
        return error.errno or 0
    match = re.search(r"\(os error (\d+)\)", str(error))
    return int(match[1]) if match else None


def is_full(error: Exception) -> bool:
    """Whether `error` means that a disk is full, or a quota or a file size limit is reached."""
    return _os_error(error) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or any(
        text in str(error) for text in ("PytorchStreamWriter failed", "unexpected pos",  # torch's
                                        "No usable temporary directory"))


def _sync(path: Path) -> None:
    """fsync a file, or a folder with everything below it."""
    for entry in [path, *path.rglob("*")] if path.is_dir() else [path]:
        if entry.is_file():
            with open(entry, "rb") as file:
                os.fsync(file.fileno())
        else:
            _sync_folder(entry)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_text(path: Path, command: str) -> str:
    """The text in `path`.

    Raises:
        AmtssError: no such file; the message names `command`, which writes it.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise AmtssError(f"{path}: expected a file, found none; run `{command}`") from None


def read_json(path: Path, kind: type[Kind], command: str, *, ours: bool = True) -> Kind:
    """The JSON in `path`, which has the keys and types of `kind`.

    Args:
        kind: anything that pydantic can check, most often one of those in `amtss.records`.
        command: writes the file; for the message of an error.
        ours: whether `write_json` has written it; a library's own file has no checksum.

    Raises:
        AmtssError: no such file, or not what `command` has written: not JSON, of another shape, or
            altered.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        text = read_text(path, command)
        value = json.loads(text)
        result = TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        raise altered(path, command, f"what `{command}` writes", _first(error)) from error
    except (OSError, ValueError, RecursionError) as error:
        raise altered(path, command, "JSON", first_line(error)) from error
    if ours and (not isinstance(value, dict) or value.get(CHECKSUM) != _checksum(value)):
        raise altered(path, command)
    return result


def read_rows(path: Path, kind: type[Kind], command: str) -> list[Kind]:
    """The JSON objects in `path`, one per line, which have the keys and types of `kind`.

    Raises:
        AmtssError: no such file, or a line that is not such an object.
    """
    from pydantic import TypeAdapter, ValidationError

    adapter, rows = TypeAdapter(kind), []
    for number, line in enumerate(read_text(path, command).splitlines(), start=1):
        try:
            rows.append(adapter.validate_json(line, strict=True))
        except ValidationError as error:
            raise altered(path, command, "a JSON object per line as it was written",
                          f"in line {number} {_first(error)}") from error
    return rows


def _first(error: "ValidationError") -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"


@dataclass(frozen=True)
class _Seal:
    files: dict[str, str]
    """Path in the folder -> SHA-256."""


def seal(folder: Path) -> None:
    """Write a list of the checksums of all files in `folder`, which `verify` compares later.

    Hidden files and folders, such as an editor's, do not count.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SEAL
                   and not any(part.startswith(".") for part in path.relative_to(folder).parts))
    write_json(folder / SEAL, {"files": {path.relative_to(folder).as_posix(): _sha256(path)
                                         for path in paths}})


def verify(folder: Path, command: str, names: Collection[str] | None = None) -> None:
    """Check that the files in a sealed folder are as they were. What was added later, by an editor
    for example, does not count.

    Args:
        command: writes the folder; for the message of an error.
        names: of the files that matter; None for all.

    Raises:
        AmtssError: a file is missing or altered.
    """
    for name, expected in read_json(folder / SEAL, _Seal, command).files.items():
        if names is not None and name not in names:
            continue
        try:
            found = _sha256(folder / name)
        except OSError as error:
            raise AmtssError(f"{folder / name}: expected a file, found: {error.strerror}; run "
                             f"`{command}`") from error
        if found != expected:
            raise altered(folder / name, command)


def altered(path: Path, command: str, expected: str = "it as it was written",
            found: str = "it altered (its checksum differs)") -> AlteredError:
    """The error of a file that is not what `command` has written. DVC restores or makes it again
    once it is gone."""
    return AlteredError(path, f"{path}: expected {expected}, found {found}; remove it and run "
                              f"`{command}`")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(*parts: Any) -> str:
    """16 hexadecimal digits of SHA-256: bytes count as they are, anything else as sorted JSON."""
    digest = hashlib.sha256()
    for number, part in enumerate(parts):
        if number:
            digest.update(b"\0")
        raw = isinstance(part, bytes | memoryview)
        digest.update(part if raw else json.dumps(part, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def visible(folder: Path) -> list[Path]:
    """The files in `folder`, in order; not its folders, and no hidden files."""
    return sorted(path for path in folder.iterdir()
                  if path.is_file() and not path.name.startswith("."))


def contents(paths: Iterable[Path]) -> bytes:
    """Names and SHA-256 of files, one after the other: a part for `fingerprint`."""
    joined = b""
    for path in paths:
        with open(path, "rb") as file:
            joined += path.name.encode() + hashlib.file_digest(file, "sha256").digest()
    return joined
