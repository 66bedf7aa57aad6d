"""Where the server is, and which token it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import InvalidError
from shunter.connection import DEFAULT_URL, Connection, default_profile


def token_of(connection: Connection) -> str | None:
    return connection.token.get_secret_value() if connection.token else None


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text("url: https://lab.test/\ntoken: saved\n")
    file.chmod(0o600)
    return file


def test_without_anything_it_is_the_stack_of_this_machine(tmp_path: Path) -> None:
    found = Connection.find(environ={}, profile=tmp_path / "none")
    assert found == Connection(DEFAULT_URL, None)


def test_arguments_win_over_the_environment_and_that_over_the_profile(profile: Path, tmp_path: Path) -> None:
    environ = {"SHUNTER_URL": "https://env.test", "SHUNTER_TOKEN": "env"}
    (tmp_path / "token").write_text("file\n")
    assert Connection.find(environ={}, profile=profile).url == "https://lab.test"
    assert token_of(Connection.find(environ={}, profile=profile)) == "saved"
    assert Connection.find(environ=environ, profile=profile).url == "https://env.test"
    assert token_of(Connection.find(environ=environ, profile=profile)) == "env"
    assert Connection.find("https://arg.test/", environ=environ, profile=profile).url == "https://arg.test"
    assert token_of(Connection.find(token_file=tmp_path / "token", environ=environ, profile=profile)) == "file"
    assert token_of(Connection.find(token="arg", environ=environ, profile=profile)) == "arg"


def test_a_saved_token_is_shown_only_to_its_own_server(profile: Path) -> None:
    assert token_of(Connection.find("https://other.test", environ={}, profile=profile)) is None
    assert token_of(Connection.find("https://lab.test", environ={}, profile=profile)) == "saved"


def test_a_saved_token_that_others_can_read_is_refused(profile: Path) -> None:
    profile.chmod(0o644)
    with pytest.raises(InvalidError, match="chmod 600"):
        Connection.find(environ={}, profile=profile)


@pytest.mark.parametrize("text", ["url: [", "tokn: x", "- a"])
def test_a_profile_that_makes_no_sense_is_refused_without_repeating_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InvalidError, match="is no profile"):
        Connection.find(environ={}, profile=tmp_path / "config.yaml")


def test_a_token_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="token file"):
        Connection.find(token_file=tmp_path / "none", environ={}, profile=tmp_path / "none")


def test_a_url_needs_a_scheme(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="http://"):
        Connection.find("lab.test:8800", environ={}, profile=tmp_path / "none")


def test_the_profile_lies_where_the_system_keeps_such() -> None:
    assert default_profile({"XDG_CONFIG_HOME": "/etc/xdg"}) == Path("/etc/xdg/shunter/config.yaml")
