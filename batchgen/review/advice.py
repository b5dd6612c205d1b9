"""What to do about each kind of failure, in a sentence."""

from __future__ import annotations

from batchgen.model import FailureKind

_ADVICE = {
    FailureKind.REFUSED: "The API does not take these inputs, and never will: mend the row in the manifest.",
    FailureKind.CONTENT_POLICY: "The API will not draw this: put the prompt in other words, or leave the row out.",
    FailureKind.UNREACHABLE: "Nothing arrived, and nothing was paid: mend the network, then use --retry failed.",
    FailureKind.BUSY: "The API was full: run with --retry failed, with a lower --concurrency or a --rate.",
    FailureKind.ANSWER_LOST: "These may have been paid for: compare with the account, then decide with --in-doubt.",
    FailureKind.JOB_FAILED: "Accepted, and then failed at the API: run with --retry failed:job_failed; it pays again.",
    FailureKind.JOB_LOST: "The API forgot the job: run with --retry failed:job_lost, which asks again before it pays.",
    FailureKind.RESULT_LOST: "Made, but not to be had any more: run sooner after a stop; --retry failed pays again.",
    FailureKind.MISSING: "The job gave fewer images than were asked for: its others are kept; add a row for more.",
    FailureKind.REJECTED: "A check keeps these out of the dataset: look at them in .batchgen/rejected.",
}


def advice(kind: str) -> str:
    """What to do about failures of a kind, as the index names it."""
    return _ADVICE.get(FailureKind(kind), "") if kind in set(FailureKind) else ""
