"""What `plan` prints. Rows are counted from 0, as in the index's `row_index`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from batchgen.app.as_json import account_json, request_json
from batchgen.budget import Account, in_words
from batchgen.cli.words.phrases import hanging, money, plural
from batchgen.explanation import Standing, submits
from batchgen.manifest.names import written
from batchgen.model import NO_BUDGET, Request

if TYPE_CHECKING:
    from batchgen.app.comparing import Amount, Comparison, Drift, Explanation
    from batchgen.app.preview import Preview
    from batchgen.manifest import Manifest
    from batchgen.summary import PlanSummary

#: The column in which facts stand, and that of requests.
_FACT, _REQUEST = 14, 11
#: Characters of a prompt that are shown.
_LONGEST = 400


def preview_text(preview: Preview) -> str:
    """What `plan` says."""
    manifest, summary = preview.manifest, preview.summary
    lines = [f"{manifest.source}: {_size(summary)}"]
    lines += [hanging(label, text, indent=_FACT) for label, text in _facts(preview)]
    lines += [hanging("", f"row {again.row_index} is as row {again.first_row}: {_prompt(again.prompt)}", indent=_FACT)
              for again in summary.repeated]  # fmt: skip
    lines += [_warning(warning) for warning in preview.warnings]
    lines += _requests("First requests, as they will be sent:", summary.first)
    lines += _requests("Others, drawn at random:", summary.drawn)
    if not summary.first:
        lines.append("Nothing to send.")
    if preview.table is not None:
        lines.append(f"All {plural(summary.requests, 'request')} written to {preview.table}")
    return "\n".join(lines)


def _size(summary: PlanSummary) -> str:
    return (
        f"{plural(summary.requests, 'request')} for {plural(summary.samples, 'image')}"
        f" of {plural(summary.prompts, 'prompt')}"
    )


def _facts(preview: Preview) -> Iterator[tuple[str, str]]:
    manifest, summary = preview.manifest, preview.summary
    yield "profile", f"{manifest.profile.name}: {manifest.profile.title}"
    yield "batch", f"{manifest.batch_id}, into {preview.out}"
    price = manifest.price_per_image
    yield "cost", money(summary.cost) + (f" ({price:g} an image)" if price else "")
    if manifest.budget != NO_BUDGET:
        spent, left = preview.account.spending.total, preview.account.left
        yield "budget", in_words(manifest.budget, price) + (f", {left:,} left" if spent and left is not None else "")
    yield "at once", plural(manifest.concurrency, "job")
    if manifest.dimensions:
        yield "sweep", " × ".join(f"{name} {size:,}" for name, size in manifest.dimensions)
    if summary.splits:
        yield "splits", ", ".join(f"{name} {plural(size, 'image')}" for name, size in sorted(summary.splits.items()))
    if summary.duplicates:
        yield "duplicates", f"{summary.duplicates:,} left out: what an earlier row asks for already"
    if preview.others is not None:
        other = "1 other batch has" if preview.others == 1 else f"{preview.others:,} other batches have"
        yield "elsewhere", f"{plural(summary.elsewhere, 'request')} left out: what {other} already"


def _requests(title: str, requests: Sequence[Request]) -> Iterator[str]:
    if requests:
        yield ""
        yield title
    for request in requests:
        indent = _indent(request)
        yield hanging(f"row {request.row_index}", _prompt(request.prompt), indent=indent)
        params = ", ".join(f"{name}={value!r}" for name, value in request.params.items())
        yield hanging("", params, indent=indent)
        yield hanging("", "-> " + ", ".join(_belongings(request)), indent=indent)


def _indent(request: Request) -> int:
    """The column in which what is said of a request stands, behind the number of its row."""
    return max(_REQUEST, len(f"  row {request.row_index} "))


def _belongings(request: Request) -> Iterator[str]:
    yield request.file_stem
    if request.split is not None:
        yield request.split
    yield from (f"{name}={value!r}" for name, value in request.labels.items())


def _prompt(text: str) -> str:
    if len(text) <= _LONGEST:
        return repr(text)
    return f"{text[:_LONGEST]!r}… ({len(text):,} characters)"


def preview_json(preview: Preview) -> dict[str, Any]:
    """What `plan --json` says."""
    manifest, summary = preview.manifest, preview.summary
    return {
        "manifest": manifest.source,
        "batch_id": manifest.batch_id,
        "profile": manifest.profile.name,
        "out": str(preview.out),
        "table": None if preview.table is None else str(preview.table),
        "requests": summary.requests,
        "images": summary.samples,
        "prompts": summary.prompts,
        "dimensions": dict(manifest.dimensions),
        "splits": dict(summary.splits),
        "duplicates": summary.duplicates,
        "elsewhere": summary.elsewhere,
        "repeated": [{"row_index": again.row_index, "first_row": again.first_row} for again in summary.repeated],
        "warnings": list(preview.warnings),
        "cost": summary.cost,
        "budget": asdict(manifest.budget),
        "first": [request_json(request) for request in summary.first],
        "drawn": [request_json(request) for request in summary.drawn],
    }


def explanation_text(found: Explanation) -> str:
    """What `plan --explain` says."""
    total = sum(amount.requests for amount in found.amounts.values())
    into = f"the batch in {found.out}" if found.begun else f"a new batch in {found.out}"
    lines = [f"{found.manifest.source}: {plural(total, 'request')} for {into}", *map(_warning, found.warnings)]
    lines += [
        hanging(_said(standing), _amount(amount, cost=submits(standing, found.in_doubt)), indent=_FACT)
        for standing, amount in found.amounts.items()
        if amount.requests
    ]
    for standing, amount in found.amounts.items():
        shown = [one for one in found.shown if one.standing is standing]
        if shown:
            lines += ["", f"{_said(standing).capitalize()}:"]
        for one in shown:
            indent = _indent(one.request)
            lines.append(hanging(f"row {one.request.row_index}", _prompt(one.request.prompt), indent=indent))
            lines.append(hanging("", f"{_which(one.request)}: {one.why}", indent=indent))
        if shown and amount.requests > len(shown):
            lines.append(f"  … and {amount.requests - len(shown):,} more (--show N shows more)")
    return "\n".join([*lines, *_shortfall(found.account, found.to_pay)])


def _warnings(manifest: Manifest) -> list[str]:
    return [_warning(warning) for warning in manifest.warnings]


def _shortfall(account: Account, images: int) -> list[str]:
    told = account.shortfall(images)
    return [] if told is None else [_warning(told)]


def _warning(text: str) -> str:
    return hanging("warning", text, indent=_FACT)


def _which(request: Request) -> str:
    """What tells a request from others of its prompt: its axes, its repeat, and its key, as short as in file names."""
    axes = [f"{name.removeprefix('axis_')}={written(value)}" for name, value in request.labels.items()
            if name.startswith("axis_")]  # fmt: skip
    repeat = [f"repeat {request.repeat}"] if request.repeat else []
    return ", ".join([*axes, *repeat, request.key[:10]])


def _said(standing: Standing) -> str:
    return standing.value.replace("_", " ")


def _amount(amount: Amount, *, cost: bool = True) -> str:
    text = f"{plural(amount.requests, 'request')}, {plural(amount.samples, 'image')}"
    return f"{text}, cost {money(amount.cost)}" if cost and amount.requests else text


def explanation_json(found: Explanation) -> dict[str, Any]:
    """What `plan --explain --json` says: counts of all, and the first few of each standing."""
    return {
        "manifest": found.manifest.source,
        "out": str(found.out),
        "begun": found.begun,
        "warnings": list(found.warnings),
        **{standing.value: _amount_json(amount) for standing, amount in found.amounts.items()},
        **account_json(found.account),
        "requests": [
            {**request_json(one.request), "standing": one.standing.value, "why": one.why} for one in found.shown
        ],
    }


def _amount_json(amount: Amount) -> dict[str, Any]:
    return {"requests": amount.requests, "images": amount.samples, "cost": amount.cost}


def comparison_text(found: Comparison) -> str:
    """What `plan --against` says."""
    paid = found.dropped_paid
    stay = f"; {paid:,} of them {'was' if paid == 1 else 'were'} paid for, and kept in the batch" if paid else ""
    return "\n".join(
        [
            f"{found.manifest.source} against the batch in {found.against}:",
            *_warnings(found.manifest),
            hanging("new", _amount(found.new), indent=_FACT),
            hanging("kept", _amount(found.kept), indent=_FACT),
            hanging("dropped", _amount(found.dropped) + stay, indent=_FACT),
            f"A run into {found.against} would submit {_amount(found.to_pay)}.",
            *_shortfall(found.account, found.to_pay.samples),
        ]
    )


def comparison_json(found: Comparison) -> dict[str, Any]:
    """What `plan --against --json` says."""
    return {
        "manifest": found.manifest.source,
        "against": str(found.against),
        "warnings": list(found.manifest.warnings),
        "new": _amount_json(found.new),
        "kept": _amount_json(found.kept),
        "dropped": {**_amount_json(found.dropped), "paid_requests": found.dropped_paid},
        "to_pay": _amount_json(found.to_pay),
        **account_json(found.account),
    }


def drift_text(found: Drift) -> str:
    """What `plan --frozen` says."""
    source, plan = found.manifest.source, f"the frozen plan in {found.out}"
    files = [f"  {name}: {how}" for name, how in found.files.items()]
    if not found:
        same = f"{source} asks for what {plan} holds: {plural(found.requests, 'request')}."
        return "\n".join([same, *(["These files changed, but not in what is asked for:", *files] if files else ())])
    counts = [
        (found.new, "not in the frozen plan"),
        (found.gone, "of the frozen plan no longer asked for"),
        (found.renamed, "with other tags, labels, splits or delivery"),
    ]
    lines = [f"{source} has drifted from {plan}:", *files]
    return "\n".join([*lines, *(f"  {plural(number, 'request')} {what}" for number, what in counts if number)])


def drift_json(found: Drift) -> dict[str, Any]:
    """What `plan --frozen --json` says."""
    return {
        "manifest": found.manifest.source,
        "out": str(found.out),
        "drifted": bool(found),
        "requests": found.requests,
        "new": found.new,
        "gone": found.gone,
        "renamed": found.renamed,
        "files": dict(found.files),
        "exit_code": 2 if found else 0,
    }
