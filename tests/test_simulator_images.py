"""What goes wrong with downloads, over real HTTP: on the way, each time anew; with the files, for good."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from PIL import Image

from batchgen.adapters.image_check import PillowCheck
from batchgen.errors import ResultUnavailable
from batchgen.simulator import Behaviour, Fault, Simulator
from batchgen.simulator.faults import LASTING, PLACES
from tests.simulating import AT_ONCE, KEY, SD3, Client, faulty, talking_to, with_faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """What a download came to."""

    status: int
    kind: str
    location: str
    content: bytes

    def size(self) -> tuple[int, int]:
        image = PillowCheck().verify(self.content)
        return image.width, image.height


async def link(client: Client, **changes: object) -> str:
    job_id = await client.accepted(**changes)
    return str((await client.status(job_id))[1]["download_urls"][0])


async def download(client: Client, url: str) -> Got | None:
    """None if the connection ended before the answer did."""
    try:
        async with client.session.get(url, allow_redirects=False) as answer:
            location = answer.headers.get("Location", "")
            content = await answer.read()
            return Got(status=answer.status, kind=answer.content_type, location=location, content=content)
    except aiohttp.ClientError:
        return None


async def first_and_second(fault: Fault, **more: Any) -> tuple[Got | None, Got | None]:
    async with talking_to(with_faults(image=[fault], **more)) as client:
        url = await link(client)
        return await download(client, url), await download(client, url)


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.CUT_OFF, Fault.HANG])
async def test_a_download_may_end_before_its_answer_does(fault: Fault) -> None:
    first, second = await first_and_second(fault, hang=0.01)
    assert first is None
    assert second is not None
    assert second.size() == (64, 64)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.TRUNCATED, "image/png"),
        (Fault.HTML, "text/html"),
        (Fault.TEXT, "image/png"),
        (Fault.EMPTY, "image/png"),
        (Fault.DAMAGED, "image/png"),
    ],
)
async def test_a_download_may_be_something_else_than_an_image(fault: Fault, kind: str) -> None:
    first, second = await first_and_second(fault)
    assert first is not None
    assert second is not None
    assert (first.status, first.kind) == (200, kind)
    with pytest.raises(ResultUnavailable):
        PillowCheck().verify(first.content)
    assert second.size() == (64, 64)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault.RATE_LIMITED, 429),
        (Fault.SERVER_ERROR, 500),
        (Fault.BAD_GATEWAY, 502),
        (Fault.UNAVAILABLE, 503),
        (Fault.BUSY, 503),
        (Fault.LATE, 404),
        (Fault.GONE, 410),
    ],
)
async def test_an_image_host_may_answer_with_trouble_of_its_own(fault: Fault, status: int) -> None:
    first, second = await first_and_second(fault)
    assert first is not None
    assert second is not None
    assert (first.status, second.status) == (status, 200)


async def test_an_image_may_call_itself_text() -> None:
    first, _ = await first_and_second(Fault.WRONG_TYPE)
    assert first is not None
    assert (first.kind, first.size()) == ("text/plain", (64, 64))


async def test_a_dripping_image_is_whole_in_the_end() -> None:
    first, second = await first_and_second(Fault.DRIP, drip=0.02)
    assert first is not None
    assert first == second


async def test_an_oversized_image_goes_on_until_its_end() -> None:
    first, _ = await first_and_second(Fault.OVERSIZED, oversized=300_000)
    assert first is not None
    assert 300_000 <= len(first.content) < 310_000


async def test_whoever_has_had_enough_of_an_oversized_image_may_hang_up() -> None:
    simulator = with_faults(image=[Fault.OVERSIZED], oversized=10**12)
    async with talking_to(simulator) as client:
        async with client.session.get(await link(client)) as answer:
            assert len(await answer.content.readexactly(100_000)) == 100_000
        assert await link(client)
    assert simulator.audit().downloads == 0


async def test_a_redirect_leads_to_the_image() -> None:
    async with talking_to(with_faults(image={Fault.REDIRECT: 1})) as client:
        url = await link(client, batch_id="Füchse & co")
        first = await download(client, url)
        assert first is not None
        second = await download(client, client.url + first.location)
    assert second is not None
    assert (first.status, second.status) == (302, 200)


async def test_a_redirect_loop_has_no_end() -> None:
    async with talking_to(with_faults(image=[Fault.REDIRECT_LOOP])) as client:
        with pytest.raises(aiohttp.TooManyRedirects):
            await client.get(await link(client))


async def test_a_redirect_may_lead_into_a_private_network() -> None:
    first, _ = await first_and_second(Fault.REDIRECT_PRIVATE)
    assert first is not None
    assert (first.status, first.location) == (302, "http://10.255.255.1/image.png")


@pytest.mark.parametrize("pictures", ["drawn", "tiny"])
@pytest.mark.parametrize("fault", sorted(LASTING - {Fault.LATE, Fault.THUMBNAIL, Fault.OVERSIZED}))
async def test_what_is_wrong_with_a_file_stays_so(fault: Fault, pictures: str) -> None:
    async with talking_to(Simulator(SD3, behaviour=faulty(image={fault: 1}).changed(pictures=pictures))) as client:
        url = await link(client)
        first, second = await download(client, url), await download(client, url)
    assert first is not None
    assert first == second
    if fault is Fault.BLANK:
        assert Image.open(io.BytesIO(first.content)).getextrema() == ((0, 0), (0, 0), (0, 0))
    if fault is Fault.WRONG_SIZE:
        assert first.size() == (32, 33)


async def test_a_late_image_is_there_after_some_tries() -> None:
    simulator = with_faults(image={Fault.LATE: 1}, late=3)
    async with talking_to(simulator) as client:
        url = await link(client)
        got = [await download(client, url) for _ in range(5)]
    assert [answer and answer.status for answer in got] == [404, 404, 404, 200, 200]
    assert simulator.audit().downloads == 2


@pytest.mark.parametrize("pictures", ["drawn", "tiny"])
async def test_a_thumbnail_becomes_the_image_after_some_tries(pictures: str) -> None:
    behaviour = faulty(image={Fault.THUMBNAIL: 1}, late=2).changed(pictures=pictures)
    async with talking_to(Simulator(SD3, behaviour=behaviour)) as client:
        url = await link(client)
        got = [await download(client, url) for _ in range(4)]
    assert [answer and answer.size() for answer in got] == [(16, 16), (16, 16), (64, 64), (64, 64)]


async def test_the_audit_knows_each_image_and_every_key_that_came_to_the_host() -> None:
    simulator = Simulator(SD3, latency=AT_ONCE)
    async with talking_to(simulator) as client:
        url = await link(client)
        await download(client, url)
        await client.get(url, KEY)
    audit = simulator.audit()
    [job_id] = audit.polls
    assert (audit.downloads_by_image, audit.keys_at_image_host) == ({f"{job_id}/0": 1}, 1)


async def test_the_same_seed_spoils_the_same_images() -> None:
    async def life(seed: int) -> list[object]:
        odds = dict.fromkeys(sorted(PLACES["image"]), 0.04)
        simulator = with_faults(image=odds, seed=seed, hang=0.001, drip=0.001, oversized=1000)
        async with talking_to(simulator) as client:
            got = [await download(client, await link(client, prompt=str(number))) for number in range(40)]
        return [answer and (answer.status, answer.kind) for answer in got]

    assert await life(1) == await life(1) != await life(2)


@pytest.mark.parametrize(
    ("pictures", "least", "most"), [("tiny", 200, 8_000), ("4KB", 4_000, 12_000), ("noise", 48_000, 60_000)]
)
async def test_pictures_made_once_have_the_wanted_size_and_bytes_of_their_own(
    pictures: str, least: int, most: int
) -> None:
    async with talking_to(Simulator(SD3, latency=AT_ONCE, behaviour=Behaviour(pictures=pictures))) as client:
        job_id = await client.accepted(samples=2, width=160, height=100, direct_link=True)
        got = [await download(client, url) for url in (await client.status(job_id))[1]["download_urls"]]
    assert len({answer.content for answer in got if answer is not None}) == 2
    for answer in got:
        assert answer is not None
        assert answer.size() == (160, 100)
        assert least <= len(answer.content) <= most
        assert len(set(Image.open(io.BytesIO(answer.content)).convert("L").tobytes())) > 1
