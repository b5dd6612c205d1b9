"""What an answer of the API means. Pure: status, headers and bytes in; a value, or one of our errors, out.

Whatever the bytes are, nothing but `APIError` and `AccountBlocked` is raised. The sources of what is known of the
API are the profile's; states, codes and fields not known there are met with the reading that loses no paid image.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin

from batchgen.adapters.http_api.wording import Said, Wording, holders, with_nested
from batchgen.errors import (
    AccountBlocked,
    AnswerInDoubt,
    APIError,
    CreditExhausted,
    KeyRejected,
    RequestRefused,
    TryLater,
)
from batchgen.model import Failure, FailureKind, JobId
from batchgen.ports import Accepted, Completed, Failed, JobStatus, Submission, Unusable, Working
from batchgen.profile import Profile

#: Seconds; no longer wait is believed.
LONGEST_WAIT = 86_400.0
_LONGEST_LINK = 8_192
_LONGEST_ID = 1_000
#: What a job's id is called by any of the APIs: one that is paid for must not be missed for its name.
_ID_FIELDS = ("id", "job_id")
#: Where a refusal's message is, first that holds anything; a framework's name for the status is often in `error`.
_REFUSAL_FIELDS = ("detail", "message", "error")
_BUSY_CODES = frozenset({"RATE_LIMIT_EXCEEDED", "CONCURRENT_JOBS_EXCEEDED"})
#: What gateways say of their own patience, or their caller's, and may say after the API has taken the request.
_GATEWAYS_STATUSES = frozenset({408, 499})
#: A job that failed with one of these fails again (documented).
_HOPELESS_CODES = frozenset({"CREDIT_CHARGE_FAILED", "INPUT_INVALID"})
_NO_CREDIT = re.compile(r"INSUFFICIENT_(?!PERMISSION|SCOPE|PRIVILEGE)")
#: A name and its text or number, whole, in what there is of a JSON object; and bytes of that which are looked at.
_MEMBER = re.compile(r'"(\w{1,100})"\s*:\s*("(?:[^"\\]|\\.){1,1000}"|\d{1,100})\s*[,}]')
_PIECES = 65_536
_SECONDS = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]  #: as names in lower case find them
    body: bytes
    at: float  #: when it came, seconds since the epoch
    url: str = ""  #: where from: links in it may be relative to that


class AnswerReader:
    """Reads the answers of one API.

    Args:
        host: as it is called in messages.
        wording: keeps the key out of them.
    """

    def __init__(self, profile: Profile, *, host: str, wording: Wording) -> None:
        self._profile = profile
        self._host = host
        self._wording = wording
        self._completed = frozenset(map(str.casefold, profile.states.completed))
        self._working = frozenset(map(str.casefold, profile.states.working))
        self._cancelled = frozenset(map(str.casefold, profile.states.cancelled))
        self._failed = self._cancelled.union(map(str.casefold, profile.states.failed))

    def submission(self, answer: Answer, *, early: bool = False) -> Submission:
        """What became of a POST.

        Args:
            early: whether it asked for links to images that are yet to be made.

        Raises:
            AccountBlocked, RequestRefused, TryLater, AnswerInDoubt: as `ports.ImageAPI.submit` says.
        """
        if 200 <= answer.status < 300:
            return self._taken(answer, early=early)
        said = self._refusal(answer)
        if job_id := self._job_all_the_same(answer, said):
            return Accepted(job_id=job_id)
        if 400 <= answer.status < 500 and not _is_a_gateways(answer, said):
            raise self._refused(answer, said)
        job_id = self._job_id(said.content or {})
        wait = retry_after(answer.headers.get("retry-after"), now=answer.at)
        if answer.status == 503 and wait is not None and job_id is None:
            raise TryLater(retry_after=wait, **self._facts(answer, said))
        raise AnswerInDoubt(job_id=job_id, **self._facts(answer, said))

    def job_status(self, answer: Answer) -> JobStatus:
        """Where a job stands.

        Raises:
            AccountBlocked, RequestRefused, TryLater: as `ports.ImageAPI.status` says.
        """
        if 200 <= answer.status < 300:
            return self._stands(answer)
        said = self._refusal(answer)
        if answer.status in (404, 410):
            raise RequestRefused(**self._facts(answer, said))
        if answer.status == 403 and said.has_policy_code:
            return self._failure(answer, said)
        if 400 <= answer.status < 500 and (blocked := self._blocked(answer, said)):
            raise blocked
        content = said.content or {}
        # Where it does not name the job, it may be the question that failed.
        if answer.status not in (429, 503) and self._state(content) in self._failed and self._job_id(content):
            return self._failure(answer, said, blocked=self._blocked(answer, said))
        raise self._later(answer, said)

    def named_in(self, pieces: bytes) -> JobId | None:
        """What may be the job's id in the pieces of an answer; to be asked about, not to be believed."""
        members: dict[str, Any] = {}
        for name, value in _MEMBER.findall(pieces[:_PIECES].decode("utf-8", "replace")):
            with contextlib.suppress(ValueError):
                members.setdefault(name, json.loads(value))
        return self._job_id(members)

    def _refusal(self, answer: Answer) -> Said:
        return self._wording.said(answer.body, fields=_REFUSAL_FIELDS)

    def _job_all_the_same(self, answer: Answer, said: Said) -> JobId | None:
        """The job that an answer names although its status says something else; to ask about it costs nothing."""
        content = said.content or {}
        state = self._state(content)
        # An outage has a word for itself, too, and an id of the call that met it.
        goes_on = answer.status >= 500 and (state in self._working or state in self._completed)
        named = goes_on or (answer.status == 409 and state not in self._failed)
        return self._job_id(content) if named else None

    def _taken(self, answer: Answer, *, early: bool) -> Submission:
        said = self._wording.said(answer.body, fields=self._profile.fields.error)
        content = said.content or {}
        job_id, state, urls = self._job_id(content), self._state(content), self._urls(content, answer.url)
        if state in self._failed:
            if _NO_CREDIT.match(said.code or ""):
                raise CreditExhausted(host=self._host, answer=_message(answer, said))
            if job_id is None and said.code in _BUSY_CODES:
                raise self._later(answer, said)
            failed = self._failure(answer, said)
            return replace(failed, urls=()) if early else failed
        at_work = early or state in self._working  # what its links give is not what they will give
        if urls and (state in self._completed or (job_id is None and not at_work)):
            return Completed(urls=urls, job_id=job_id, response=self._wording.response(content))
        if job_id is None:
            what = "cannot be read" if said.content is None else "names neither a job nor an image"
            what = f"names no job, and links to images that are yet to be made ({' '.join(urls)})" if urls else what
            facts = self._facts(answer, said)
            named = self.named_in(answer.body) if said.content is None else None
            raise AnswerInDoubt(job_id=named, **facts | {"message": f"The answer {what}: {facts['message']}"})
        return Accepted(job_id=job_id, early_urls=urls)

    def _stands(self, answer: Answer) -> JobStatus:
        said = self._wording.said(answer.body, fields=self._profile.fields.error)
        content = said.content or {}
        state, urls = self._state(content), self._urls(content, answer.url)
        if state in self._failed:
            return self._failure(answer, said, blocked=self._blocked(answer, said))
        if urls and (state in self._completed or state is None):
            return Completed(urls=urls, job_id=self._job_id(content), response=self._wording.response(content))
        if state in self._completed:
            message = "The job has finished, but the answer names no link that can be used."
            return Unusable(message=message, http_status=answer.status, response=self._wording.kept(answer.body))
        if state is None:
            raise TryLater(
                f"The answer does not say where the job stands: {_message(answer, said)}", http_status=answer.status
            )
        if urls and state not in self._working:
            return Working(state=self._wording.line(state), urls=urls, response=self._wording.response(content))
        return Working(state=self._wording.line(state))

    def _failure(self, answer: Answer, said: Said, *, blocked: AccountBlocked | None = None) -> Failed:
        content = said.content or {}
        cancelled = self._state(content) in self._cancelled
        ended = "was cancelled" if cancelled else "failed"
        message = said.message or said.code or f"The job {ended}, and the API gave no reason."
        urls = self._urls(content, answer.url)
        if urls:
            message = self._wording.line(f"{message} The answer names links all the same: {' '.join(urls)}")
        retryable = _is_retryable(said) and not cancelled
        return Failed(
            failure=Failure(kind=_kind(said), message=message, code=said.code, http_status=answer.status),
            retryable=retryable,
            response=self._wording.kept(answer.body),
            blocked=blocked,
            crowded=retryable and said.code in _BUSY_CODES,
            urls=urls,
            job_id=self._job_id(content),
        )

    def _facts(self, answer: Answer, said: Said) -> dict[str, Any]:
        """What every error keeps of its answer."""
        return {
            "message": _message(answer, said),
            "http_status": answer.status,
            "code": said.code,
            "response": self._wording.kept(answer.body),
        }

    def _refused(self, answer: Answer, said: Said) -> APIError | AccountBlocked:
        """Why a 4xx: surely not accepted."""
        blocked = self._blocked(answer, said)
        if blocked is not None:
            return blocked
        if answer.status in (425, 429) or said.code in _BUSY_CODES:
            return self._later(answer, said)
        facts = self._facts(answer, said)
        if said.is_policy:
            facts["code"] = "CONTENT_POLICY"
        return RequestRefused(**facts)

    def _blocked(self, answer: Answer, said: Said) -> AccountBlocked | None:
        words = f"HTTP {answer.status}: {said.message}" if said.message else f"HTTP {answer.status}"
        # A 422 is about the input, and may quote it.
        no_credit = _NO_CREDIT.match(said.code or "") and (said.names_code or answer.status != 422)
        if answer.status == 402 or no_credit:
            return CreditExhausted(host=self._host, answer=words)
        if answer.status == 401 or (answer.status == 403 and not said.has_policy_code):
            return KeyRejected(host=self._host, variable=self._profile.key.variable, answer=words)
        return None

    def _later(self, answer: Answer, said: Said) -> TryLater:
        crowded = answer.status == 429 or said.code == "CONCURRENT_JOBS_EXCEEDED"
        return TryLater(retry_after=_wait(answer, said), crowded=crowded, **self._facts(answer, said))

    def _job_id(self, content: Mapping[str, Any]) -> JobId | None:
        names = (*self._profile.fields.job_id, *_ID_FIELDS)
        for value in (holder.get(name) for holder in holders(content) for name in names):
            text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
            if text.strip() and len(text) <= _LONGEST_ID and _is_unicode(text):
                return JobId(text)
        return None

    def _state(self, content: Mapping[str, Any]) -> str | None:
        """The API's word in the form in which words are compared; None if it gives none."""
        # The innermost is the job's: an envelope's own `success` is about the call.
        values = (holder.get(name) for holder in reversed(holders(content)) for name in self._profile.fields.state)
        return next((word for value in values if isinstance(value, str) and (word := value.strip().casefold())), None)

    def _urls(self, content: Mapping[str, Any], origin: str) -> tuple[str, ...]:
        """All links, in order: an answer may hold some in one field and others in the next, or say one twice."""
        values = (holder.get(name) for holder in holders(content) for name in self._profile.fields.urls)
        return tuple(dict.fromkeys(link for value in values if value for link in _links(value, origin)))


