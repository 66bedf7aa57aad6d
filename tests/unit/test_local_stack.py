"""What `shunter up` plans and writes before it starts anything."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path

import pytest
import yaml

from deploy.local.configuration import DEMO_USERS, Secrets, config_path, demo_path, write_configuration
from deploy.local.parts import NAMES, SERVICES, STOP_ORDER, make_parts
from deploy.local.ports import SPAN, PortPlan, is_free, require_free, suggest
from deploy.local.servers import StartError
from deploy.local.sign_in import accounts
from services.gateway.auth.oidc.claims import ClaimReader
from services.gateway.settings import GatewaySettings
from services.scheduler.settings import SchedulerSettings
from services.storage.settings import StorageSettings


@pytest.mark.parametrize("base", [80, 1023, 22_757, 60_000])
def test_a_range_that_cannot_hold_all_ports_is_refused(base: int) -> None:
    with pytest.raises(StartError, match="--port must be between 1024 and 22756"):
        PortPlan(base)


def test_all_ports_of_a_stack_are_different_and_below_those_of_outgoing_connections() -> None:
    ports = [port for _, port in PortPlan(22_756).listeners()]
    assert len(set(ports)) == len(ports)
    assert max(ports) < 32_768


def test_a_busy_port_is_named_with_its_user_and_the_suggested_range_is_free() -> None:
    base = suggest(17_000)
    assert base is not None
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base + 3))
        assert not is_free(base + 3)
        with pytest.raises(StartError, match=rf"{base + 3} \(temporal\); try --port \d+"):
            require_free(PortPlan(base))
        other = suggest(base - SPAN)
    assert other != base
    require_free(PortPlan(base))


def test_secrets_are_made_once_and_are_for_us_alone(tmp_path: Path) -> None:
    first = Secrets(tmp_path).get("ticket_key")
    assert Secrets(tmp_path).get("ticket_key") == first
    assert Secrets(tmp_path).get("nats_password") != first
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_without_demo_users_whoever_sits_at_the_machine_comes_in(tmp_path: Path) -> None:
    write_configuration(tmp_path, PortPlan(8800), demo=True)
    write_configuration(tmp_path, PortPlan(8800), demo=False)
    identity = yaml.safe_load(config_path(tmp_path).read_text())["gateway"]["identity"]
    assert identity == {"local": True, "users": []}
    assert not demo_path(tmp_path).exists()


def test_demo_users_keep_their_tokens_and_the_settings_hold_only_hashes(tmp_path: Path) -> None:
    write_configuration(tmp_path, PortPlan(8800), demo=True)
    before = json.loads(demo_path(tmp_path).read_text())
    write_configuration(tmp_path, PortPlan(9000), demo=True)
    after = json.loads(demo_path(tmp_path).read_text())
    assert after["users"] == before["users"]
    assert after["gateway"] == "http://127.0.0.1:9000"
    settings = config_path(tmp_path).read_text()
    for name, user in after["users"].items():
        assert user["token"] not in settings, name
        assert hashlib.sha256(user["token"].encode()).hexdigest() in settings, name


def test_the_services_read_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_configuration(tmp_path, PortPlan(8800), demo=True)
    monkeypatch.setenv("SHUNTER_CONFIG", str(config_path(tmp_path)))
    gateway, scheduler, storage = GatewaySettings(), SchedulerSettings(), StorageSettings()
    assert gateway.nats.url == scheduler.nats.url == "nats://127.0.0.1:8801"
    assert {user.subject for user in gateway.gateway.identity.users} == set(DEMO_USERS)
    assert gateway.gateway.identity.local is False
    assert scheduler.scheduler.temporal.address == "127.0.0.1:8803"
    assert storage.storage.s3.endpoint == "127.0.0.1:8807"
    assert gateway.ticket_key.get_secret_value() == storage.ticket_key.get_secret_value()


def test_demo_users_have_accounts_at_the_issuer_where_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_configuration(tmp_path, PortPlan(8800), demo=True, oidc=True)
    monkeypatch.setenv("SHUNTER_CONFIG", str(config_path(tmp_path)))
    (trusted,) = GatewaySettings().gateway.identity.issuers
    told = json.loads(demo_path(tmp_path).read_text())["oidc"]
    assert told["issuer"] == trusted.issuer == "http://127.0.0.1:18800"
    assert set(told["accounts"]) == set(DEMO_USERS)
    assert told["accounts"]["owner"]["client_secret"] not in config_path(tmp_path).read_text()
    parts = make_parts(tmp_path, PortPlan(8800), issuer=True)
    assert set(parts) == {*NAMES, "issuer"}
    assert (tmp_path / "issuer" / "issuer.json").stat().st_mode & 0o777 == 0o600
    # What its tokens say of each makes the same user of them as their own tokens do.
    reader = ClaimReader(trusted)
    for name, account in accounts(Secrets(tmp_path)).items():
        found = reader.read({"sub": name, **account.claims})
        assert (found.subject, found.projects) == (name, DEMO_USERS[name]["projects"])
        assert found.roles == set(DEMO_USERS[name].get("roles", []))


def test_every_part_is_started_and_stopped(tmp_path: Path) -> None:
    write_configuration(tmp_path, PortPlan(8800), demo=False)
    parts = make_parts(tmp_path, PortPlan(8800))
    assert tuple(parts) == NAMES
    assert sorted(name for group in STOP_ORDER for name in group) == sorted(NAMES)
    assert {name for name, part in parts.items() if not part.is_server} == set(SERVICES)
