"""The simulator over real HTTP: what it takes, what it gives, what it remembers, how it starts and stops."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from urllib.request import urlopen

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from batchgen.errors import StorageFailed, UsageError
from batchgen.profile import Profile
from batchgen.simulator import Behaviour, Fixed, Simulator, background, serve
from batchgen.simulator.audit import peak_in_flight
from batchgen.simulator.fate import Fate
from batchgen.simulator.jobs import Job, Stage
from tests.simulating import AT_ONCE, KEY, NEVER, SD3, Client, body, talking_to


@pytest.fixture(scope="module")
def profile() -> Profile:
    return SD3


async def test_a_request_goes_from_submission_to_image(profile: Profile) -> None:
    async with talking_to(Simulator(profile, latency=AT_ONCE)) as client:
        status, answer = await client.submit(body(samples=3, width=80, height=48))
        assert (status, answer["status"]) == (202, "PENDING")
        assert "download_urls" not in answer
        status, told = await client.status(answer["id"])
        assert (status, told["id"], told["status"]) == (200, answer["id"], "SUCCESS")
        assert len(set(told["download_urls"])) == 3
        pictures = {(await client.get(url))[2] for url in told["download_urls"]}
    assert len(pictures) == 3
    assert {Image.open(io.BytesIO(picture)).size for picture in pictures} == {(80, 48)}


@pytest.mark.parametrize("headers", [{}, {"API-Key": ""}, {"API-Key": "another"}, {"X-API-Key": "the-key"}])
async def test_a_missing_or_wrong_key_is_refused_everywhere(profile: Profile, headers: dict[str, str]) -> None:
    async with talking_to(Simulator(profile, key="the-key")) as client:
        submitted, answer = await client.submit(body(), headers)
        polled, _ = await client.status("0" * 32, headers)
        right, _ = await client.submit(body(), {"API-Key": "the-key"})
    assert (submitted, polled, right) == (401, 401, 202)
    assert "API-Key" in answer["detail"]


async def test_every_problem_of_a_request_is_named_at_once(profile: Profile) -> None:
    wrong = body(samples=9, guidance_scale="high", width=100_000, height=10**400, seed=3)
    del wrong["negative_prompt"]
    simulator = Simulator(profile)
    async with talking_to(simulator) as client:
        status, answer = await client.submit(wrong)
    assert status == 422
    found = {(problem["loc"][-1], problem["type"]) for problem in answer["detail"]}
    assert found == {
        ("negative_prompt", "missing"),
        ("samples", "value_error"),
        ("guidance_scale", "value_error"),
        ("height", "value_error"),
        ("width", "less_than_equal"),
        ("seed", "extra_forbidden"),
    }
    assert all(problem["loc"][0] == "body" and problem["msg"] for problem in answer["detail"])
    assert (simulator.audit().accepted, simulator.audit().refused) == (0, 1)


@pytest.mark.parametrize(
    ("sent", "status"), [(b"", 400), (b"{", 400), (b"\xff", 400), (b"[" * 50_000, 400), ([], 422), ("text", 422)]
)
async def test_what_is_no_object_of_parameters_is_refused(profile: Profile, sent: object, status: int) -> None:
    async with talking_to(Simulator(profile)) as client:
        refused, answer = await client.submit(sent)
    assert refused == status
    assert answer["detail"]


async def test_an_unknown_job_is_not_found(profile: Profile) -> None:
    async with talking_to(Simulator(profile)) as client:
        assert (await client.status("0" * 32))[0] == 404
        assert (await client.get(f"{client.url}/images/b/p-{'0' * 32}-0.png"))[0] == 404


async def test_images_are_not_there_before_their_job_has_ended(profile: Profile) -> None:
    async with talking_to(Simulator(profile, latency=NEVER)) as client:
        _, answer = await client.submit(body(queued_image_urls=True, samples=2))
        assert len(answer["download_urls"]) == 2
        assert (await client.get(answer["download_urls"][0]))[0] == 404
        assert (await client.status(answer["id"]))[1]["status"] == "PENDING"


async def test_early_links_are_those_of_the_finished_job(profile: Profile) -> None:
    async with talking_to(Simulator(profile, latency=AT_ONCE)) as client:
        _, answer = await client.submit(body(queued_image_urls=True, samples=4))
        assert (await client.status(answer["id"]))[1]["download_urls"] == answer["download_urls"]


async def test_an_api_key_must_not_reach_the_image_host(profile: Profile) -> None:
    async with talking_to(Simulator(profile, latency=AT_ONCE)) as client:
        job_id = await client.accepted()
        [url] = (await client.status(job_id))[1]["download_urls"]
        assert (await client.get(url, KEY))[0] == 400
        assert (await client.get(url))[0] == 200


@pytest.mark.parametrize(("direct", "kind"), [(True, "png"), (False, "webp")])
async def test_a_direct_link_gives_png_and_any_other_webp(profile: Profile, direct: bool, kind: str) -> None:
    async with talking_to(Simulator(profile, latency=AT_ONCE)) as client:
        job_id = await client.accepted(direct_link=direct)
        [url] = (await client.status(job_id))[1]["download_urls"]
        status, content_type, content = await client.get(url)
    picture = Image.open(io.BytesIO(content))
    assert (status, content_type, picture.format) == (200, f"image/{kind}", kind.upper())
    assert "simulator" in picture.getexif()[0x0131]


@pytest.mark.parametrize("tag", ["animals-7", "a b/c?d#e%2F", "../../etc", "..", "", "Füchse 狐", "\ud800", "x" * 500])
async def test_any_tag_gives_a_link_that_works(profile: Profile, tag: str) -> None:
    async with talking_to(Simulator(profile, latency=AT_ONCE)) as client:
        job_id = await client.accepted(batch_id=tag, file_prefix=tag)
        [url] = (await client.status(job_id))[1]["download_urls"]
        assert (await client.get(url))[0] == 200
    if tag in ("animals-7", "a b/c?d#e%2F", "Füchse 狐"):
        assert unquote(url).count(tag) == 2


async def test_two_jobs_of_one_body_give_two_pictures_and_one_duplicate(profile: Profile) -> None:
    simulator = Simulator(profile, latency=AT_ONCE)
    async with talking_to(simulator) as client:
        jobs = [await client.accepted(guidance_scale=scale) for scale in (7, 7.0)]
        links = [(await client.status(job))[1]["download_urls"][0] for job in jobs]
        pictures = {(await client.get(link))[2] for link in links}
    assert len(pictures) == 2
    assert simulator.audit().duplicates == 1


async def test_the_audit_counts_what_was_asked(profile: Profile) -> None:
    simulator = Simulator(profile, latency=AT_ONCE)
    async with talking_to(simulator) as client:
        first, second = await client.accepted(), await client.accepted(prompt="A cat")
        await client.submit(body(samples=0))
        for job_id in (first, first, second):
            _, told = await client.status(job_id)
            await client.get(told["download_urls"][0])
        _, _, shown = await client.get(client.url + "/_audit")
        _, kind, welcome = await client.get(client.url + "/")
    audit = simulator.audit()
    assert (audit.accepted, audit.refused, audit.duplicates, audit.status_calls, audit.downloads) == (2, 1, 0, 3, 3)
    assert audit.polls == {first: 2, second: 1}
    assert json.loads(shown)["polls"] == audit.polls
    assert (kind, b"simulator" in welcome) == ("text/plain", True)


async def test_the_same_seed_gives_the_same_failures_and_pictures(profile: Profile) -> None:
    async def life() -> list[tuple[str, bytes]]:
        outcomes = []
        async with talking_to(Simulator(profile, latency=AT_ONCE, failure_rate=0.5, seed=4)) as client:
            for _ in range(12):
                _, told = await client.status(await client.accepted(width=16, height=16))
                picture = (await client.get(told["download_urls"][0]))[2] if "download_urls" in told else b""
                assert (told["status"] == "FAILURE") == bool(told.get("error"))
                outcomes.append((told["status"], picture))
        return outcomes

    outcomes = await life()
    assert {state for state, _ in outcomes} == {"SUCCESS", "FAILURE"}
    assert await life() == outcomes


def a_job(**changes: Any) -> Job:
    fate = Fate(Behaviour(latency=Fixed(10)), seed=0)
    job = fate.job(0, endpoint="/sd3/v1", body={"prompt": "fox"}, times=0, at=100)
    return replace(job, **changes)


def test_a_job_waits_then_runs_then_ends() -> None:
    job = a_job()
    assert [job.stage(at) for at in (100, 101.9, 102.1, 109.9, 110, 1e9)] == [
        Stage.QUEUED, Stage.QUEUED, Stage.RUNNING, Stage.RUNNING, Stage.COMPLETED, Stage.COMPLETED,
    ]  # fmt: skip
    assert replace(job, fails=True).stage(110) is Stage.FAILED


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10)), max_size=20))
def test_the_peak_is_the_most_jobs_at_any_moment(spans: list[tuple[int, int]]) -> None:
    jobs = [a_job(accepted_at=begin, ends_at=begin + length) for begin, length in spans]
    at_moments = (sum(job.accepted_at <= at < job.ends_at for job in jobs) for at in range(41))
    assert peak_in_flight(jobs) == max(at_moments)


async def test_a_simulator_started_anew_still_knows_its_jobs(profile: Profile, tmp_path: Path) -> None:
    record = tmp_path / "jobs.jsonl"
    async with talking_to(Simulator(profile, latency=AT_ONCE, record=record)) as client:
        job_id = await client.accepted(prompt="\ud800 狐", batch_id="b")
        [link] = (await client.status(job_id))[1]["download_urls"]
        _, _, picture = await client.get(link)
    reborn = Simulator(profile, latency=NEVER, seed=99, record=record)
    async with talking_to(reborn) as client:
        _, told = await client.status(job_id)
        path = link.split("/", 3)[3]
        assert (await client.get(f"{client.url}/{path}"))[2] == picture
        assert (await client.status(await client.accepted()))[1]["status"] == "PENDING"
    assert told["status"] == "SUCCESS"
    assert reborn.audit().accepted == 2


async def test_a_torn_last_line_of_the_record_is_forgotten(profile: Profile, tmp_path: Path) -> None:
    record = tmp_path / "jobs.jsonl"
    whole = a_job()
    record.write_bytes(whole.to_line() + a_job(id="f" * 32).to_line()[:-9])
    async with talking_to(Simulator(profile, record=record)) as client:
        assert (await client.status(whole.id))[1]["status"] == "SUCCESS"
        later = await client.accepted()
    assert [json.loads(line)["id"] for line in record.read_bytes().splitlines()] == [whole.id, later]


def test_a_record_damaged_before_its_end_is_refused_with_its_line(profile: Profile, tmp_path: Path) -> None:
    record = tmp_path / "jobs.jsonl"
    record.write_bytes(a_job().to_line() + b'{"number": 1}\n' + a_job().to_line())
    with pytest.raises(StorageFailed, match=r"jobs\.jsonl:2 "):
        Simulator(profile, record=record)


def test_a_record_that_cannot_be_read_is_named(profile: Profile, tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="cannot read its record"):
        Simulator(profile, record=tmp_path)


@pytest.mark.parametrize("options", [{"latency": (2, 1)}, {"latency": (-1, 1)}, {"failure_rate": 1.5}])
def test_impossible_settings_are_refused(profile: Profile, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Simulator(profile, **options)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


async def test_a_taken_port_is_named_with_what_to_do(profile: Profile, taken_port: int) -> None:
    with pytest.raises(UsageError, match=rf"port {taken_port} .* --port"):
        async with serve(Simulator(profile), port=taken_port):
            pass


def test_a_taken_port_is_named_from_the_background_too(profile: Profile, taken_port: int) -> None:
    with pytest.raises(UsageError, match=f"port {taken_port}"), background(Simulator(profile), port=taken_port):
        pass


def test_in_the_background_it_answers_and_leaves_nothing_behind(profile: Profile) -> None:
    before = threading.active_count()
    simulator = Simulator(profile, latency=AT_ONCE)

    async def one_picture(url: str) -> bytes:
        async with aiohttp.ClientSession() as session:
            client = Client(session, url)
            _, told = await client.status(await client.accepted())
            return (await client.get(told["download_urls"][0]))[2]

    with background(simulator) as url:
        assert asyncio.run(one_picture(url))
        port = int(url.rsplit(":", 1)[1])
    assert threading.active_count() == before
    assert simulator.audit().downloads == 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_an_error_of_its_user_passes_through_the_background(profile: Profile) -> None:
    with pytest.raises(KeyboardInterrupt), background(Simulator(profile)):
        raise KeyboardInterrupt
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("simulator", "painter"))]


def test_one_simulator_may_be_started_again_and_goes_on(profile: Profile) -> None:
    simulator = Simulator(profile)
    for _ in range(2):
        with background(simulator) as url, urlopen(url + "/_audit") as answer:
            assert json.load(answer)["accepted"] == 0
