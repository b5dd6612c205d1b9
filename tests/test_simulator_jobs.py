"""What becomes of the simulator's jobs: how long they take, in which order, and what goes wrong with them for good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.errors import UsageError
from batchgen.simulator import Behaviour, Bimodal, Fault, Faults, Fixed, Limits, Lognormal, Simulator, Uniform
from batchgen.simulator.fate import Fate
from batchgen.simulator.jobs import Job, Stage
from batchgen.simulator.latency import Latency, parse_latency
from tests.simulating import SD3, body, talking_to, with_faults


@pytest.mark.parametrize(
    ("text", "latency"),
    [
        ("fixed:2", Fixed(2)),
        ("uniform:0.3:1.5", Uniform(0.3, 1.5)),
        ("lognormal:2:8", Lognormal(2, 8)),
        ("bimodal:2:30:0.1", Bimodal(2, 30, 0.1)),
    ],
)
def test_a_latency_is_read_as_it_is_written(text: str, latency: Latency) -> None:
    assert parse_latency(text) == latency
    assert Behaviour.model_validate({"latency": text}).latency == latency


@pytest.mark.parametrize(
    "text", ["", "2", "fixed", "fixed:x", "fixed:-1", "fixed:inf", "uniform:2:1", "lognormal:0:1", "bimodal:1:2:3"]
)
def test_what_is_no_latency_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"latency|needs"):
        parse_latency(text)
    with pytest.raises(UsageError, match="latency"):
        Behaviour().changed(latency=text)


@given(st.floats(0.01, 10), st.floats(1, 20))
def test_half_of_lognormal_jobs_end_within_p50_and_all_but_one_percent_within_p99(p50: float, factor: float) -> None:
    dice = Random(0)
    drawn = [Lognormal(p50, p50 * factor).draw(dice) for _ in range(2000)]
    slack = 1 + 1e-9
    assert sum(seconds <= p50 * slack for seconds in drawn) / 2000 >= 0.45
    assert sum(seconds <= p50 * factor * slack for seconds in drawn) / 2000 >= 0.98


def test_a_share_of_bimodal_jobs_is_slow() -> None:
    dice = Random(0)
    drawn = [Bimodal(1, 9, 0.25).draw(dice) for _ in range(2000)]
    assert set(drawn) == {1, 9}
    assert 400 < drawn.count(9) < 600


arrivals = st.lists(st.floats(0, 5), min_size=1, max_size=30)


def settled(capacity: int, gaps: list[float]) -> list[Job]:
    """Jobs of 1 to 4 seconds, each accepted that long after the one before."""
    fate = Fate(Behaviour(latency=Uniform(1, 4), capacity=capacity), seed=0)
    jobs, now = [], 0.0
    for number, gap in enumerate(gaps):
        now += gap
        jobs.append(fate.job(number, endpoint="/", body={"prompt": str(number)}, times=0, at=now))
    return jobs


@given(st.integers(1, 4), arrivals)
def test_no_more_jobs_run_at_a_time_than_the_capacity(capacity: int, gaps: list[float]) -> None:
    jobs = settled(capacity, gaps)
    for job in jobs:
        assert sum(other.begins_at <= job.begins_at < other.ends_at for other in jobs) <= capacity


@given(st.integers(1, 4), arrivals)
def test_jobs_begin_in_the_order_of_their_acceptance_and_none_waits_for_nothing(
    capacity: int, gaps: list[float]
) -> None:
    jobs = settled(capacity, gaps)
    assert [job.begins_at for job in jobs] == sorted(job.begins_at for job in jobs)
    ends = {job.ends_at for job in jobs}
    assert all(job.begins_at == job.accepted_at or job.begins_at in ends for job in jobs)


def test_jobs_of_an_earlier_life_still_take_their_places() -> None:
    jobs = settled(2, [0.0] * 4)
    reborn = Fate(Behaviour(latency=Fixed(1), capacity=2), seed=0, jobs=jobs)
    later = reborn.job(4, endpoint="/", body={"prompt": "later"}, times=0, at=0)
    assert later.begins_at == sorted(job.ends_at for job in jobs)[-2]


def test_a_job_is_settled_by_its_body_and_not_by_its_number() -> None:
    fate = Fate(Behaviour(latency=Uniform(0, 9)), seed=5)
    fox: Mapping[str, Any] = {"prompt": "A fox"}
    first, same, again = (
        fate.job(number, endpoint="/", body=fox, times=times, at=0) for number, times in ((0, 0), (7, 0), (8, 1))
    )
    assert (first.ends_at, first.draw) == (same.ends_at, same.draw)
    assert first.draw != again.draw


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.FAILURE, "MODEL_ERROR"),
        (Fault.INVALID_INPUT, "INPUT_INVALID"),
        (Fault.CONTENT_POLICY, "content policy"),
    ],
)
async def test_a_job_that_fails_says_why(fault: Fault, error: str) -> None:
    async with talking_to(with_faults(job=[fault])) as client:
        _, told = await client.status(await client.accepted())
    assert (told["status"], error in told["error"]) == ("FAILURE", True)


async def test_a_lost_job_is_not_found_for_ever() -> None:
    simulator = with_faults(job=[Fault.LOST])
    async with talking_to(simulator) as client:
        job_id = await client.accepted()
        assert [(await client.status(job_id))[0] for _ in range(3)] == [404] * 3
    assert simulator.audit().polls == {job_id: 3}


async def test_a_stuck_job_never_ends() -> None:
    async with talking_to(with_faults(job=[Fault.STUCK])) as client:
        job_id = await client.accepted()
        assert (await client.status(job_id))[1]["status"] == "PROCESSING"


async def test_a_stuck_job_counts_as_one_in_flight_and_keeps_its_place() -> None:
    behaviour = Behaviour(
        latency=Fixed(0), capacity=1, limits=Limits(in_flight=2), faults=Faults(job=[Fault.STUCK, None])
    )
    async with talking_to(Simulator("sd3", behaviour=behaviour)) as client:
        stuck, waiting = await client.accepted(), await client.accepted(prompt="An owl")
        states = [(await client.status(job_id))[1]["status"] for job_id in (stuck, waiting)]
        assert states == ["PROCESSING", "PENDING"]
        assert (await client.submit(body(prompt="A hare")))[0] == 429


@pytest.mark.parametrize(
    ("fault", "shape"),
    [
        (Fault.FEWER_URLS, {"download_urls": ["0", "1"]}),
        (Fault.NO_URLS, {"download_urls": []}),
        (Fault.NESTED_URLS, {"download_urls": [["0", "1", "2"]]}),
        (Fault.OTHER_FIELD, {"image_url": "0"}),
        (Fault.FAILURE_WITH_URLS, {"download_urls": ["0", "1"]}),
    ],
)
async def test_the_links_of_a_finished_job_may_be_fewer_or_elsewhere(fault: Fault, shape: dict[str, Any]) -> None:
    def samples(links: Any) -> Any:
        return [samples(part) for part in links] if isinstance(links, list) else links.rsplit("-", 1)[1].split(".")[0]

    async with talking_to(with_faults(job=[fault])) as client:
        _, told = await client.status(await client.accepted(samples=3))
    links = {name: samples(value) for name, value in told.items() if name not in ("id", "status", "error")}
    assert (told["status"], links) == ("FAILURE" if "error" in told else "SUCCESS", shape)


async def test_what_a_failed_job_had_made_is_behind_the_links_that_it_names() -> None:
    async with talking_to(with_faults(job=[Fault.FAILURE_WITH_URLS])) as client:
        _, told = await client.submit(body(samples=2, queued_image_urls=True))
        assert [(await client.get(link))[0] for link in told["download_urls"]] == [200, 404]


async def test_an_image_that_a_job_did_not_make_is_not_behind_its_early_link_either() -> None:
    async with talking_to(with_faults(job=[Fault.FEWER_URLS])) as client:
        _, told = await client.submit(body(samples=2, queued_image_urls=True))
        assert [(await client.get(link))[0] for link in told["download_urls"]] == [200, 404]


def test_a_job_keeps_its_fault_in_the_record() -> None:
    job = settled(1, [0.0])[0]
    faulty = replace(job, fault=Fault.STUCK, ends_at=inf)
    assert Job.from_line(faulty.to_line()) == faulty
    assert faulty.stage(1e9) is Stage.RUNNING


def test_a_record_of_the_first_days_is_still_read() -> None:
    line = b'{"number": 0, "id": "f", "body": {}, "accepted_at": 1, "ends_at": 2, "fails": true, "draw": 3}\n'
    assert Job.from_line(line).stage(2) is Stage.FAILED


async def test_the_audit_tells_how_long_a_finished_job_was_not_noticed() -> None:
    simulator = with_faults(status=[Fault.FLAPPING])
    async with talking_to(simulator) as client:
        job_id = await client.accepted()
        await client.status(job_id)
        assert simulator.audit().seen_after == {}
        await client.status(job_id)
    assert list(simulator.audit().seen_after) == [job_id]


def test_a_failure_rate_has_no_place_beside_a_script() -> None:
    with pytest.raises(UsageError, match="scripted"):
        Simulator(SD3, behaviour=Behaviour(faults=Faults(job=(Fault.LOST,))), failure_rate=0.5)
