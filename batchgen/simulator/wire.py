"""What the simulated endpoint takes and gives: request bodies, links and refusals, after the profile."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import web

from batchgen.model import ParamValue
from batchgen.profile import Profile
from batchgen.simulator.jobs import Job, Stage

#: Pixels. The API's own limit is not documented; the simulator has one so that a typing error eats no memory.
LONGEST_SIDE = 2048
_TAG_LENGTH = 100
_IMAGE_NAME = re.compile(r"(?:.*-)?(?P<id>[0-9a-f]{32})-(?P<sample>\d{1,3})\.(?:png|webp)", re.DOTALL)

FieldProblem = dict[str, object]


def refusal(kind: type[web.HTTPClientError], detail: str | list[FieldProblem]) -> web.HTTPClientError:
    """An answer of that kind as the API gives it: JSON with `detail`."""
    return kind(text=json.dumps({"detail": detail}), content_type="application/json")


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


def image_format(job: Job) -> str:
    """png where the direct link was asked for, else webp."""
    return "png" if job.body.get("direct_link") else "webp"


def image_paths(job: Job) -> list[str]:
    """Where its images lie on this server, in sample order; the tags are there to be seen."""
    folder = _path_part(job.body.get("batch_id", ""))
    prefix = _path_part(job.body.get("file_prefix", ""))
    extension = image_format(job)
    return [f"/images/{folder}/{prefix}-{job.id}-{sample}.{extension}" for sample in range(job.samples)]


def parse_image_name(name: str) -> tuple[str, int] | None:
    """Job id and sample of the last part of an image's path; None if it is not one."""
    match = _IMAGE_NAME.fullmatch(name)
    return (match["id"], int(match["sample"])) if match else None


def _path_part(tag: ParamValue) -> str:
    # A part of dots alone would be taken for a step up the path, even percent-encoded.
    text = str(tag)[:_TAG_LENGTH]
    return quote(text, safe="", errors="replace") if text.strip(".") else "untagged"


def describe(job: Job, at: float, profile: Profile, *, origin: str) -> dict[str, object]:
    """The job as the status endpoint tells it."""
    stage = job.stage(at)
    answer: dict[str, object] = {profile.fields.job_id[0]: job.id, profile.fields.state[0]: _word(stage, profile)}
    if stage is Stage.COMPLETED:
        answer[profile.fields.urls[0]] = [origin + path for path in image_paths(job)]
    if stage is Stage.FAILED:
        answer[profile.fields.error[0]] = "MODEL_ERROR: the simulator was told to let some jobs fail"
    return answer


def accepted(job: Job, profile: Profile, *, origin: str) -> dict[str, object]:
    """The answer to the submission that became the job."""
    answer: dict[str, object] = {
        profile.fields.job_id[0]: job.id,
        profile.fields.state[0]: _word(Stage.QUEUED, profile),
    }
    if job.body.get("queued_image_urls"):
        answer[profile.fields.urls[0]] = [origin + path for path in image_paths(job)]
    return answer


def _word(stage: Stage, profile: Profile) -> str:
    states = profile.states
    words = {
        Stage.QUEUED: states.working[0],
        Stage.RUNNING: states.working[-1],
        Stage.COMPLETED: states.completed[0],
        Stage.FAILED: states.failed[0],
    }
    return words[stage]
