"""What the simulated endpoints take and give: request bodies, answers and refusals, after the profile."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, assert_never

from aiohttp import web
from pydantic import Field, ValidationError

from batchgen.model import ParamValue, number_of
from batchgen.profile import Parameter, Profile, Role
from batchgen.simulator.faults import Fault
from batchgen.simulator.jobs import Job, Stage
from batchgen.simulator.setting import Setting

#: Pixels. The API's own limit is not documented; the simulator has one so that a typing error eats no memory.
LONGEST_SIDE = 2048
#: A state that no profile knows.
UNKNOWN_STATE = "RECALIBRATING"
_SENT = frozenset({Role.IMAGE, Role.DELIVERY, Role.TAG})
_CODES: Mapping[Fault | None, str] = {
    Fault.INVALID_INPUT: "INPUT_INVALID: the simulator was told to find fault with some inputs",
    Fault.CONTENT_POLICY: "INPUT_INVALID: the prompt violates the content policy",
}
_MODEL_ERROR = "MODEL_ERROR: the simulator was told to let some jobs fail"

#: Faults that the answer's own words have.
OF_ANSWERS = frozenset(
    {Fault.SUCCESS_AT_ONCE, Fault.FAILURE_AT_ONCE, Fault.NO_ID}
    | {Fault.UNKNOWN_STATE, Fault.NO_STATE, Fault.FLAPPING, Fault.ONE_LINK_LESS}
)
FieldProblem = dict[str, object]
Body = Mapping[str, ParamValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What a submission asks for, and how its result is to be delivered, which differs from run to run."""

    body: Body  #: the parameters of the images, and the tags
    webhook: str | None  #: who is to be called when the job has ended, if that is an address
    early_links: bool  #: whether the links are wanted at once


def refusal(kind: type[web.HTTPClientError], detail: str | list[FieldProblem], **more: str) -> web.HTTPClientError:
    """An answer of that kind as the API gives it: JSON with `detail`."""
    return kind(text=json.dumps({"detail": detail, **more}), content_type="application/json")


def blocked(status: Literal[401, 402, 403], header: str) -> web.HTTPClientError:
    """The answer to an account that may not ask."""
    match status:
        case 401:
            return refusal(web.HTTPUnauthorized, f"Missing or invalid {header}.")
        case 402:
            return refusal(web.HTTPPaymentRequired, "No credit is left.", code="INSUFFICIENT_CREDITS")
        case 403:
            return refusal(web.HTTPForbidden, "This account may not use the API.")
        case _:
            assert_never(status)


def expired(status: Literal[403, 410]) -> web.HTTPClientError:
    """The answer of a link that does not hold any more."""
    kind = web.HTTPForbidden if status == 403 else web.HTTPGone
    return refusal(kind, "The link has expired; the status endpoint gives a fresh one.")