def retry_after(value: str | None, *, now: float) -> float | None:
    """Seconds to wait, from 0 to a day; None if the header is absent or cannot be understood.

    Args:
        value: of a `Retry-After` header: seconds or an HTTP date.
        now: seconds since the epoch.
    """
    if value is None:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return min(max(float(text), 0.0), LONGEST_WAIT)
    try:
        date = parsedate_to_datetime(text)
        at = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, LookupError, OverflowError):
        return None
    return min(max(at - now, 0.0), LONGEST_WAIT)


def _is_a_gateways(answer: Answer, said: Said) -> bool:
    """Whether a 4xx leaves open if the request was taken; a code of the API's own says that it was not."""
    return answer.status in _GATEWAYS_STATUSES and said.code not in _BUSY_CODES


def _wait(answer: Answer, said: Said) -> float | None:
    """The wait that the header asks for, or else the body."""
    wait = retry_after(answer.headers.get("retry-after"), now=answer.at)
    value = (said.content or {}).get("retry_after")
    if wait is not None or isinstance(value, bool) or not isinstance(value, int | float | str):
        return wait
    if isinstance(value, str):
        return retry_after(value, now=answer.at)
    if isinstance(value, float) and math.isnan(value):
        return None
    return float(min(max(value, 0), LONGEST_WAIT))


