"""The life of one request: events, states, and one table that says which event leads where. Pure.

An event is a fact; the state is what the facts add up to. `advance` is the only way from one record to the
next, for the journal as for its in-memory twin, and an event that the table does not allow raises and changes
nothing.
"""

from batchgen.lifecycle.events import (
    AnswerLost,
    Event,
    GaveUp,
    ImagesJudged,
    ImagesKept,
    ImagesLost,
    ImagesStored,
    JobCompleted,
    JobFailed,
    LinksMissing,
    Reopened,
    Resubmitted,
    ResultLost,
    SubmitAccepted,
    SubmitRefused,
    SubmitStarted,
)
from batchgen.lifecycle.record import ENDED, MAY_STILL_EXIST, OPEN, Record, State, was_paid_for
from batchgen.lifecycle.steps import TABLE, IllegalStep, advance

__all__ = [
    "ENDED",
    "MAY_STILL_EXIST",
    "OPEN",
    "TABLE",
    "AnswerLost",
    "Event",
    "GaveUp",
    "IllegalStep",
    "ImagesJudged",
    "ImagesKept",
    "ImagesLost",
    "ImagesStored",
    "JobCompleted",
    "JobFailed",
    "LinksMissing",
    "Record",
    "Reopened",
    "Resubmitted",
    "ResultLost",
    "State",
    "SubmitAccepted",
    "SubmitRefused",
    "SubmitStarted",
    "advance",
    "was_paid_for",
]
