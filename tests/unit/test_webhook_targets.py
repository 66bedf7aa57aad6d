"""Where events may be sent: what speaks against a URL, and against the address that a name leads to."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidError
from contracts.hooks import Callback, read_url
from services.scheduler.settings import Webhooks
from services.scheduler.webhooks.gate import HookGate
from services.scheduler.webhooks.sending import Sender, UnreachableError
from services.scheduler.webhooks.targets import Targets, is_public
from tests.support.hooks import Got, Receiver, Says, run_receiver

HERE: dict[str, Any] = {
    "allow": ["127.0.0.1", "localhost"],
    "http": True,
    "ports": [],
    "networks": ["127.0.0.0/8", "::1/128"],
}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "//example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "https://",
        "https:///path",
        "https://user:word@example.org/",
        "https://user@example.org/",
        "https://example.org@127.0.0.1/",
        "https://example.org\\@127.0.0.1/",
        "https://example.org/#fragment",
        "https://example.org#",
        "https://example.org:0/",
        "https://example.org:/",
        "https://example.org:65536/",
        "https://example.org:-1/",
        "https://example.org:80a/",
        "https://exam ple.org/",
        "https://example.org/a b",
        "https://example.org/\r\nHost: x",
        "https://ex\u00e4mple.org/",
        "https://a..b/",
        "https://.example.org/",
        "https://example.org./",
        "https://-example.org/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.1.2/",
        "http://256.1.1.1/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://[127.0.0.1]/",
        "http://::1/",
        "https://" + "a" * 64 + ".org/",
        "https://" + "a." * 130 + "org/",
    ],
)
def test_what_readers_could_take_for_different_things_is_no_target(url: str) -> None:
    with pytest.raises(ValueError, match=r"must|is no URL"):
        read_url(url)


def test_a_url_is_taken_apart_once() -> None:
    found = read_url("https://Hooks.Example.org:8443/a/b?c=d&e")
    assert (found.scheme, found.host, found.port, found.target) == ("https", "hooks.example.org", 8443, "/a/b?c=d&e")
    assert read_url("https://example.org").target == "/"
    assert read_url("http://example.org?x").target == "/?x"
    literal = read_url("http://[::FFFF:127.0.0.1]:99/").literal
    assert literal is not None
    assert not is_public(literal)


@given(st.text(max_size=60))
def test_no_text_breaks_the_reading_of_a_url(text: str) -> None:
    try:
        address = read_url(text)
    except ValueError:
        return
    assert address.host
    assert 0 < address.port < 65536


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
        *("169.254.169.254", "169.254.0.1", "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "255.255.255.255"),
        *("::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::10.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::"),
    ],
)
def test_addresses_of_ours_are_not_the_worlds(address: str) -> None:
    assert not is_public(ip_address(address))
    assert not Targets(Webhooks(allow=["*"])).allows(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2001:4860:4860::8888", "::ffff:8.8.8.8"])
def test_the_worlds_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


def test_a_network_that_the_operator_names_is_allowed_and_no_other() -> None:
    targets = Targets(Webhooks.model_validate({"allow": ["*"], "networks": ["10.1.0.0/16"]}))
    assert targets.allows(ip_address("10.1.2.3"))
    assert targets.allows(ip_address("::ffff:10.1.2.3"))
    assert not targets.allows(ip_address("10.2.2.3"))
    assert not targets.allows(ip_address("127.0.0.1"))


@pytest.mark.parametrize(
    ("settings", "url", "said"),
    [
        ({}, "https://example.org/", "allow"),
        ({"allow": ["example.org"]}, "https://evil-example.org/", "allow"),
        ({"allow": ["example.org"]}, "https://a.example.org/", "allow"),
        ({"allow": ["*.example.org"]}, "https://example.org/", "allow"),
        ({"allow": ["*.example.org"]}, "https://evilexample.org/", "allow"),
        ({"allow": ["example.org"]}, "http://example.org/", "http"),
        ({"allow": ["example.org"]}, "https://example.org:8443/", "ports"),
        ({"allow": ["*"]}, "https://127.0.0.1/", "networks"),
        ({"allow": ["*"]}, "https://[::1]/", "networks"),
        ({"allow": ["*"]}, "https://[::ffff:169.254.169.254]/", "networks"),
    ],
)
def test_a_refusal_names_the_setting(settings: dict[str, Any], url: str, said: str) -> None:
    with pytest.raises(InvalidError, match=rf"scheduler\.webhooks\.{said}") as refused:
        HookGate(Targets(Webhooks.model_validate(settings))).require(Callback(url=url), "callback.")
    assert refused.value.errors[0].field == "callback.url"


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({"allow": ["Example.org"]}, "https://EXAMPLE.org/"),
        ({"allow": ["*.example.org"]}, "https://a.b.example.org/"),
        ({"allow": ["*"], "http": True, "ports": [80]}, "http://example.org/"),
        ({"allow": ["10.1.2.3"], "networks": ["10.0.0.0/8"]}, "https://10.1.2.3/"),
    ],
)
def test_what_is_named_is_allowed(settings: dict[str, Any], url: str) -> None:
    HookGate(Targets(Webhooks.model_validate(settings))).require(Callback(url=url))


# --- at the connection --------------------------------------------------------------------------------------------


async def _post(url: str, settings: dict[str, Any]) -> int:
    webhooks = Webhooks.model_validate(settings)
    sender = Sender(webhooks, Targets(webhooks))
    try:
        return (await sender.post(read_url(url), [("content-type", "application/json")], b"{}")).status
    finally:
        await sender.close()


async def test_a_name_that_leads_to_an_address_of_ours_is_not_connected_to() -> None:
    async with run_receiver() as receiver:
        with pytest.raises(UnreachableError, match=r"localhost leads to .*, where this site sends nothing"):
            await _post(receiver.url(host="localhost"), {**HERE, "networks": []})
        assert receiver.got == []
        assert await _post(receiver.url(host="localhost"), HERE) == 200


async def test_one_address_of_ours_among_others_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lies(*_args: object, **_more: object) -> list[Any]:
        return [(2, 1, 6, "", ("8.8.8.8", 443)), (2, 1, 6, "", ("127.0.0.1", 443))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lies)
    with pytest.raises(UnreachableError, match=r"leads to 127\.0\.0\.1"):
        await _post("https://rebinding.example.org/", {"allow": ["*"]})


async def test_a_name_that_nobody_knows_is_no_reason_to_break() -> None:
    with pytest.raises(UnreachableError, match="cannot be looked up"):
        await _post("https://no-such-host.invalid/", {"allow": ["*"]})


@pytest.mark.parametrize("where", ["http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:1/", "/elsewhere"])
async def test_redirects_are_not_followed(where: str) -> None:
    async with run_receiver() as receiver:
        receiver.answer = lambda _: Says(302, (("location", where),))
        assert await _post(receiver.url(), HERE) == 302
        assert len(receiver.got) == 1


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    async with run_receiver() as receiver:
        receiver.answer = lambda _: Says(200, endless=True)
        assert await _post(receiver.url(), {**HERE, "answer_limit": 100_000}) == 200
        assert receiver.sent < 64 * 2**20


async def test_an_answer_that_announces_a_gigabyte_of_zip_is_not_unpacked() -> None:
    async with run_receiver() as receiver:
        receiver.answer = lambda _: Says(200, (("content-encoding", "gzip"),), body=b"\x1f\x8b" + bytes(1000))
        assert await _post(receiver.url(), HERE) == 200


async def test_a_slow_target_costs_no_more_than_its_time() -> None:
    async with run_receiver() as receiver:
        receiver.answer = lambda _: Says(pause=5)
        with pytest.raises(UnreachableError, match="no answer within"):
            await _post(receiver.url(), {**HERE, "timeout": 1})


async def test_a_target_that_is_down_or_talks_nonsense_is_unreachable() -> None:
    async def nonsense(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        await writer.drain()
        writer.close()

    with pytest.raises(UnreachableError, match="no answer"):
        await _post("http://127.0.0.1:1/", HERE)
    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    async with server:
        with pytest.raises(UnreachableError, match="no answer"):
            await _post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", HERE)


async def test_plain_http_where_tls_is_spoken_is_unreachable() -> None:
    async with run_receiver() as receiver:
        with pytest.raises(UnreachableError, match=r"certificate|no answer"):
            await _post(receiver.url().replace("http://", "https://"), {**HERE, "timeout": 1})


async def test_retry_after_is_read() -> None:
    async with run_receiver() as receiver:
        receiver.answer = lambda _: Says(503, (("retry-after", "17"),))
        webhooks = Webhooks.model_validate(HERE)
        sender = Sender(webhooks, Targets(webhooks))
        answer = await sender.post(read_url(receiver.url("/x?y=z")), [], b"hello")
        await sender.close()
    assert (answer.status, answer.retry_after) == (503, 17.0)
    assert receiver.got == [Got("/x?y=z", receiver.got[0].headers, b"hello")]


def test_the_receiver_of_the_tests_answers_by_default_with_200() -> None:
    assert Receiver().answer(Got("/", {}, b"")) == Says(200)
