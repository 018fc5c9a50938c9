"""The string of our Prefect server."""

import re
from pathlib import Path

import pytest
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_SERVER_API_AUTH_STRING,
    Profile,
    temporary_settings,
)
from prefect.settings.profiles import _read_profiles_from

from amtss.errors import AmtssError
from flows import login

HERE, THERE = "http://127.0.0.1:4200/api", "https://api.prefect.cloud/api/accounts/1/workspaces/2"


def test_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    made = login.make(tmp_path, HERE)
    assert re.fullmatch(r"amtss:[\w-]{43}", made)
    assert login.path(tmp_path).stat().st_mode & 0o777 == 0o600
    assert login.path(tmp_path).read_text() == f"{made}\n"
    assert login.make(tmp_path, HERE) == login.string(tmp_path, HERE) == made
    profiles = tmp_path / "profiles.toml"
    assert sorted(tmp_path.iterdir()) == [login.path(tmp_path), profiles]
    assert profiles.stat().st_mode & 0o777 == 0o600
    assert _read_profiles_from(profiles).active_profile == Profile(
        name="amtss", settings={PREFECT_API_AUTH_STRING: made}, source=profiles)


def test_a_new_one_is_in_the_profile_too(tmp_path: Path) -> None:
    login.make(tmp_path, HERE)
    login.path(tmp_path).unlink()
    made = login.make(tmp_path, HERE)
    assert made in (tmp_path / "profiles.toml").read_text()


def test_ones_own_profiles_stay(tmp_path: Path) -> None:
    (tmp_path / "profiles.toml").write_text('active = "mine"\n')
    login.make(tmp_path, HERE)
    assert (tmp_path / "profiles.toml").read_text() == 'active = "mine"\n'


def test_is_sent_to_no_other_machine(tmp_path: Path) -> None:
    login.make(tmp_path, HERE)
    assert login.string(tmp_path, THERE) is None
    assert login.headers(tmp_path, THERE) == {}
    made = login.string(tmp_path, HERE)
    with temporary_settings({PREFECT_API_KEY: "pnu_1", PREFECT_API_AUTH_STRING: made}):  # a profile
        assert login.headers(tmp_path, THERE) == {"Authorization": "Bearer pnu_1"}
        assert login.headers(tmp_path, HERE)["Authorization"].startswith("Basic ")


def test_ones_own_wins(tmp_path: Path) -> None:
    login.make(tmp_path, HERE)
    with temporary_settings({PREFECT_SERVER_API_AUTH_STRING: "of:server"}):
        assert login.string(tmp_path, HERE) == "of:server"
        assert login.string(tmp_path, THERE) is None
        with temporary_settings({PREFECT_API_AUTH_STRING: "of:client"}):
            assert login.string(tmp_path, HERE) == login.string(tmp_path, THERE) == "of:client"
            assert login.headers(tmp_path, THERE) == {"Authorization": "Basic b2Y6Y2xpZW50"}


def test_none_is_made_where_one_has_ones_own(tmp_path: Path) -> None:
    with temporary_settings({PREFECT_API_AUTH_STRING: "of:client"}):
        assert login.make(tmp_path, HERE) == "of:client"
    assert list(tmp_path.iterdir()) == []


class TestRefused:
    def test_a_file_that_others_read(self, tmp_path: Path) -> None:
        login.make(tmp_path, HERE)
        login.path(tmp_path).chmod(0o640)
        with pytest.raises(AmtssError, match=r"only its owner reads, found permissions 640, .* up"):
            login.string(tmp_path, HERE)

    @pytest.mark.parametrize("text", [b"", b"\n", b"two words", b"two\nlines", b"\xff"], ids=repr)
    def test_a_file_without_a_string(self, tmp_path: Path, text: bytes) -> None:
        login.make(tmp_path, HERE)
        login.path(tmp_path).write_bytes(text)
        with pytest.raises(AmtssError, match="auth_string: expected one word of ASCII, found"):
            login.string(tmp_path, HERE)

    def test_a_folder(self, tmp_path: Path) -> None:
        login.path(tmp_path).mkdir()
        with pytest.raises(AmtssError, match=r"auth_string: expected to be able to read it, found"):
            login.string(tmp_path, HERE)