def parse_body(raw: bytes, profile: Profile) -> Body:
    """The parameters of a submission, in canonical form, with the defaults of those that are not given.

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
    defaults = {name: known.default for name, known in _taken(profile).items() if known.default is not None}
    return defaults | params


class Account(Setting):
    """What may be set about the account while the simulator runs; what is not given stays."""

    block: Literal[401, 402, 403] | None = None
    credit: Annotated[int, Field(ge=0)] | None = None


def parse_account(raw: bytes) -> Account:
    """What the account is to be from now on.

    Raises:
        web.HTTPClientError: 422 for what cannot be set.
    """
    try:
        return Account.model_validate_json(raw)
    except ValidationError as error:
        raise refusal(web.HTTPUnprocessableEntity, str(error)) from error


def _check(body: Mapping[str, object], profile: Profile) -> tuple[dict[str, ParamValue], list[FieldProblem]]:
    params: dict[str, ParamValue] = {}
    taken = _taken(profile)
    problems = [
        _problem("is required", "missing", name)
        for name, parameter in taken.items()
        if parameter.required and name not in body
    ]
    for name, value in body.items():
        parameter = taken.get(name)
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
        if number_of(params, side, 1) > LONGEST_SIDE
    ]
    return params, problems


def _taken(profile: Profile) -> dict[str, Parameter]:
    """The parameters that the endpoint takes; a profile may have more, for its own side."""
    return {name: parameter for name, parameter in profile.parameters.items() if parameter.role in _SENT}


def _problem(message: str, kind: str, *field: str) -> FieldProblem:
    return {"loc": ["body", *field], "msg": message, "type": kind}


def accepted(
    job: Job, profile: Profile, *, at: float, links: Sequence[str], early: bool, fault: Fault | None
) -> dict[str, object]:
    """The answer to the submission that became the job.

    Args:
        links: to its images.
        early: whether they are wanted before the job has ended.
        fault: of the submission.
    """
    if fault in (Fault.SUCCESS_AT_ONCE, Fault.FAILURE_AT_ONCE):
        return describe(job, profile, at=at, links=links)
    answer: dict[str, object] = {profile.fields.state[0]: _word(Stage.QUEUED, profile)}
    if fault is not Fault.NO_ID:
        answer[profile.fields.job_id[0]] = job.id
        answer |= _result(profile, links) if early else {}
    return answer


def describe(
    job: Job, profile: Profile, *, at: float, links: Sequence[str], fault: Fault | None = None
) -> dict[str, object]:
    """The job as the status endpoint tells it.

    Args:
        links: to its images, for when it is done.
        fault: of the status call.
    """
    stage = job.stage(at)
    if fault is Fault.FLAPPING and stage in (Stage.COMPLETED, Stage.FAILED):
        stage = Stage.RUNNING
    answer: dict[str, object] = {profile.fields.job_id[0]: job.id}
    if fault is Fault.UNKNOWN_STATE:
        return answer | {profile.fields.state[0]: UNKNOWN_STATE}
    if fault is Fault.NO_STATE:
        return answer
    answer[profile.fields.state[0]] = _word(stage, profile)
    if stage is Stage.COMPLETED:
        named = max(0, job.images - (fault is Fault.ONE_LINK_LESS))
        answer |= _result(profile, links[:named], job.fault if named else None)
    if stage is Stage.FAILED and job.fault is Fault.CANCELLED:
        answer[profile.fields.state[0]] = _cancelled(profile)
    elif stage is Stage.FAILED:
        answer |= _result(profile, links[: job.images]) if job.images else {}
        answer[profile.fields.error[0]] = _error(_CODES.get(job.fault, _MODEL_ERROR), profile)
    return answer


def apart(params: Body, profile: Profile) -> Submitted:
    """What is asked for, apart from how it is to be delivered."""
    delivery = profile.named(Role.DELIVERY)
    url = params.get(profile.webhook_parameter or "")
    is_address = isinstance(url, str) and url.startswith(("http://", "https://"))
    return Submitted(
        body={name: value for name, value in params.items() if name not in delivery},
        webhook=str(url) if is_address else None,
        early_links=bool(params.get(profile.early_urls_parameter or "")),
    )


def callback(job: Job, profile: Profile, *, at: float, links: Sequence[str]) -> dict[str, object]:
    """What the webhook of a job is sent: the current API's body; the classic one is not known."""
    stamp = {"user_id": "simulator", "timestamp": datetime.fromtimestamp(at, UTC).isoformat()}
    return describe(job, profile, at=at, links=links) | stamp


def _is_list(field: str) -> bool:
    """Whether the field of that name holds a list of links: download_urls does, result_url holds one."""
    return field.endswith("s")


def _result(profile: Profile, links: Sequence[str], fault: Fault | None = None) -> dict[str, object]:
    """The links as the profile's answers hold them, and as the fault has them."""
    name, *others = profile.fields.urls
    if fault is Fault.OTHER_FIELD and others:
        return {others[0]: links[0]}
    if _is_list(name):
        return {name: [list(links)] if fault is Fault.NESTED_URLS else list(links)}
    if not links:
        return {name: None}
    return {name: links[0], name.removesuffix("_url") + "_mime_type": f"image/{links[0].rsplit('.', 1)[-1]}"}


def _error(text: str, profile: Profile) -> object:
    """A failure as a text; as an object with the code where jobs have one image, as the current API has it."""
    if _is_list(profile.fields.urls[0]):
        return text
    code, _, message = text.partition(": ")
    return {"code": code, "message": message, "retryable": code != "INPUT_INVALID"}


def _cancelled(profile: Profile) -> str:
    """The word for a job that somebody cancelled, where the profile has one; else for one that failed."""
    words: tuple[str, ...] = getattr(profile.states, "cancelled", ()) or profile.states.failed
    return words[-1]


def _word(stage: Stage, profile: Profile) -> str:
    states = profile.states
    words = {
        Stage.QUEUED: states.working[0],
        Stage.RUNNING: states.working[-1],
        Stage.COMPLETED: states.completed[0],
        Stage.FAILED: states.failed[0],
    }
    return words[stage]
