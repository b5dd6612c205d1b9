"""What the simulated endpoint takes and gives: request bodies, links and refusals, after the profile."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, assert_never

from aiohttp import web

from batchgen.model import ParamValue
from batchgen.profile import Profile
from batchgen.simulator.behaviour import Early
from batchgen.simulator.jobs import Job, Stage

#: Pixels. The API's own limit is not documented; the simulator has one so that a typing error eats no memory.
LONGEST_SIDE = 2048
#: The parameters that name a webhook, of the classic endpoints and of the current one.
_WEBHOOKS = ("webhook", "callback_url")

_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c636000000002000148afa4710000000049454e44ae426082"
)

FieldProblem = dict[str, object]


def refusal(kind: type[web.HTTPClientError], detail: str | list[FieldProblem]) -> web.HTTPClientError:
    """An answer of that kind as the API gives it: JSON with `detail`."""
    return kind(text=json.dumps({"detail": detail}), content_type="application/json")


def not_yet(early: Early) -> web.Response:
    """The answer of a link whose job has not ended."""
    match early:
        case Early.NOT_FOUND:
            raise refusal(web.HTTPNotFound, "There is no image yet.")
        case Early.FORBIDDEN:
            raise refusal(web.HTTPForbidden, "There is no image yet.")
        case Early.EMPTY:
            return web.Response(content_type="image/png")
        case Early.PLACEHOLDER:
            return web.Response(text="Your image is being processed.")
        case Early.PIXEL:
            return web.Response(body=_PIXEL, content_type="image/png")
        case _:
            assert_never(early)


def expired(status: Literal[403, 410]) -> web.HTTPClientError:
    """The answer of a link that does not hold any more."""
    kind = web.HTTPForbidden if status == 403 else web.HTTPGone
    return refusal(kind, "The link has expired; the status endpoint gives a fresh one.")


def parse_body(raw: bytes, profile: Profile) -> Mapping[str, ParamValue]:
    """The parameters of a submission, in canonical form.

    Raises:
        web.HTTPClientError: 400 for what is not JSON, 422 naming every problem of what is.
    """
    try:
        body: Any = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise refusal(web.HTTPBadRequest, f"The body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise refusal(web.HTTPUnprocessableEntity, [_problem("must be an object of parameters", "model_type")])
    params, problems = _check(body, profile)
    if problems:
        raise refusal(web.HTTPUnprocessableEntity, problems)
    return params


def _check(body: Mapping[str, object], profile: Profile) -> tuple[dict[str, ParamValue], list[FieldProblem]]:
    params: dict[str, ParamValue] = {}
    problems = [
        _problem("is required", "missing", name)
        for name, parameter in profile.parameters.items()
        if parameter.required and name not in body
    ]
    for name, value in body.items():
        parameter = profile.parameters.get(name)
        if parameter is None:
            problems.append(_problem("is not a parameter of this endpoint", "extra_forbidden", name))
            continue
        try:
            params[name] = parameter.check(value)
        except ValueError as error:
            problems.append(_problem(str(error), "value_error", name))
        except OverflowError:  # a whole number beyond any float
            problems.append(_problem(f"must be {parameter.allowed}.", "value_error", name))
    problems += [
        _problem(f"must be at most {LONGEST_SIDE}", "less_than_equal", side)
        for side in ("width", "height")
        if int(params.get(side, 1)) > LONGEST_SIDE
    ]
    return params, problems


def _problem(message: str, kind: str, *field: str) -> FieldProblem:
    return {"loc": ["body", *field], "msg": message, "type": kind}


def describe(job: Job, at: float, profile: Profile, *, links: Sequence[str]) -> dict[str, object]:
    """The job as the status endpoint tells it.

    Args:
        links: to its images, for when it is done.
    """
    stage = job.stage(at)
    answer: dict[str, object] = {profile.fields.job_id[0]: job.id, profile.fields.state[0]: _word(stage, profile)}
    if stage is Stage.COMPLETED:
        answer |= _result(profile, links)
    if stage is Stage.FAILED:
        answer[profile.fields.error[0]] = "MODEL_ERROR: the simulator was told to let some jobs fail"
    return answer


def accepted(job: Job, profile: Profile, *, links: Sequence[str]) -> dict[str, object]:
    """The answer to the submission that became the job."""
    answer: dict[str, object] = {
        profile.fields.job_id[0]: job.id,
        profile.fields.state[0]: _word(Stage.QUEUED, profile),
    }
    return answer | (_result(profile, links) if job.body.get("queued_image_urls") else {})


def webhook_url(job: Job) -> str | None:
    """Where the end of the job is to be sent, if anywhere."""
    url = next((job.body[name] for name in _WEBHOOKS if name in job.body), None)
    return url if isinstance(url, str) and url.startswith(("http://", "https://")) else None


def callback(job: Job, at: float, profile: Profile, *, links: Sequence[str]) -> dict[str, object]:
    """What the webhook of a job that has ended is sent: the current API's body; the classic one is not known."""
    return describe(job, at, profile, links=links) | {
        "user_id": "simulator",
        "timestamp": datetime.fromtimestamp(at, UTC).isoformat(),
    }


def _result(profile: Profile, links: Sequence[str]) -> dict[str, object]:
    """The links as the profile's answers hold them: a list where the field's name is plural, else the first one."""
    name = profile.fields.urls[0]
    return {name: list(links) if name.endswith("s") else links[0]}


def _word(stage: Stage, profile: Profile) -> str:
    states = profile.states
    words = {
        Stage.QUEUED: states.working[0],
        Stage.RUNNING: states.working[-1],
        Stage.COMPLETED: states.completed[0],
        Stage.FAILED: states.failed[0],
    }
    return words[stage]
