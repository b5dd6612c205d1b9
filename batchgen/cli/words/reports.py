"""What `check`, `check --readers` and `status --disputes` print: for people, for machines and for spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import StringIO
from typing import TYPE_CHECKING, Any

from batchgen.app.as_json import DISPUTE_NAMES
from batchgen.cli.words.phrases import money, plural
from batchgen.soundness import Flaw, Remedy

if TYPE_CHECKING:
    from batchgen.app.checking import CheckReport
    from batchgen.app.proving import Verdict

#: Flaws of one kind that are told one by one; --json has them all.
_SHOWN = 20
_ADVICE = {
    Remedy.REPAIR: "`batchgen check {out} --repair` mends that",
    Remedy.DOWNLOAD: "`batchgen check {out} --repair` has the next run download them again, at no cost",
    Remedy.JOURNAL: "put it back whole, with the -wal file beside it if there was one; runs are refused until then",
    Remedy.MANIFEST: "run the manifest as it was with --out {out}; a copy of it is in {out}/.batchgen",
    Remedy.USER: "look at them yourself; nothing that may have been paid for is ever deleted",
}


def check_text(report: CheckReport) -> str:
    """What `check` says."""
    plan = f"{report.out}/.batchgen/plan.parquet"  # a frozen plan is a manifest
    lines = [f"{report.out}: {plural(report.images, 'image')} checked; {_verdict(report)}"]
    for remedy in Remedy:
        found = [flaw for flaw in report.flaws if flaw.remedy is remedy]
        lines += _told(found)
        if found:
            lines.append(f"  -> {_ADVICE[remedy].format(out=report.out)}")
    if report.mended:
        lines += ["Mended:", *_told(report.mended)]
    if report.reopened:
        lines += [
            "Noted as lost, and damaged ones set aside in .batchgen/damaged:",
            *_told(report.reopened),
            f"Next: `batchgen run {plan} --out {report.out}`, or the manifest again, downloads them at no cost. "
            "What the API no longer has ends as failed, and "
            f"only `--retry failed` would pay for it anew: {money(report.at_stake)} at most.",
        ]
    return "\n".join(lines)


def _verdict(report: CheckReport) -> str:
    if report.flaws:
        return plural(len(report.flaws), "thing") + " wrong"
    return "some have to be downloaded again" if report.reopened else "all is sound"


def _told(flaws: Sequence[Flaw]) -> list[str]:
    lines = [f"  {flaw.where} {flaw.words}" for flaw in flaws[:_SHOWN]]
    if len(flaws) > _SHOWN:
        lines.append(f"  … and {len(flaws) - _SHOWN:,} more; --json names them all")
    return lines


def check_json(report: CheckReport) -> dict[str, Any]:
    """What `check --json` says."""
    return {
        "out": str(report.out),
        "images": report.images,
        "flaws": [_flaw_json(flaw) for flaw in report.flaws],
        "mended": [_flaw_json(flaw) for flaw in report.mended],
        "reopened": [_flaw_json(flaw) for flaw in report.reopened],
        "at_stake": report.at_stake,
        "exit_code": report.exit_code,
    }


def _flaw_json(flaw: Flaw) -> dict[str, Any]:
    return {
        "kind": flaw.kind,
        "where": flaw.where,
        "words": flaw.words,
        "request_key": flaw.request_key,
        "sample": flaw.sample,
        "remedy": flaw.remedy,
    }


def readers_text(verdicts: Sequence[Verdict]) -> str:
    """What `check --readers` says: a line for each rule and each load."""
    lines = []
    for verdict in verdicts:
        mark = "skipped" if verdict.skipped else "BROKEN" if verdict.complaint else "ok"
        why = verdict.skipped or verdict.complaint
        lines.append(f"  {mark:<8} {verdict.what}: {verdict.who}" + (f": {why}" if why else ""))
    return "\n".join(lines)


def readers_json(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """What `check --readers --json` says."""
    return {"verdicts": [asdict(verdict) for verdict in verdicts]}


#: Columns of the report on disputes, in order.
def disputes_csv(listed: Sequence[Mapping[str, Any]]) -> str:
    """What `status --disputes` says: a table with a header, harmless in spreadsheets."""
    from batchgen.export.lines import spreadsheet_cell

    text = StringIO()
    table = csv.writer(text)
    table.writerow(DISPUTE_NAMES)
    for cells in listed:
        table.writerow(spreadsheet_cell(cells[name]) for name in DISPUTE_NAMES)
    return text.getvalue().removesuffix("\r\n")


def disputes_json(listed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What `status --disputes --json` says."""
    return {"disputes": list(listed)}
