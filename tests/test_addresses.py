"""Where images may be fetched from: pure rules over names and addresses, and then over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from batchgen.adapters.http_api.addresses import AddressRule, Forbidden, GuardedResolver
from batchgen.adapters.http_api.image_hosts import ImageHosts
from batchgen.errors import ResultUnavailable
from batchgen.hosts import Reach, reach_of
from batchgen.testing import tiny_png

STRICT, LOCAL = AddressRule(), AddressRule(loopback=True)
OPEN = AddressRule(loopback=True, private=True)
PRIVATE = [
    *("10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
    *("255.255.255.255", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "::", "192.0.2.1"),
    *("::127.0.0.1", "::8.8.8.8", "64:ff9b:1::808:808"),
]
HOLDERS = ["::ffff:{}", "64:ff9b::{}"]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_of_no_public_network_is_private(address: str) -> None:
    assert reach_of(address) is Reach.PRIVATE


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"])
def test_this_machine_is_known_by_each_of_its_addresses(address: str) -> None:
    assert reach_of(address) is Reach.LOOPBACK


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_a_public_address_is_public(address: str) -> None:
    assert reach_of(address) is Reach.PUBLIC


@given(st.ip_addresses(v=4), st.sampled_from(HOLDERS))
def test_an_address_in_an_address_leads_where_the_inner_one_leads(inner: IPv4Address, holder: str) -> None:
    assert reach_of(holder.format(inner)) is reach_of(str(inner))


def may(rule: AddressRule, url: str, came_from: str | None = None) -> bool:
    try:
        rule.check(URL(url), came_from=None if came_from is None else URL(came_from))
    except ResultUnavailable as refusal:
        return not refusal.permanent
    return True


@pytest.mark.parametrize(
    ("url", "came_from", "allowed"),
    [
        ("https://a.test/", None, True),
        ("https://a.test/", "http://127.0.0.1/", True),
        ("https://a.test/", "https://b.test/", True),
        ("http://localhost:1/", None, True),
        ("http://[::1]/", None, True),
        ("http://127.9.9.9/", "http://127.0.0.1/", True),
        ("http://127.0.0.1/", "https://a.test/", False),
        ("https://127.0.0.1/", "https://a.test/", False),
        ("http://a.test/", "https://a.test/", False),
        ("http://a.test/", None, False),
        ("https://10.0.0.1/", None, False),
        ("https://[::ffff:10.0.0.1]/", "https://a.test/", False),
        ("https://169.254.169.254/latest/meta-data", None, False),
        ("http://1.1.1.1/", None, False),
        ("https://127.1/", None, False),
        ("https://2130706433/", None, False),
        ("https://0177.0.0.1/", None, False),
        ("https://0x7f000001/", None, False),
    ],
)
def test_where_an_image_may_be_fetched_from(url: str, came_from: str | None, allowed: bool) -> None:
    assert may(LOCAL, url, came_from) is allowed


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "https://127.0.0.1/", "https://[::1]/"])
def test_an_api_elsewhere_names_no_image_on_this_machine(url: str) -> None:
    assert not may(STRICT, url)
    assert may(OPEN, url)


@pytest.mark.parametrize("url", ["https://10.0.0.1/", "https://[fe80::1]/", "http://127.0.0.1/", "https://a.test/"])
def test_a_user_may_allow_private_networks(url: str) -> None:
    assert may(OPEN, url, "https://elsewhere.test/")


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0177.0.0.1", "0x7f000001", "a.test.1", "10.1"])
@pytest.mark.parametrize("rule", [STRICT, LOCAL, OPEN])
def test_an_address_that_not_all_programs_read_alike_is_refused_whatever_is_allowed(
    rule: AddressRule, host: str
) -> None:
    assert not may(rule, f"https://{host}/")


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "ftp://10.0.0.1/", "file:///etc/passwd"])
def test_even_then_only_tls_leaves_this_machine(url: str) -> None:
    assert not may(OPEN, url)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("cdn.test", True), ("CDN.test", True), ("f005.b2.test", True), ("a.b.b2.test", True), ("cdn.test.", True),
        ("b2.test", False), ("evilb2.test", False), ("cdn.test.evil.test", False), ("8.8.8.8", False),
    ],
)  # fmt: skip
def test_a_list_of_hosts_is_the_only_ones(host: str, allowed: bool) -> None:
    rule = AddressRule(private=True, hosts=("cdn.test", "*.b2.test"))
    assert may(rule, f"https://{host}/a") is allowed
    assert may(rule, f"https://{host}/a", "https://cdn.test/") is allowed


# --- Names are held to their addresses


class Answers(AbstractResolver):
    """A name server that gives these addresses, whatever the name; each call the next list."""

    def __init__(self, *addresses: str) -> None:
        self._rounds = [one.split() for one in addresses]

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = self._rounds.pop(0) if len(self._rounds) > 1 else self._rounds[0]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in addresses
        ]

    async def close(self) -> None:
        return None


async def resolved(rule: AddressRule, *addresses: str) -> list[str]:
    return [found["host"] for found in await GuardedResolver(rule, Answers(*addresses)).resolve("a.test", 443)]


async def test_of_a_names_addresses_only_those_that_are_allowed_are_called() -> None:
    assert await resolved(STRICT, "10.0.0.1 1.1.1.1 127.0.0.1") == ["1.1.1.1"]
    assert await resolved(LOCAL, "10.0.0.1 127.0.0.1") == ["127.0.0.1"]
    assert await resolved(OPEN, "10.0.0.1 1.1.1.1") == ["10.0.0.1", "1.1.1.1"]


async def test_a_name_that_stands_for_a_private_address_is_refused_for_good_and_says_what_to_do() -> None:
    with pytest.raises(Forbidden) as caught:
        await resolved(STRICT, "10.0.0.1 fe80::1")
    refusal = caught.value.refusal
    assert refusal.permanent
    assert "--allow-private-hosts" in refusal.message


async def test_a_name_that_changes_its_address_after_it_was_looked_at_gains_nothing() -> None:
    resolver = GuardedResolver(STRICT, Answers("1.1.1.1", "127.0.0.1"))
    assert [found["host"] for found in await resolver.resolve("a.test")] == ["1.1.1.1"]
    with pytest.raises(Forbidden, match="this machine"):
        await resolver.resolve("a.test")


# --- Over real sockets


@asynccontextmanager
async def image_host() -> AsyncIterator[tuple[str, list[str]]]:
    """A server on this machine; its port and what it was asked for."""
    asked: list[str] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(body=tiny_png())

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield str(runner.addresses[0][1]), asked
    finally:
        await runner.cleanup()


async def refused(base_url: str, link: str, *, private_hosts: bool = False) -> ResultUnavailable | None:
    async with ImageHosts(AddressRule.beside(base_url, private=private_hosts)) as hosts:
        try:
            await hosts.download(link)
        except ResultUnavailable as refusal:
            return refusal
    return None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_real_api_cannot_make_us_call_this_machine(host: str) -> None:
    async with image_host() as (port, asked):
        for scheme in ("http", "https"):
            refusal = await refused("https://api.imagepipeline.io", f"{scheme}://{host}:{port}/admin")
            assert refusal is not None
            assert refusal.permanent
            assert "this machine" in refusal.message
    assert asked == []


async def test_an_api_on_this_machine_may_have_its_images_here() -> None:
    async with image_host() as (port, asked):
        assert await refused("http://localhost:1", f"http://127.0.0.1:{port}/a") is None
        assert await refused("https://api.test", f"http://localhost:{port}/b", private_hosts=True) is None
    assert asked == ["/a", "/b"]


@pytest.mark.parametrize("form", ["2130706433", "127.1", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "[::ffff:7f00:1]"])
async def test_odd_spellings_of_this_machine_gain_nothing(form: str) -> None:
    async with image_host() as (port, asked), asyncio.timeout(20):
        assert await refused("https://api.imagepipeline.io", f"https://{form}:{port}/a") is not None
    assert asked == []


async def test_a_host_that_the_profile_does_not_list_is_not_called() -> None:
    rule = AddressRule.beside("http://127.0.0.1:1", hosts=("cdn.test",))
    async with image_host() as (port, asked), ImageHosts(rule) as hosts:
        with pytest.raises(ResultUnavailable, match=r"none of the profile's image_hosts \(cdn\.test\)"):
            await hosts.download(f"http://127.0.0.1:{port}/a")
    assert asked == []
