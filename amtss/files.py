"""Files: written whole or not at all, read with errors that name the fix, locked, fingerprinted."""

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
    """Write `value` as indented JSON, atomically; keys keep their order."""
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

    The caller writes either a file or a folder there. After any error nothing is left behind and
    `path` is as it was.

    Raises:
        AmtssError: the file system refuses (disk full, no permission).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for stale in path.parent.glob(f".{path.name}-????????"):  # left by a killed process
            shutil.rmtree(stale, ignore_errors=True)
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


def _refused(path: Path, error: Exception) -> AmtssError:
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


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait for the lock file `path` and hold it. The system frees it when the process ends.

    Raises:
        OSError: the file cannot be created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_text(path: Path, command: str) -> str:
    """The text in `path`.

    Raises:
        AmtssError: no such file; the message names `command`, which writes it.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise AmtssError(f"{path}: expected a file, found none; run `{command}`") from None


def read_json(path: Path, command: str) -> Any:
    """The JSON in `path`.

    Raises:
        AmtssError: no such file, or not JSON; the message names `command`, which writes it.
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
