"""What machines are told of requests, accounts and results: one shape for `--json`, files and notifications."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what they bring takes its time, and `plan` does without it
    from batchgen.app.disputing import Disputed
    from batchgen.app.result import RunResult
    from batchgen.app.standing import Doubt
    from batchgen.budget import Account
    from batchgen.model import Request


#: What is told of a dispute.
DISPUTE_NAMES = (
    "submitted_at", "kind", "accepted", "job_id", "images", "cost", "prompt", "request_key", "http_status", "message",
)  # fmt: skip


def request_json(request: Request) -> dict[str, Any]:
    """A request as machines are told of it."""
    return {
        "request_key": request.key,
        "row_index": request.row_index,
        "repeat": request.repeat,
        "prompt": request.prompt,
        "params": dict(request.params),
        "file_prefix": request.file_prefix,
        "labels": dict(request.labels),
        "split": request.split,
    }


def account_json(account: Account) -> dict[str, Any]:
    """Images, and what they cost where a price is known."""
    spent = account.spending
    told = {
        "price_per_image": account.price_per_image,
        "budget": asdict(account.budget),
        "spent": _amount_json(account, spent.total),
        "wasted": _amount_json(account, spent.wasted),
        "in_doubt": _amount_json(account, spent.in_doubt),
        "left": None if account.left is None else _amount_json(account, account.left),
    }
    return {"account": told}


def _amount_json(account: Account, images: int) -> dict[str, Any]:
    return {"images": images, "cost": account.cost(images)}


def doubt_json(doubt: Doubt) -> dict[str, Any]:
    """A request in doubt."""
    since = doubt.since.isoformat() if doubt.since else None
    return {**request_json(doubt.request), "since": since, "reason": doubt.reason, "cost": doubt.cost}


def result_json(result: RunResult) -> dict[str, Any]:
    """A batch as a run left it: what `run --json` says."""
    return {
        "out": str(result.out),
        "batch_id": result.batch_id,
        "run_id": result.run_id,
        "wanted": result.wanted,
        "images": {status.value: number for status, number in result.samples.items()},
        "findings": dict(result.findings),
        "replaced": result.replaced,
        "unreplaced": result.unreplaced,
        "elsewhere": result.elsewhere,
        "unfinished": list(map(str, result.unfinished)),
        "under_way": result.under_way,
        "in_doubt": [doubt_json(doubt) for doubt in result.doubts],
        **account_json(result.account),
        "report": None if result.report is None else str(result.report),
        "stopped": result.stopped,
        "exit_code": result.exit_code,
    }


def dispute_json(disputed: Disputed) -> dict[str, Any]:
    """A submission that is worth a word with the provider."""
    failure = disputed.dispute.failure
    return {
        "submitted_at": disputed.submitted_at.isoformat(timespec="seconds"),
        "kind": failure.kind.value,
        "accepted": "perhaps" if disputed.in_doubt else "yes",
        "job_id": disputed.dispute.job_id,
        "images": disputed.images,
        "cost": disputed.cost,
        "prompt": disputed.request.prompt if disputed.request else None,
        "request_key": disputed.request_key,
        "http_status": failure.http_status,
        "message": failure.message,
    }
