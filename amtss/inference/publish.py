"""Push an export to a repository of the hub.

`HF_ENDPOINT`, `HF_HUB_OFFLINE` and the token are read by huggingface_hub itself.
"""

import re
from pathlib import Path
from typing import NoReturn

from amtss.errors import AmtssError, first_line

NAME = re.compile(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)


def check(repository: str) -> None:
    """Check that `repository` can be a name, and that there is a token, before anything is written.

    Raises:
        AmtssError: it is no OWNER/NAME, or there is no token, or the hub may not be asked.
    """
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError:
        _refuse_name(repository)
    if not NAME.fullmatch(repository):
        _refuse_name(repository)
    if constants.HF_HUB_OFFLINE:
        raise AmtssError(f"{repository}: expected to be able to ask the hub, found HF_HUB_OFFLINE "
                         "set; unset it")
    if get_token() is None:
        raise AmtssError(f"{repository}: expected a token of the hub that may write there, found "
                         "none; `hf auth login`, or set HF_TOKEN")


def _refuse_name(repository: str) -> NoReturn:
    raise AmtssError(f"--push-to-hub: expected OWNER/NAME, found {repository!r}; correct it")


def push(folder: Path, repository: str, private: bool) -> str:
    """Upload the files of a folder to a model's repository, which is created if need be.

    Returns: the address of its page.

    Raises:
        AmtssError: the hub does not answer or refuses; or the repository must be private and is
            public.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import httpx

    hub = HfApi()
    try:
        page = hub.create_repo(repository, private=private or None, exist_ok=True)
        if private and not hub.model_info(repository).private:
            raise AmtssError(f"{repository}: expected a private repository, found a public one; "
                             "make it private on its page, or leave out --private")
        hub.upload_folder(repo_id=repository, folder_path=folder, commit_message="amtss export")
    except (httpx.HTTPError, OSError, ValueError) as error:
        raise AmtssError(f"{repository}: expected the hub to take the export, found: "
                         f"{_reason(error)}; {folder} is written, so fix the token or the network, "
                         "then run the same command again") from error
    return str(page)


def _reason(error: Exception) -> str:
    """What the hub says, on one line; its address and the request's number say nothing."""
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError) and error.response is not None:
        said = error.server_message or error.response.reason_phrase
        return f"{error.response.status_code} {said}".rstrip(".")
    return first_line(error).rstrip(".")
