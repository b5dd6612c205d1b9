"""The simulator's webhooks: sent when the job has ended, again if they are not taken, and never when there is none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from batchgen.simulator import Behaviour, Fault, Faults, Simulator
from tests.simulating import AT_ONCE, NEVER, SD3, talking_to, with_faults


class Receiver:
    """Takes webhooks, answering with each status in turn, the last one for ever."""

    def __init__(self, statuses: tuple[int, ...]) -> None:
        self._statuses = list(statuses)
        self.received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        text = await request.text()
        self.received.put_nowait(json.loads(text) if text.startswith("{") else {"garbage": text})
        return web.Response(status=self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0])


@asynccontextmanager
async def receiving(*statuses: int) -> AsyncIterator[Receiver]:
    receiver = Receiver(statuses or (200,))
    application = web.Application()
    application.router.add_post("/ended", receiver.take)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/ended"
        yield receiver
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(("failure_rate", "state"), [(0.0, "SUCCESS"), (1.0, "FAILURE")])
async def test_a_webhook_is_sent_once_when_its_job_has_ended(failure_rate: float, state: str) -> None:
    simulator = Simulator(SD3, latency=AT_ONCE, failure_rate=failure_rate)
    async with receiving() as receiver, talking_to(simulator) as client:
        job_id = await client.accepted(webhook=receiver.url)
        sent = await receiver.received.get()
        _, told = await client.status(job_id)
    assert (sent["id"], sent["status"], told["status"]) == (job_id, state, state)
    assert {"timestamp", "user_id"} <= sent.keys()
    assert simulator.audit().webhooks == {job_id: 1}


async def test_a_webhook_that_is_not_taken_is_sent_again_at_most_twice() -> None:
    simulator = Simulator(SD3, latency=AT_ONCE)
    async with receiving(500, 404, 503) as receiver, talking_to(simulator) as client:
        job_id = await client.accepted(webhook=receiver.url)
        sent = [await receiver.received.get() for _ in range(3)]
    assert {body["id"] for body in sent} == {job_id}
    assert simulator.audit().webhooks == {job_id: 3}


async def test_no_webhook_is_sent_before_its_job_has_ended_nor_after_the_simulator_has() -> None:
    simulator = Simulator(SD3, latency=NEVER)
    async with receiving() as receiver:
        async with talking_to(simulator) as client:
            await client.accepted(webhook=receiver.url)
        assert receiver.received.empty()
    assert simulator.audit().webhooks == {}


@pytest.mark.parametrize("url", ["", "nowhere", "file:///etc/passwd", "http://"])
async def test_a_webhook_that_leads_nowhere_does_no_harm(url: str) -> None:
    async with talking_to(Simulator(SD3, latency=AT_ONCE)) as client:
        assert (await client.status(await client.accepted(webhook=url)))[1]["status"] == "SUCCESS"


async def test_a_webhook_may_be_taken_and_come_again_all_the_same() -> None:
    simulator = with_faults(webhook=[Fault.REPEATED])
    async with receiving() as receiver, talking_to(simulator) as client:
        job_id = await client.accepted(webhook=receiver.url)
        assert {(await receiver.received.get())["id"] for _ in range(3)} == {job_id}
    assert simulator.audit().webhooks == {job_id: 3}


async def test_a_webhook_may_never_be_sent() -> None:
    simulator = with_faults(webhook=[Fault.NEVER_SENT])
    async with receiving() as receiver, talking_to(simulator) as client:
        await client.accepted(webhook=receiver.url)
        later = await client.accepted(webhook=receiver.url)
        assert (await receiver.received.get())["id"] == later
    assert simulator.audit().webhooks == {later: 1}


async def test_a_webhook_may_come_before_its_job_has_ended() -> None:
    faults = Faults(webhook=(Fault.TOO_EARLY,))
    async with (
        receiving() as receiver,
        talking_to(Simulator(SD3, latency=NEVER, behaviour=Behaviour(faults=faults))) as client,
    ):
        await client.accepted(webhook=receiver.url)
        assert (await receiver.received.get())["status"] in ("PENDING", "PROCESSING")


async def test_a_webhook_may_be_garbage() -> None:
    async with receiving() as receiver, talking_to(with_faults(webhook=[Fault.GARBAGE])) as client:
        await client.accepted(webhook=receiver.url)
        assert await receiver.received.get() == {"garbage": "<html>"}


async def test_how_a_result_is_delivered_changes_no_draw_and_hides_no_duplicate() -> None:
    asked: tuple[dict[str, object], ...] = (
        {},
        {"queued_image_urls": True},
        {"webhook": "http://127.0.0.1:9/s3cret"},
        {"webhook": "no address"},
    )
    apart = [Simulator(SD3, seed=3) for _ in asked]
    for simulator, delivery in zip(apart, asked, strict=True):
        async with talking_to(simulator) as client:
            await client.accepted(**delivery)
    draws = {(job.draw, round(job.ends_at - job.accepted_at, 4)) for one in apart for job in one._book.jobs()}
    assert len(draws) == 1
    together = Simulator(SD3)
    async with talking_to(together) as client:
        for delivery in asked:
            await client.accepted(**delivery)
    assert together.audit().duplicates == len(asked) - 1


async def test_a_webhooks_address_is_in_no_record_and_no_audit(tmp_path: Path) -> None:
    simulator = Simulator(SD3, record=tmp_path / "jobs.jsonl")
    async with talking_to(simulator) as client:
        for address in ("http://127.0.0.1:9/s3cret/1", "http://127.0.0.1:9/s3cret/2"):
            await client.accepted(webhook=address)
    audit = simulator.audit()
    assert audit.accepted == 2
    assert "s3cret" not in str(audit.accepted_by_body) + (tmp_path / "jobs.jsonl").read_text()
