"""What can go wrong at the simulator, where, and how often. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from random import Random
from typing import Annotated

from pydantic import Field, field_validator

from batchgen.simulator.setting import Count, Positive, Setting

Share = Annotated[float, Field(ge=0, le=1)]


class Fault(StrEnum):
    """One thing that goes wrong. Which of them can happen where: `PLACES`."""

    # instead of an answer, or in its place
    RATE_LIMITED = "rate_limited"  # 429, RATE_LIMIT_EXCEEDED
    TOO_MANY_JOBS = "too_many_jobs"  # 429, CONCURRENT_JOBS_EXCEEDED
    SERVER_ERROR = "server_error"  # 500 with JSON that repeats the key
    BAD_GATEWAY = "bad_gateway"  # 502 with a page of HTML
    UNAVAILABLE = "unavailable"  # 503 that does not say until when
    BUSY = "busy"  # 503 with Retry-After
    RESET = "reset"  # the connection is reset
    RESET_BEFORE = "reset_before"  # … before the submission was accepted
    RESET_AFTER = "reset_after"  # … after it was: the answer is lost
    HANG = "hang"  # nothing comes
    DRIP = "drip"  # the answer comes byte by byte
    MALFORMED = "malformed"  # half of the JSON
    # of submissions
    REFUSED = "refused"  # 422, INPUT_INVALID
    SUCCESS_AT_ONCE = "success_at_once"
    FAILURE_AT_ONCE = "failure_at_once"
    NO_ID = "no_id"  # accepted, and not said as what
    # of status calls
    UNKNOWN_STATE = "unknown_state"
    NO_STATE = "no_state"
    FLAPPING = "flapping"  # a job that has ended is said to be running
    ONE_LINK_LESS = "one_link_less"  # a job that has ended names its last link in the next answer
    # of jobs, for good
    FAILURE = "failure"  # MODEL_ERROR, may be tried again
    FAILURE_WITH_URLS = "failure_with_urls"  # … beside links to what it had made: all but the last, or the only one
    INVALID_INPUT = "invalid_input"  # INPUT_INVALID, may not
    CONTENT_POLICY = "content_policy"  # refused as a submission, failed as a job
    CANCELLED = "cancelled"  # ends in the profile's word for that
    LOST = "lost"  # 404 for ever
    STUCK = "stuck"  # never ends
    FEWER_URLS = "fewer_urls"  # one less than samples
    NO_URLS = "no_urls"
    NESTED_URLS = "nested_urls"  # a list in the list
    OTHER_FIELD = "other_field"  # one link, in another of the profile's fields
    # of downloads
    CUT_OFF = "cut_off"  # the connection ends in the middle
    TRUNCATED = "truncated"  # half of the file, and no sign of it in the headers
    HTML = "html"
    TEXT = "text"  # text that calls itself an image
    EMPTY = "empty"
    WRONG_TYPE = "wrong_type"  # the image calls itself text
    REDIRECT = "redirect"  # once, to where the image is
    REDIRECT_LOOP = "redirect_loop"
    REDIRECT_PRIVATE = "redirect_private"
    # of image files, for good
    BLANK = "blank"  # black all over
    WRONG_SIZE = "wrong_size"  # half as wide and high as asked for
    DAMAGED = "damaged"  # some bytes inside are others
    OVERSIZED = "oversized"
    LATE = "late"  # 404 for the first tries
    THUMBNAIL = "thumbnail"  # a quarter as wide and high for the first tries
    GONE = "gone"  # 410 for ever
    # of webhooks
    NEVER_SENT = "never_sent"
    REPEATED = "repeated"  # sent three times although taken
    TOO_EARLY = "too_early"  # sent before the job has ended
    GARBAGE = "garbage"  # its body is no JSON


_ANSWERS = frozenset(
    {
        Fault.RATE_LIMITED,
        Fault.SERVER_ERROR,
        Fault.BAD_GATEWAY,
        Fault.UNAVAILABLE,
        Fault.BUSY,
        Fault.HANG,
        Fault.DRIP,
    }
)
#: Of image files: drawn once for each, where others are drawn for each download.
LASTING = frozenset(
    {Fault.BLANK, Fault.WRONG_SIZE, Fault.DAMAGED, Fault.OVERSIZED, Fault.LATE, Fault.THUMBNAIL, Fault.GONE}
)
#: Of those, the ones that are over after some tries.
PASSING = frozenset({Fault.LATE, Fault.THUMBNAIL})
#: Jobs that fail.
FAILURES = frozenset(
    {Fault.FAILURE, Fault.FAILURE_WITH_URLS, Fault.INVALID_INPUT, Fault.CONTENT_POLICY, Fault.CANCELLED}
)
#: Which faults can happen to what: to each submission, each job, each status call, each image, each webhook.
PLACES: Mapping[str, frozenset[Fault]] = {
    "submit": _ANSWERS
    | {Fault.TOO_MANY_JOBS, Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.MALFORMED, Fault.REFUSED}
    | {Fault.CONTENT_POLICY, Fault.SUCCESS_AT_ONCE, Fault.FAILURE_AT_ONCE, Fault.NO_ID},
    "job": FAILURES | {Fault.LOST, Fault.STUCK, Fault.FEWER_URLS, Fault.NO_URLS, Fault.NESTED_URLS, Fault.OTHER_FIELD},
    "status": _ANSWERS
    | {Fault.RESET, Fault.MALFORMED, Fault.UNKNOWN_STATE, Fault.NO_STATE}
    | {Fault.FLAPPING, Fault.ONE_LINK_LESS},
    "image": _ANSWERS
    | LASTING
    | {Fault.RESET, Fault.CUT_OFF, Fault.TRUNCATED, Fault.HTML, Fault.TEXT, Fault.EMPTY, Fault.WRONG_TYPE}
    | {Fault.REDIRECT, Fault.REDIRECT_LOOP, Fault.REDIRECT_PRIVATE},
    "webhook": frozenset({Fault.NEVER_SENT, Fault.REPEATED, Fault.TOO_EARLY, Fault.GARBAGE}),
}

Chances = Mapping[Fault, Share]  #: how likely each fault is; together at most 1
Script = tuple[Fault | None, ...]  #: the fault of the first, the second, …; None: none; afterwards none
Odds = Chances | Script


class Faults(Setting):
    """What goes wrong where: by chance (a mapping of shares), or as scripted (a list; its k-th entry for the k-th)."""

    submit: Odds = Field(default={}, validate_default=False)
    job: Odds = Field(default={}, validate_default=False)
    status: Odds = Field(default={}, validate_default=False)
    image: Odds = Field(default={}, validate_default=False)
    webhook: Odds = Field(default={}, validate_default=False)
    hang: Positive = 60.0  #: seconds until a hanging connection is closed
    drip: Positive = 5.0  #: seconds that a dripping answer takes
    late: Count = 2  #: downloads that a late image refuses, or gives a thumbnail for
    oversized: Count = 200_000_000  #: bytes of an oversized image

    @field_validator(*PLACES)
    @classmethod
    def _of_its_place(cls, odds: Odds, field: object) -> Odds:
        place = str(getattr(field, "field_name", ""))
        for fault in odds:
            if fault is not None and fault not in PLACES[place]:
                known = ", ".join(sorted(PLACES[place]))
                raise ValueError(f"{fault} cannot happen to {place}; what can: {known}")
        if isinstance(odds, Mapping) and sum(odds.values()) > 1 + 1e-9:
            raise ValueError("the shares add up to more than 1")
        return odds


def chosen(odds: Odds, *, number: int, dice: Random) -> Fault | None:
    """What goes wrong with one of many.

    Args:
        number: which of them it is, from 0; what a script goes by.
        dice: what chances go by; thrown once.
    """
    if not isinstance(odds, Mapping):
        return odds[number] if number < len(odds) else None
    point = dice.random()
    for fault, share in odds.items():
        if point < share:
            return fault
        point -= share
    return None
