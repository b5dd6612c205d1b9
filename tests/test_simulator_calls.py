"""What goes wrong with submissions and status calls, over real HTTP: each fault alone, and many by chance."""

from __future__ import annotations

import asyncio
import json
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from batchgen.simulator import Behaviour, Fault, Faults, Fixed, Limits, RetryAfter, Simulator
from batchgen.simulator.faults import PLACES
from tests.simulating import KEY, SD3, Client, body, talking_to, with_faults

Answer = tuple[int, str, bytes]


async def answer(client: Client, method: str, path: str, **sent: Any) -> Answer | None:
    """Status, content type and body; None if the connection ended without."""
    try:
        async with client.session.request(method, client.url + path, headers=KEY, **sent) as response:
            return response.status, response.content_type, await response.read()
    except aiohttp.ClientError:
        return None


async def submitted(client: Client, **changes: object) -> Answer | None:
    return await answer(client, "POST", "/sd3/v1", json=body(**changes))


async def asked(client: Client, job_id: str) -> Answer | None:
    return await answer(client, "GET", f"/sd3/v1/status/{job_id}")


def told(got: Answer | None) -> dict[str, Any]:
    assert got is not None
    return dict(json.loads(got[2]))


REFUSALS = [
    (Fault.RATE_LIMITED, 429, "RATE_LIMIT_EXCEEDED"),
    (Fault.SERVER_ERROR, 500, "INTERNAL_ERROR"),
    (Fault.BUSY, 503, "MODEL_UNAVAILABLE"),
]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        *REFUSALS,
        (Fault.TOO_MANY_JOBS, 429, "CONCURRENT_JOBS_EXCEEDED"),
        (Fault.REFUSED, 422, "INPUT_INVALID"),
        (Fault.CONTENT_POLICY, 422, "INPUT_INVALID"),
    ],
)
async def test_a_refused_submission_says_why(fault: Fault, status: int, code: str) -> None:
    simulator = with_faults(submit=[fault])
    async with talking_to(simulator) as client:
        first, second = await submitted(client), await submitted(client)
    assert first is not None
    assert second is not None
    assert (first[0], told(first)["code"], second[0]) == (status, code, 202)
    assert simulator.audit().faults == {f"submit.{fault}": 1}
    assert simulator.audit().refused == (1 if status < 500 else 0)


@pytest.mark.parametrize(("fault", "status", "code"), REFUSALS)
async def test_a_refused_status_call_says_why_and_hurts_no_job(fault: Fault, status: int, code: str) -> None:
    async with talking_to(with_faults(status=[fault])) as client:
        job_id = await client.accepted()
        first, second = await asked(client, job_id), await asked(client, job_id)
    assert first is not None
    assert (first[0], told(first)["code"]) == (status, code)
    assert told(second)["status"] == "SUCCESS"


@pytest.mark.parametrize(("place", "call"), [("submit", 0), ("status", 1)])
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.BAD_GATEWAY, (502, "text/html", b"<!DOCTYPE html>")),
        (Fault.UNAVAILABLE, (503, "text/plain", b"Service Unavailable")),
        (Fault.HANG, None),
    ],
)
async def test_gateways_answer_with_what_is_no_json(
    place: str, call: int, fault: Fault, expected: Answer | None
) -> None:
    faults: dict[str, Any] = {place: [fault], "hang": 0.01}
    async with talking_to(with_faults(**faults)) as client:
        first = await submitted(client)
        got = first if call == 0 else await asked(client, told(first)["id"])
    assert (got is None) == (expected is None)
    if got is not None and expected is not None:
        assert got[:2] == expected[:2]
        assert got[2].startswith(expected[2])


@pytest.mark.parametrize(("fault", "accepted"), [(Fault.RESET_BEFORE, 0), (Fault.RESET_AFTER, 1)])
async def test_a_reset_submission_was_accepted_or_not(fault: Fault, accepted: int) -> None:
    simulator = with_faults(submit=[fault])
    async with talking_to(simulator) as client:
        assert await submitted(client) is None
    audit = simulator.audit()
    assert (audit.accepted, audit.lost_answers) == (accepted, accepted)


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.BAD_GATEWAY, Fault.UNAVAILABLE, Fault.HANG])
async def test_an_answer_in_doubt_may_be_of_an_accepted_submission_or_not(fault: Fault) -> None:
    simulator = with_faults(submit={fault: 1}, hang=0.001)
    async with talking_to(simulator) as client:
        for number in range(20):
            await submitted(client, prompt=str(number))
    audit = simulator.audit()
    assert 0 < audit.accepted == audit.lost_answers < 20


@pytest.mark.parametrize("place", ["submit", "status"])
async def test_malformed_json_is_half_of_the_answer(place: str) -> None:
    faults: dict[str, Any] = {place: [Fault.MALFORMED]}
    simulator = with_faults(**faults)
    async with talking_to(simulator) as client:
        got = await submitted(client)
        if place == "status":
            got = await asked(client, told(got)["id"])
    assert got is not None
    assert got[0] in (200, 202)
    with pytest.raises(ValueError, match="line 1"):
        json.loads(got[2])
    assert simulator.audit().lost_answers == (1 if place == "submit" else 0)