def _kind(said: Said) -> FailureKind:
    if said.is_policy:
        return FailureKind.CONTENT_POLICY
    return FailureKind.REFUSED if said.code == "INPUT_INVALID" else FailureKind.JOB_FAILED


def _is_retryable(said: Said) -> bool:
    """Not where its code leaves no hope; else what the API says itself; an unknown failure may be tried again."""
    code = said.code or ""
    if said.has_policy_code or code in _HOPELESS_CODES or code.startswith("INSUFFICIENT_"):
        return False  # whatever else it says: it would be paid for again
    for holder in with_nested(said.content or {}):
        if isinstance(holder.get("retryable"), bool):
            return bool(holder["retryable"])
    return not said.is_policy


def _message(answer: Answer, said: Said) -> str:
    return said.message or said.code or f"HTTP {answer.status} without a message"


def _links(value: object, origin: str) -> Iterable[str]:
    """The links in a text, a list or an object, nested as it may be, in order.

    Args:
        origin: where a path alone is joined to.
    """
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting.extend(reversed(part))
        elif isinstance(part, dict):
            waiting.extend(_in_object(part))
        elif isinstance(part, str) and _is_link(link := _whole(part.strip(), origin)):
            yield link


def _in_object(value: Mapping[str, Any]) -> list[object]:
    """What of an object may hold links, last first: its `url`, or else its parts if they are numbered."""
    if "url" in value:
        return [value["url"]]
    numbered = all(name.isascii() and name.isdigit() and len(name) < 5 for name in value)
    return [value[name] for name in sorted(value, key=int, reverse=True)] if numbered else []


def _whole(text: str, origin: str) -> str:
    """The link, joined to where it came from if it is a path alone."""
    if not text.startswith("/") or not origin:
        return text
    try:
        return urljoin(origin, text)
    except ValueError:  # brackets that are no address
        return text


def _is_link(text: str) -> bool:
    return text.lower().startswith(("https://", "http://")) and len(text) <= _LONGEST_LINK and _is_unicode(text)


def _is_unicode(text: str) -> bool:
    """Whether it can be written anywhere; JSON may smuggle in half a character."""
    return text.isascii() or not _HALF_A_CHARACTER.search(text)
