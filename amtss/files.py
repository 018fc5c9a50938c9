"""The one way to write a file or a folder, whole or not at all; and to read what a stage wrote."""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amtss.errors import AmtssError, first_line


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically (temporary file, fsync, rename)."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically, keys in the order they come."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically.

    Raises:
        AmtssError: the file system refuses (disk full, no permission); `path` is as it was.
    """
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it over `path`.

    The caller makes either a file or a folder there. On any error nothing is left behind and
    `path` is as it was.

    Raises:
        AmtssError: the file system refuses (disk full, no permission).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.name}-????????"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise _refused(path, error) from error
    temporary = holder / path.name
    try:
        yield temporary
        _sync(temporary)
        _swap(temporary, path, holder / "replaced")
        _sync_folder(path.parent)
    except Exception as error:
        if isinstance(error, AmtssError) or _os_error(error) is None:
            raise
        raise _refused(path, error) from error
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def _swap(temporary: Path, path: Path, replaced: Path) -> None:
    """Put `temporary` in `path`'s place; a folder that stood there goes to `replaced`."""
    if not path.is_dir():
        os.replace(temporary, path)
        return
    os.rename(path, replaced)
    try:
        os.replace(temporary, path)
    except OSError:
        os.rename(replaced, path)
        raise


def _refused(path: Path, error: Exception) -> AmtssError:
    found = getattr(error, "strerror", None) or first_line(error)
    return AmtssError(
        f"{path}: expected to be able to write it, found: {found}; "
        "free space or fix permissions there, then run the same command again"
    )


def _os_error(error: Exception) -> int | None:
    """The system's number of an error: an OSError's, or one that a Rust library (safetensors,
    tokenizers) has made text of."""
    if isinstance(error, OSError):
        return error.errno or 0
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def is_full(error: Exception) -> bool:
    """Whether `error` says that a disk, a quota or a file's size limit is exhausted."""
    return _os_error(error) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or any(
        text in str(error) for text in ("PytorchStreamWriter failed", "unexpected pos",  # torch's
                                        "No usable temporary directory"))


def _sync(path: Path) -> None:
    """fsync a file, or every file below a folder; umask-made permissions, not mkdtemp's."""
    for each in [path, *path.rglob("*")] if path.is_dir() else [path]:
        if each.is_file():
            with open(each, "rb") as file:
                os.fsync(file.fileno())
        else:
            _sync_folder(each)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait for whoever holds the lock `path`, a file, and hold it; the end of a process frees it.

    Raises:
        OSError: the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_text(path: Path, command: str) -> str:
    """The text in `path`.

    Raises:
        AmtssError: no such file; the message names `command`, which makes it.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise AmtssError(f"{path}: expected a file, found none; run `{command}`") from None


def read_json(path: Path, command: str) -> Any:
    """The JSON in `path`.

    Raises:
        AmtssError: no such file, or not JSON; the message names `command`, which makes it.
    """
    try:
        return json.loads(read_text(path, command))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise AmtssError(f"{path}: expected JSON, found {error}; run `{command}`") from error


def read_rows(path: Path, command: str) -> list[Any]:
    """The JSON objects in `path`, one per line.

    Raises:
        AmtssError: no such file, or a line that is not JSON; the message names `command`.
    """
    try:
        return [json.loads(line) for line in read_text(path, command).splitlines()]
    except json.JSONDecodeError as error:
        raise AmtssError(f"{path}: expected a JSON object per line, found {error}; "
                         f"run `{command}`") from error


def fingerprint(*parts: Any) -> str:
    """16 hexadecimal digits of SHA-256: bytes count as they are, anything else as sorted JSON."""
    digest = hashlib.sha256()
    for number, part in enumerate(parts):
        if number:
            digest.update(b"\0")
        raw = isinstance(part, bytes | memoryview)
        digest.update(part if raw else json.dumps(part, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def contents(paths: Iterable[Path]) -> bytes:
    """Names and SHA-256 of files, one after the other: a part for `fingerprint`."""
    joined = b""
    for path in paths:
        with open(path, "rb") as file:
            joined += path.name.encode() + hashlib.file_digest(file, "sha256").digest()
    return joined