async def test_a_dripping_answer_is_whole_in_the_end() -> None:
    async with talking_to(with_faults(submit=[Fault.DRIP], status=[Fault.DRIP], drip=0.02)) as client:
        job_id = told(await submitted(client))["id"]
        assert told(await asked(client, job_id))["status"] == "SUCCESS"


async def test_a_reset_status_call_gets_no_answer_and_the_next_one_does() -> None:
    async with talking_to(with_faults(status=[Fault.RESET])) as client:
        job_id = await client.accepted()
        assert await asked(client, job_id) is None
        assert told(await asked(client, job_id))["status"] == "SUCCESS"


@pytest.mark.parametrize(
    ("fault", "state", "result"),
    [(Fault.SUCCESS_AT_ONCE, "SUCCESS", "download_urls"), (Fault.FAILURE_AT_ONCE, "FAILURE", "error")],
)
async def test_a_submission_may_already_answer_with_its_end(fault: Fault, state: str, result: str) -> None:
    simulator = Simulator(SD3, latency=(1e6, 1e6), behaviour=Behaviour(faults=Faults(submit=(fault,))))
    async with talking_to(simulator) as client:
        first = told(await submitted(client))
        assert (first["status"], bool(first[result])) == (state, True)
        assert told(await asked(client, first["id"]))["status"] == state
    assert simulator.audit().seen_after == {first["id"]: 0.0}


async def test_an_answer_without_an_id_is_a_lost_one() -> None:
    simulator = with_faults(submit=[Fault.NO_ID])
    async with talking_to(simulator) as client:
        assert told(await submitted(client)) == {"status": "PENDING"}
    assert (simulator.audit().accepted, simulator.audit().lost_answers) == (1, 1)


@pytest.mark.parametrize(
    ("fault", "state"),
    [(Fault.UNKNOWN_STATE, "RECALIBRATING"), (Fault.NO_STATE, None), (Fault.FLAPPING, "PROCESSING")],
)
async def test_a_finished_job_may_be_said_to_be_in_another_state(fault: Fault, state: str | None) -> None:
    async with talking_to(with_faults(status=[None, fault])) as client:
        job_id = await client.accepted()
        states = [told(await asked(client, job_id)).get("status") for _ in range(3)]
    assert states == ["SUCCESS", state, "SUCCESS"]


@pytest.mark.parametrize("how", RetryAfter)
async def test_a_refusal_says_when_to_come_back_in_the_way_that_was_chosen(how: RetryAfter) -> None:
    behaviour = Behaviour(limits=Limits(retry_after=how, wait=7), faults=Faults(submit=(Fault.RATE_LIMITED,)))
    async with (
        talking_to(Simulator(SD3, behaviour=behaviour)) as client,
        client.session.post(client.url + "/sd3/v1", json=body(), headers=KEY) as response,
    ):
        header, content = response.headers.get("Retry-After"), await response.json()
    match how:
        case RetryAfter.NONE:
            assert (header, "retry_after" in content) == (None, False)
        case RetryAfter.SECONDS:
            assert header == "7"
        case RetryAfter.DATE:
            assert header is not None
            assert parsedate_to_datetime(header).tzinfo is not None
        case RetryAfter.BODY:
            assert (header, content["retry_after"]) == (None, 7)


async def test_a_hanging_call_does_not_keep_the_simulator_from_stopping() -> None:
    async with talking_to(with_faults(submit=[Fault.HANG], hang=1e6)) as client:
        hanging = asyncio.create_task(submitted(client))
        while not (await client.get(client.url + "/_audit"))[2].count(b"submit.hang"):
            pass
    assert await hanging is None


def chances(place: str, share: float) -> dict[Fault, float]:
    return dict.fromkeys(sorted(PLACES[place]), share)


async def life(seed: int, prompts: list[int]) -> dict[int, list[object]]:
    """What became of each prompt, with every fault of submissions and status calls switched on."""
    outcomes: dict[int, list[object]] = {}
    simulator = with_faults(
        submit=chances("submit", 0.05), status=chances("status", 0.05), seed=seed, hang=0.001, drip=0.001
    )
    async with talking_to(simulator) as client:
        for number in prompts:
            got = await submitted(client, prompt=str(number))
            outcomes[number] = [got and got[0]]
            if got is not None and b'"id"' in got[2] and got[2].endswith(b"}"):
                polls = [await asked(client, told(got)["id"]) for _ in range(4)]
                outcomes[number] += [poll and (poll[0], poll[1]) for poll in polls]
    return outcomes


async def test_the_same_seed_brings_the_same_faults_in_whatever_order_is_asked() -> None:
    forwards = await life(3, list(range(25)))
    backwards = await life(3, list(reversed(range(25))))
    other = await life(4, list(range(25)))
    assert forwards == backwards != other


async def test_the_audit_counts_what_happened_and_not_what_was_drawn() -> None:
    failing = with_faults(job={Fault.FAILURE: 1.0})
    async with talking_to(failing) as client:
        await client.accepted()
    assert failing.audit().faults == {"job.failure": 1}
    behaviour = Behaviour(latency=Fixed(60), faults=Faults(status={Fault.FLAPPING: 1.0}))
    at_work = Simulator("sd3", behaviour=behaviour)
    async with talking_to(at_work) as client:
        await asked(client, await client.accepted())
    assert at_work.audit().faults == {}
