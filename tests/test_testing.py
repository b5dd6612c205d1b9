"""The in-memory image API does as it is told. Store and journal are held by the contract tests."""

from __future__ import annotations

import asyncio
from io import BytesIO

import pytest
from PIL import Image

from batchgen.adapters.image_check import PillowCheck
from batchgen.errors import AnswerInDoubt, RequestRefused, ResultUnavailable, TryLater
from batchgen.model import Failure, FailureKind, JobId
from batchgen.ports import Accepted, Completed, Failed, Submission, Working
from batchgen.testing import MemoryImageAPI, tiny_png
from tests.factories import a_request

FAILED = Failed(failure=Failure(kind=FailureKind.JOB_FAILED, message="no"), retryable=True)


def test_a_tiny_png_is_a_picture_of_the_size_and_colour_asked_for() -> None:
    with Image.open(BytesIO(tiny_png(3, 2, (1, 2, 3)))) as image:
        assert image.size == (3, 2)
        assert image.getpixel((2, 1)) == (1, 2, 3)


async def test_a_job_works_for_the_polls_that_were_said_and_then_gives_a_link_for_each_sample() -> None:
    api = MemoryImageAPI(polls=2, size=(5, 4))
    answer = await api.submit(a_request(params={"samples": 3}))
    assert answer == Accepted(job_id=JobId("job-1"))
    statuses = [await api.status(JobId("job-1")) for _ in range(3)]
    assert statuses[:2] == [Working(state="pending")] * 2
    assert isinstance(statuses[2], Completed)
    contents = [await api.download(url) for url in statuses[2].urls]
    assert len(set(contents)) == 3
    assert PillowCheck().verify(contents[0]).width == 5


async def test_it_remembers_every_call_and_how_many_jobs_were_open_at_once() -> None:
    api = MemoryImageAPI(polls=0)
    for prompt in "abc":
        await api.submit(a_request(prompt=prompt))
    await api.status(JobId("job-1"))
    await api.submit(a_request())
    assert [request.prompt for request in api.submitted[:3]] == ["a", "b", "c"]
    assert api.polled == ["job-1"]
    assert api.most_open == 3
    assert len(api.jobs) == 4


async def test_a_script_for_a_prompt_is_used_up_in_order_and_then_all_is_as_usual() -> None:
    api = MemoryImageAPI(polls=0, submit={"fox": [TryLater("busy"), FAILED, None]}, status={"fox": [TryLater("hm")]})
    with pytest.raises(TryLater, match="busy"):
        await api.submit(a_request(prompt="fox"))
    assert await api.submit(a_request(prompt="fox")) == FAILED
    assert await api.submit(a_request(prompt="other")) == Accepted(job_id=JobId("job-1"))
    assert await api.submit(a_request(prompt="fox")) == Accepted(job_id=JobId("job-2"))
    with pytest.raises(TryLater, match="hm"):
        await api.status(JobId("job-2"))
    assert isinstance(await api.status(JobId("job-2")), Completed)


async def test_a_function_may_decide_each_call_and_may_wait() -> None:
    gate = asyncio.Event()

    async def hold(_: object) -> Submission | None:
        await gate.wait()
        return None

    api = MemoryImageAPI(polls=0, submit=hold, download=lambda url: b"bytes" if url.endswith("/0") else None)
    submitting = asyncio.create_task(api.submit(a_request(params={"samples": 2})))
    await asyncio.sleep(0)
    assert not submitting.done()
    gate.set()
    await submitting
    first, second = api.links(JobId("job-1"))
    assert await api.download(first) == b"bytes"
    assert (await api.download(second)).startswith(b"\x89PNG")


async def test_a_job_that_a_script_accepts_is_known_from_then_on() -> None:
    api = MemoryImageAPI(polls=0, submit=lambda _: Accepted(job_id=JobId("mine")))
    await api.submit(a_request())
    assert await api.status(JobId("mine")) == Completed(urls=("https://images.test/mine/0",))


async def test_an_answer_in_doubt_opens_no_job() -> None:
    api = MemoryImageAPI(submit=lambda _: AnswerInDoubt("lost"))
    with pytest.raises(AnswerInDoubt):
        await api.submit(a_request())
    assert api.jobs == {}


async def test_what_it_never_gave_it_does_not_know() -> None:
    api = MemoryImageAPI()
    with pytest.raises(RequestRefused, match="no job"):
        await api.status(JobId("never"))
    with pytest.raises(ResultUnavailable):
        await api.download("https://images.test/never/0")
