"""The simulator's links: early ones, ones that expire, and the fresh ones that take their place."""

from __future__ import annotations

import pytest

from batchgen.adapters.image_check import PillowCheck
from batchgen.errors import ResultUnavailable
from batchgen.simulator import Behaviour, Early, Fault, Faults, Links, Simulator
from tests.simulating import AT_ONCE, NEVER, SD3, Client, body, talking_to


async def links(client: Client, job_id: str) -> list[str]:
    return list((await client.status(job_id))[1]["download_urls"])


def expiring(**settings: object) -> Simulator:
    return Simulator(SD3, latency=AT_ONCE, behaviour=Behaviour(links=Links.model_validate(settings)))


@pytest.mark.parametrize(
    ("early", "status", "kind"),
    [
        (Early.NOT_FOUND, 404, "application/json"),
        (Early.FORBIDDEN, 403, "application/json"),
        (Early.EMPTY, 200, "image/png"),
        (Early.PLACEHOLDER, 200, "text/plain"),
    ],
)
async def test_an_early_link_says_not_yet_in_the_way_that_was_chosen(early: Early, status: int, kind: str) -> None:
    simulator = Simulator(SD3, latency=NEVER, behaviour=Behaviour(links=Links(early=early)))
    async with talking_to(simulator) as client:
        _, answer = await client.submit(body(queued_image_urls=True))
        got, content_type, content = await client.get(answer["download_urls"][0])
    assert (answer["status"], got, content_type) == ("PENDING", status, kind)
    with pytest.raises(ResultUnavailable):
        PillowCheck().verify(content)
    assert (simulator.audit().downloads, simulator.audit().too_early) == (0, 1)


async def test_an_early_pixel_is_a_whole_image_of_the_wrong_size() -> None:
    simulator = Simulator(SD3, latency=NEVER, behaviour=Behaviour(links=Links(early=Early.PIXEL)))
    async with talking_to(simulator) as client:
        _, answer = await client.submit(body(queued_image_urls=True))
        _, _, content = await client.get(answer["download_urls"][0])
    assert (image := PillowCheck().verify(content)).width == image.height == 1


@pytest.mark.parametrize("pictures", ["tiny", "drawn"])
@pytest.mark.parametrize("early", [Early.PICTURE, Early.PREVIOUS])
async def test_an_early_picture_is_of_the_size_asked_for_and_is_not_the_image(early: Early, pictures: str) -> None:
    told = Behaviour(links=Links(early=early), latency=NEVER, pictures=pictures)
    simulator = Simulator(SD3, behaviour=told)
    async with talking_to(simulator) as client:
        _, answer = await client.submit(body(queued_image_urls=True))
        _, kind, content = await client.get(answer["download_urls"][0])
        [job] = simulator._book.jobs()
        image, _ = await simulator._gallery.picture(job, 0)
    assert (kind.startswith("image/"), content == image) == (True, False)
    assert (picture := PillowCheck().verify(content)).width == picture.height == 64
    assert not picture.blank
    assert simulator.audit().downloads == 0


@pytest.mark.parametrize(("early", "status"), [(Early.NOT_FOUND, 404), (Early.PICTURE, 200)])
async def test_the_link_of_an_image_that_a_job_did_not_make_answers_as_before_its_end(
    early: Early, status: int
) -> None:
    faults = Faults(job=(Fault.FEWER_URLS,))
    simulator = Simulator(SD3, latency=AT_ONCE, behaviour=Behaviour(links=Links(early=early), faults=faults))
    async with talking_to(simulator) as client:
        _, answer = await client.submit(body(samples=2, queued_image_urls=True))
        given = [await client.get(link) for link in answer["download_urls"]]
    assert [got for got, _, _ in given] == [200, status]
    assert given[0] != given[1]


async def test_an_early_link_holds_the_image_once_the_job_has_ended() -> None:
    async with talking_to(Simulator(SD3, latency=AT_ONCE)) as client:
        _, answer = await client.submit(body(queued_image_urls=True))
        assert answer["status"] == "PENDING"
        assert (await client.get(answer["download_urls"][0]))[0] == 200


@pytest.mark.parametrize("expired", [403, 410])
async def test_a_link_used_up_stays_so_and_the_job_gives_a_fresh_one(expired: int) -> None:
    async with talking_to(expiring(downloads=2, expired=expired)) as client:
        job_id = await client.accepted()
        [link] = await links(client, job_id)
        [fresh] = await links(client, job_id)
        answers = [await client.get(link) for _ in range(3)]
        renewed = await client.get(fresh)
    assert [status for status, _, _ in answers] == [200, 200, expired]
    assert renewed == answers[0]


async def test_a_link_past_its_time_has_expired() -> None:
    async with talking_to(expiring(expire_after=1e-9)) as client:
        [link] = await links(client, await client.accepted())
        assert (await client.get(link))[0] == 403


async def test_a_link_counts_its_time_from_the_end_of_its_job() -> None:
    simulator = Simulator(
        SD3, latency=AT_ONCE, behaviour=Behaviour(links=Links(expire_after=3600, early=Early.NOT_FOUND))
    )
    async with talking_to(simulator) as client:
        _, answer = await client.submit(body(queued_image_urls=True))
        assert (await client.get(answer["download_urls"][0]))[0] == 200


@pytest.mark.parametrize("ticket", ["", "?ticket=", "?ticket=99999999999.000", "?ticket=x-1", "?ticket=-1"])
async def test_a_link_without_its_ticket_does_not_hold(ticket: str) -> None:
    async with talking_to(expiring(downloads=9)) as client:
        [link] = await links(client, await client.accepted())
        assert (await client.get(link.partition("?")[0] + ticket))[0] == 403
