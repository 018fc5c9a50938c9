"""The Hugging Face hub: check quickly that it has what params.yaml names, and download data sets.

`HF_ENDPOINT`, `HF_HUB_OFFLINE`, `HF_HUB_CACHE` and a token are read by huggingface_hub itself.
"""

import re
from pathlib import Path
from typing import Literal

from amtss.errors import CheckpointError, DataError, first_line

Kind = Literal["model", "dataset"]
FIRST = {"model": "config.json", "dataset": "README.md"}
"""The file of a repository that `check` asks for."""
KEY = {"model": "the checkpoint", "dataset": "data.hub"}
"""The setting that names it, for messages."""
COMMIT = re.compile(r"[0-9a-f]{40}")


def check(kind: Kind, name: str, revision: str | None = None) -> None:
    """Check that `name` is a local folder, is in the hub's cache, or can be had from the hub.

    The libraries' own loaders retry for a minute before they fail.

    Raises:
        CheckpointError: for a model, if there is no such name or revision, if it is gated, or if
            the cache has no copy and the hub does not answer or may not be asked.
        DataError: the same for a data set.
    """
    if Path(name).is_dir():
        return
    from huggingface_hub import hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, OfflineModeIsEnabled
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_backoff, httpx

    cached = False
    try:
        cached = bool(try_to_load_from_cache(name, FIRST[kind], revision=revision, repo_type=kind))
        if cached and COMMIT.fullmatch(revision or ""):
            return
        url = hf_hub_url(name, FIRST[kind], repo_type=kind, revision=revision)
        hf_raise_for_status(http_backoff(
            "HEAD", url, headers=build_hf_headers(), timeout=10, max_retries=2, base_wait_time=0.5))
    except EntryNotFoundError:
        return  # the repository exists, and may have other files
    except (OfflineModeIsEnabled, HFValidationError, httpx.HTTPError) as error:
        if not cached:
            raised = CheckpointError if kind == "model" else DataError
            raise raised(f"{name}: {_refusal(kind, name, revision, error)}") from error


def _refusal(kind: Kind, name: str, revision: str | None, error: Exception) -> str:
    """What was expected, what the hub or its library said, and what fixes it."""
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{name}"
    copy = f"a copy{f' of revision {revision!r}' if revision else ''} in the hub's cache"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return (f"expected a folder or {copy}, found neither, and HF_HUB_OFFLINE is set; unset it, "
                f"or correct {KEY[kind]} in params.yaml")
    if isinstance(error, errors.RevisionNotFoundError):
        return (f"expected the revision {revision!r}, found no branch, tag or commit of that name; "
                f"take one of {page}/commits/main")
    if isinstance(error, errors.GatedRepoError):
        return (f"expected a {kind} that you may read, found a gated one; ask for access at "
                f"{page}, then `hf auth login` or set HF_TOKEN")
    if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError):
        return (f"expected a folder or a {kind} of the hub, found neither, or a private one; "
                f"correct {KEY[kind]} in params.yaml, or `hf auth login`")
    reason = first_line(error).rstrip(".")
    return (f"expected {copy} or an answer from {constants.ENDPOINT}, found neither: {reason}; "
            "fix the network or the token, or name a local folder in params.yaml")


def commit(name: str, revision: str | None) -> str | None:
    """The commit that `revision` of a loaded model means; None for a local folder."""
    if Path(name).is_dir():
        return None
    cached = folder(name, revision)
    return cached.name if cached else None


def folder(name: str, revision: str | None) -> Path | None:
    """Where a loaded model's files are: a local folder, or one in the hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    if Path(name).is_dir():
        return Path(name)
    cached = try_to_load_from_cache(name, FIRST["model"], revision=revision)
    return Path(cached).parent if isinstance(cached, str) else None


def snapshot(name: str, revision: str | None) -> Path:
    """Folder with all files of the data set `name` at `revision`, in the hub's cache.

    We do not let `datasets` download: its own cache returns whichever revision it read last.

    Raises:
        DataError: see `check`; or the download failed.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import httpx

    check("dataset", name, revision)
    try:
        return Path(snapshot_download(name, repo_type="dataset", revision=revision))
    except (OSError, httpx.HTTPError) as error:
        raise DataError(f"data set {name}: expected to download it, found: "
                        f"{first_line(error)}; run the same command again, or "
                        "set data.path to a copy") from error
