"""What the account may do at the simulator: rates, jobs in flight, credit, and being blocked."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.simulator import Behaviour, Fault, Limits, Simulator
from batchgen.simulator.fate import Fate
from batchgen.simulator.gate import Gate
from tests.simulating import NEVER, SD3, Client, body, talking_to


def limited(**limits: object) -> Simulator:
    return Simulator(SD3, latency=NEVER, behaviour=Behaviour(limits=Limits.model_validate(limits)))


async def codes(client: Client, times: int) -> list[tuple[int, str | None]]:
    answers = [await client.submit(body()) for _ in range(times)]
    return [(status, answer.get("code")) for status, answer in answers]


async def test_beyond_the_jobs_in_flight_a_submission_is_refused() -> None:
    async with talking_to(limited(in_flight=2)) as client:
        assert await codes(client, 3) == [(202, None), (202, None), (429, "CONCURRENT_JOBS_EXCEEDED")]


async def test_beyond_the_rate_a_submission_is_refused() -> None:
    async with talking_to(limited(per_second=1e-6)) as client:
        assert await codes(client, 2) == [(202, None), (429, "RATE_LIMIT_EXCEEDED")]


@given(st.integers(1, 5), st.lists(st.floats(0, 2), max_size=40))
def test_within_any_time_no_more_than_the_rate_and_a_second_more_get_through(rate: int, gaps: list[float]) -> None:
    gate, now, passed = Gate(Limits(per_second=rate)), 0.0, []
    for gap in gaps:
        now += gap
        if gate.refuses(now) is None:
            passed.append(now)
    for begin in passed:
        for span in (1.0, 3.0):
            assert sum(begin <= at <= begin + span for at in passed) <= rate * (span + 1) + 1e-6


def test_a_place_in_flight_is_free_when_its_job_has_ended() -> None:
    fate = Fate(Behaviour(latency=Behaviour().latency), seed=0)
    job = fate.job(0, endpoint="/", body={}, times=0, at=0)
    gate = Gate(Limits(in_flight=1), [job])
    assert gate.refuses(job.ends_at - 0.01) is Fault.TOO_MANY_JOBS
    assert gate.refuses(job.ends_at) is None


async def test_credit_runs_out_after_so_many_jobs_which_may_still_be_asked_about() -> None:
    simulator = limited(credit=2)
    async with talking_to(simulator) as client:
        job_id = await client.accepted()
        assert await codes(client, 2) == [(202, None), (402, "INSUFFICIENT_CREDITS")]
        assert (await client.status(job_id))[0] == 200
        simulator.grant(1)
        assert await codes(client, 2) == [(202, None), (402, "INSUFFICIENT_CREDITS")]


@pytest.mark.parametrize(("status", "asked"), [(401, 401), (402, 200), (403, 403)])
async def test_an_account_is_blocked_and_freed_while_the_simulator_runs(status: int, asked: int) -> None:
    async with talking_to(limited()) as client:
        job_id = await client.accepted()
        for block, submitted, polled in ((status, status, asked), (None, 202, 200)):
            async with client.session.put(client.url + "/_account", json={"block": block}) as answer:
                assert await answer.json() == {"block": block, "credit": None}
            assert [(await client.submit(body()))[0], (await client.status(job_id))[0]] == [submitted, polled]


async def test_credit_is_granted_over_http_too_and_nonsense_refused() -> None:
    async with talking_to(limited()) as client:
        async with client.session.put(client.url + "/_account", data=json.dumps({"credit": 0})) as answer:
            assert answer.status == 200
        assert (await client.submit(body()))[0] == 402
        for nonsense in (b"", b"{", b'{"block": 500}', b'{"credit": -1}', b'{"colour": 1}'):
            async with client.session.put(client.url + "/_account", data=nonsense) as answer:
                assert answer.status == 422


async def test_a_wrong_key_is_told_so_even_where_credit_has_run_out() -> None:
    async with talking_to(limited(credit=0)) as client:
        assert (await client.submit(body(), {}))[0] == 401
