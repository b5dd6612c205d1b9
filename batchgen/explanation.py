"""Where each request of a plan stands in a batch, and why: in words, for `plan --explain`. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from batchgen.lifecycle import Record, State
from batchgen.model import FailureKind, InDoubt, ParamValue, Request

#: Longest piece of a value that is quoted, in characters.
_QUOTED = 40


class Standing(StrEnum):
    """Where a request of a plan stands in the batch that a run would go on with."""

    NEW = "new"  # a run would submit it
    DONE = "done"  # its images are stored
    FAILED = "failed"  # a run leaves it, unless told to try again
    IN_DOUBT = "in_doubt"  # may have been paid for; a run does what in_doubt says
    ELSEWHERE = "elsewhere"  # another batch has it, and a run asks for new ones only
    UNDER_WAY = "under_way"  # submitted; a run goes on with it and pays nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A request of a plan, and why it is where it is."""

    request: Request
    standing: Standing
    why: str


def standing(state: State | None, *, running: bool) -> Standing:
    """Where a request stands, given its state.

    Args:
        state: None if the journal knows nothing of it.
        running: whether a run works on the batch now; what is being submitted without one was cut off.
    """
    match state:
        case None | State.PLANNED:
            return Standing.NEW
        case State.SUBMITTING:
            return Standing.UNDER_WAY if running else Standing.IN_DOUBT
        case State.IN_DOUBT:
            return Standing.IN_DOUBT
        case State.SUBMITTED | State.READY:
            return Standing.UNDER_WAY
        case State.STORED:
            return Standing.DONE
        case State.FAILED:
            return Standing.FAILED


def submits(where: Standing, in_doubt: InDoubt) -> bool:
    """Whether a run submits what stands there, and so pays for it, as long as no flag says otherwise."""
    return where is Standing.NEW or (where is Standing.IN_DOUBT and in_doubt is InDoubt.RETRY)


def why(request: Request, record: Record, *, running: bool, in_doubt: InDoubt = InDoubt.HOLD) -> str:
    """The reason for the standing of a request that the journal knows.

    Args:
        in_doubt: what a run does with requests in doubt.
    """
    said = _why(record, running=running, decides=_DECIDES[in_doubt])
    if request.replaces is not None:
        said += f"; in place of a rejected image of {request.replaces.of[:10]}"
    return f"{said}; no longer in the manifest, and kept because it was paid for" if request.kept else said


def _why(record: Record, *, running: bool, decides: str) -> str:
    match record.state:
        case State.PLANNED:
            return f"not accepted so far: {_failure(record)}" if record.failure else "not submitted yet"
        case State.SUBMITTING if running:
            return f"being submitted since {_moment(record.submitted_at)}"
        case State.SUBMITTING:
            return f"since {_moment(record.submitted_at)}: the run ended before the API's answer came; {decides}"
        case State.IN_DOUBT:
            return f"since {_moment(record.submitted_at)}: {_failure(record)}; {decides}"
        case State.SUBMITTED:
            return f"accepted as job {record.job_id}, submitted {_moment(record.submitted_at)}"
        case State.READY:
            ended = "finished" if record.failed is None else "failed, with links all the same,"
            return f"{ended} {_moment(record.completed_at)}; its images are yet to be downloaded"
        case State.STORED:
            return _stored(record)
        case State.FAILED:
            return f"{_failure(record)}; --retry failed tries again"


_DECIDES = {
    InDoubt.HOLD: "--in-doubt retry or fail decides",
    InDoubt.RETRY: "in_doubt is retry, so a run submits it again",
    InDoubt.FAIL: "in_doubt is fail, so a run gives it up",
}


def _stored(record: Record) -> str:
    images = f"{len(record.images)} image{'' if len(record.images) == 1 else 's'} stored"
    if not record.missing:
        return images
    kinds = sorted({lost.failure.kind for lost in record.missing})
    return f"{images}, {len(record.missing)} not had ({', '.join(kinds)})"


def _failure(record: Record) -> str:
    failure = record.failure
    return FailureKind.ANSWER_LOST.value if failure is None else f"{failure.kind}: {failure.message}"


def _moment(seconds: float | None) -> str:
    return "an unknown time" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def why_new(request: Request, nearest: Request | None) -> str:
    """Why a request that the journal does not know is new.

    Args:
        nearest: of the batch's requests with the same prompt, the one that is most like it.
    """
    if nearest is None:
        return "its prompt is not in the batch"
    if nearest.key == request.key:
        return "in the batch, and not submitted yet"
    return f"prompt is as row {nearest.row_index} of the batch, but {', '.join(_differences(request, nearest))}"


def nearer(request: Request, one: Request | None, other: Request) -> Request:
    """Which of two requests with its prompt is more like a request; the first, if both are."""
    if one is None or len(_differences(request, other)) < len(_differences(request, one)):
        return other
    return one


def _differences(request: Request, other: Request) -> list[str]:
    """What another request has that this one has not, as `guidance_scale 7 -> 9`."""
    if request.key == other.key:
        return []
    names = dict.fromkeys((*other.params, *request.params))
    changed = [name for name in names if other.params.get(name) != request.params.get(name)]
    said = [f"{name} {_value(other.params.get(name))} -> {_value(request.params.get(name))}" for name in changed]
    if request.repeat != other.repeat:
        said.append(f"repeat {other.repeat} -> {request.repeat}")
    return said or ["it was asked of another endpoint"]


def _value(value: ParamValue | None) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case float() if value.is_integer():
            return f"{value:.0f}"
        case str():
            return repr(value if len(value) <= _QUOTED else f"{value[:_QUOTED]}…")
        case _:
            return str(value)
