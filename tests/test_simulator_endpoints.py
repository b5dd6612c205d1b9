"""The simulator answers at every endpoint that a profile describes, in that profile's own words."""

from __future__ import annotations

from typing import Any

import pytest

from batchgen.adapters.profiles import find_profile, profile_names
from batchgen.errors import UsageError
from batchgen.profile import Fields, Key, Parameter, Profile, Role, States
from batchgen.simulator import Behaviour, Fault, Faults, Fixed, Simulator
from tests.simulating import SD3, Client, body, talking_to

TOLD = Behaviour(latency=Fixed(0), pictures="tiny")
#: As the documents have the current API.
CURRENT = Profile(
    name="current",
    title="The current API",
    provider="imagepipeline.io",
    model="any",
    base_url="http://127.0.0.1",
    submit_path="/generate/image/v1",
    status_path="/generate/image/v1/status/{id}",
    key=Key(header="X-API-Key"),
    parameters={
        "prompt": Parameter(type="text", required=True),
        "width": Parameter(type="integer", default=1024, maximum=1024),
        "height": Parameter(type="integer", default=1024, maximum=1024),
        "output_format": Parameter(type="text"),
        "seed": Parameter(type="integer", default=-1),
        "callback_url": Parameter(type="text", role=Role.DELIVERY),
    },
    states=States(
        working=("queued", "pending", "processing"), completed=("completed",), failed=("failed", "cancelled")
    ),
    fields=Fields(job_id=("job_id",), state=("status",), urls=("result_url",)),
)


async def call(client: Client, profile: Profile, method: str, path: str, **sent: Any) -> tuple[int, Any]:
    headers = {profile.key.header: "k"}
    async with client.session.request(method, client.url + path, headers=headers, **sent) as answer:
        return answer.status, await answer.json()


async def ended(client: Client, profile: Profile, **sent: object) -> dict[str, Any]:
    """The last status of a job with these parameters."""
    status, answer = await call(client, profile, "POST", profile.submit_path, json={"prompt": "A fox"} | sent)
    assert status == 202, answer
    path = profile.status_path.format(id=answer[profile.fields.job_id[0]])
    return dict((await call(client, profile, "GET", path))[1])


@pytest.mark.parametrize("name", profile_names())
async def test_one_simulator_stands_in_for_every_built_in_profile(name: str) -> None:
    profile = find_profile(name)
    required = {
        name: parameter.default if parameter.default is not None else "fox"
        for name, parameter in profile.parameters.items()
        if parameter.required
    }
    async with talking_to(Simulator(behaviour=TOLD)) as client:
        told = await ended(client, profile, **required)
        _, _, welcome = await client.get(client.url)
    assert told[profile.fields.state[0]] in profile.states.completed
    assert told[profile.fields.urls[0]]
    assert profile.submit_path.encode() in welcome


async def test_an_endpoint_of_one_image_a_job_gives_its_link_and_type() -> None:
    async with talking_to(Simulator(CURRENT, behaviour=TOLD)) as client:
        told = await ended(client, CURRENT, output_format="jpeg")
        status, _, _ = await client.get(told["result_url"])
    assert (told["status"], told["result_mime_type"], status) == ("completed", "image/jpeg", 200)


@pytest.mark.parametrize(("asked", "kind"), [("png", "png"), ("jpeg", "jpeg"), ("webp", "webp"), ("bmp", "webp")])
async def test_a_picture_is_drawn_in_the_format_asked_for(asked: str, kind: str) -> None:
    async with talking_to(Simulator(CURRENT, latency=Fixed(0))) as client:
        told = await ended(client, CURRENT, output_format=asked, width=64, height=64)
        _, content_type, _ = await client.get(told["result_url"])
    assert content_type == f"image/{kind}"


async def test_the_same_seed_of_a_request_draws_the_same_picture() -> None:
    async with talking_to(Simulator(CURRENT, latency=Fixed(0))) as client:

        async def picture(seed: int) -> bytes:
            told = await ended(client, CURRENT, seed=seed, width=64, height=64)
            return (await client.get(told["result_url"]))[2]

        assert await picture(0) == await picture(0)
        assert await picture(-1) != await picture(-1)


async def test_a_failure_has_its_code_and_whether_it_may_be_tried_again() -> None:
    faults = Faults(job=(Fault.FAILURE, Fault.CONTENT_POLICY))
    async with talking_to(Simulator(CURRENT, behaviour=TOLD.changed(faults=faults))) as client:
        errors = [(await ended(client, CURRENT))["error"] for _ in range(2)]
    assert [(error["code"], error["retryable"]) for error in errors] == [
        ("MODEL_ERROR", True),
        ("INPUT_INVALID", False),
    ]


@pytest.mark.parametrize(("profile", "state"), [(CURRENT, "cancelled"), (SD3, "FAILURE")])
async def test_a_cancelled_job_ends_in_the_word_that_its_endpoint_has_for_it(profile: Profile, state: str) -> None:
    told = TOLD.changed(faults=Faults(job=(Fault.CANCELLED,)))
    sent = body() if profile is SD3 else {}
    async with talking_to(Simulator(profile, behaviour=told)) as client:
        end = await ended(client, profile, **sent)
    assert (end["status"], "download_urls" in end, "result_url" in end) == (state, False, False)


async def test_a_job_of_one_image_may_end_without_its_link() -> None:
    faults = Faults(job=(Fault.NO_URLS,))
    async with talking_to(Simulator(CURRENT, behaviour=TOLD.changed(faults=faults))) as client:
        assert (await ended(client, CURRENT))["result_url"] is None


async def test_a_job_is_not_known_at_the_status_path_of_another_endpoint() -> None:
    async with talking_to(Simulator(SD3, CURRENT, behaviour=TOLD)) as client:
        job_id = await client.accepted()
        assert (await client.status(job_id))[0] == 200
        status, _ = await call(client, CURRENT, "GET", CURRENT.status_path.format(id=job_id))
    assert status == 404


async def test_each_endpoint_wants_the_key_in_its_own_header() -> None:
    async with talking_to(Simulator(SD3, CURRENT, behaviour=TOLD)) as client:
        assert (await client.submit(body(), {"X-API-Key": "k"}))[0] == 401
        assert (await client.submit(body(), {"API-Key": "k"}))[0] == 202


async def test_no_key_of_any_endpoint_may_reach_the_image_host() -> None:
    simulator = Simulator(SD3, CURRENT, behaviour=TOLD)
    async with talking_to(simulator) as client:
        told = await ended(client, CURRENT)
        for header in ("API-Key", "X-API-Key"):
            assert (await client.get(told["result_url"], {header: "k"}))[0] == 400
    assert simulator.audit().keys_at_image_host == 2


async def test_what_is_not_given_is_made_by_the_endpoints_default() -> None:
    profile = SD3.model_copy(
        update={"parameters": {**SD3.parameters, "samples": Parameter(type="integer", default=2, maximum=4)}}
    )
    without = {name: value for name, value in body().items() if name != "samples"}
    async with talking_to(Simulator(profile, behaviour=TOLD)) as client:
        told = await ended(client, profile, **without)
    assert len(told["download_urls"]) == 2


def test_an_unknown_profile_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="sd33"):
        Simulator("sd33")
