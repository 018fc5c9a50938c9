"""The string that our Prefect server asks for, in a file that only its owner reads.

Prefect's own command sends it by a profile in Prefect's folder. A user's own
`PREFECT_API_AUTH_STRING` wins, and we send what the file holds to no other machine.
"""

import base64
import json
import re
import secrets
import socket
from pathlib import Path
from urllib.parse import urlsplit

from prefect.settings import get_current_settings

from amtss.errors import AmtssError
from amtss.files import replacing

VARIABLE, SERVER_VARIABLE = "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"
"""What clients send, and what the server asks for."""
PROFILE = """# What `prefect` sends to the server here; `python -m flows up` writes this file.
active = "amtss"

[profiles.amtss]
"""
RENEW = "delete it, then `python -m flows down` and `python -m flows up` make another"


def path(home: Path) -> Path:
    """The file, in Prefect's folder."""
    return home / "auth_string"


def string(home: Path, url: str) -> str | None:
    """What the server at `url` is to be sent; None where we have nothing for it.

    Raises:
        AmtssError: others may read the file, or it has no string.
    """
    settings = get_current_settings()
    made = _read(path(home)) if path(home).exists() else None
    if (own := settings.api.auth_string) and own.get_secret_value() != made:  # not our profile's
        return str(own.get_secret_value())
    if not _is_here(url):
        return None
    if servers := settings.server.api.auth_string:
        return str(servers.get_secret_value())
    return made


def make(home: Path, url: str) -> str:
    """What the server at `url` shall ask for; it is written to the file if there is nothing yet,
    and to a profile that `prefect` finds, unless the user has profiles there."""
    known = string(home, url)
    if known is None:
        known = f"amtss:{secrets.token_urlsafe(32)}"
        _write(path(home), f"{known}\n")
    profiles = home / "profiles.toml"
    if path(home).exists() and (not profiles.exists() or profiles.read_bytes().startswith(
            PROFILE.encode())):
        _write(profiles, f"{PROFILE}{VARIABLE} = {json.dumps(_read(path(home)))}\n")
    return known


def headers(home: Path, url: str) -> dict[str, str]:
    """What a request to the server at `url` says of who asks, as Prefect's own client does."""
    key = get_current_settings().api.key
    if own := string(home, url):
        return {"Authorization": f"Basic {base64.b64encode(own.encode()).decode('ascii')}"}
    return {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}


def _write(file: Path, text: str) -> None:
    with replacing(file, private=True) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(text, encoding="ascii")


def _read(file: Path) -> str:
    try:
        mode, text = file.stat().st_mode, file.read_bytes().strip()
    except OSError as error:
        raise AmtssError(f"{file}: expected to be able to read it, found: {error.strerror}; "
                         f"{RENEW}") from None
    if mode & 0o077:
        raise AmtssError(f"{file}: expected a file that only its owner reads, found permissions "
                         f"{mode & 0o777:o}, by which others may know it; {RENEW}")
    if not re.fullmatch(rb"[!-~]+", text):
        raise AmtssError(f"{file}: expected one word of ASCII, found something else; {RENEW}")
    return text.decode("ascii")


def _is_here(url: str) -> bool:
    """Whether the address is one of this machine, the end of a tunnel included."""
    with socket.socket() as probe:
        try:
            probe.bind((urlsplit(url).hostname, 0))
        except (OSError, TypeError):
            return False
    return True
