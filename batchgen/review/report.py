"""`report.html`: a batch as a page that opens from disk, from its index and image files alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from batchgen import index
from batchgen.model import INDEX_NAME, REPORT_NAME, Status
from batchgen.review import charts, counting
from batchgen.review.advice import advice
from batchgen.review.counting import Found
from batchgen.review.facets import axis_names, facets
from batchgen.review.gallery import MOST_ROWS, Gallery, PartMaker, in_parts
from batchgen.review.pages import render
from batchgen.review.survey import Survey


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFile:
    """One file of a report; the page comes last."""

    name: str  #: relative to the batch folder
    content: bytes | None  #: None: it is there already, and as it must be
    rows: int  #: whose images came into it


def make(folder: Path, *, thumbnails: int | None = None) -> Iterator[ReportFile]:
    """The files of a report, made as they are taken.

    Args:
        folder: of the batch.
        thumbnails: to make anew at most; None: all that are missing.

    Raises:
        StorageFailed: the index cannot be read.
    """
    path = folder / INDEX_NAME
    found, survey = counting.count(path), Survey()
    labels, gallery = found.labels, Gallery(found.labels)
    inside: list[Any] | None = [] if PartMaker.inside(index.rows(path)) else None
    rows = index.read(path)
    with closing(PartMaker(folder, labels, thumbnails=thumbnails)) as maker:
        for number, part in enumerate(in_parts(islice(rows, MOST_ROWS))):
            for row in part:
                seen = facets(row, labels)
                survey.add(row, seen)
                gallery.add(row, seen)
            if inside is not None:
                inside.append(maker.inner(part))
            else:
                name, content = maker.beside(number, part)
                gallery.lies_beside(name)
                yield ReportFile(name=name, content=content, rows=len(part))
    for row in rows:
        survey.add(row, facets(row, labels))
    page = _page(found, survey, gallery.written(inside))
    yield ReportFile(name=REPORT_NAME, content=page, rows=0 if inside is None else gallery.count)


def rows_shown(folder: Path) -> int:
    """How many rows the report of a batch will show.

    Raises:
        StorageFailed: the index cannot be read.
    """
    return min(MOST_ROWS, index.rows(folder / INDEX_NAME))


def _page(found: Found, survey: Survey, rows: dict[str, Any]) -> bytes:
    statuses, failures = found.counts["status"], found.counts["error_class"]
    drawn = [charts.latency(survey.ended, survey.latency), charts.throughput(survey.stored)]
    return render(
        "report.html",
        script="report.js",
        beside=rows["parts"] is None,
        facts=found.facts,
        wanted=statuses.total(),
        prompts=found.prompts,
        survey=survey,
        period=_period(survey),
        statuses=[(status, statuses[status]) for status in Status if statuses[status]],
        account=found.account,
        typical=[f"{charts.share(survey.latency, part):.3g} s" for part in (50, 90)] if survey.latency else [],
        failures=[(kind, n, advice(kind), survey.examples[kind]) for kind, n in failures.most_common()],
        charts=[chart for chart in drawn if chart is not None],
        parameters=survey.parameters(),
        axes=axis_names(found.labels),
        shown=rows["count"],
        rows=rows,
        width=charts.WIDTH,
        height=charts.HEIGHT,
        left=charts.LEFT,
        right=charts.RIGHT,
    )


def _period(survey: Survey) -> str:
    if not survey.stored:
        return ""
    first, last = (datetime.fromtimestamp(moment, UTC) for moment in (min(survey.stored), max(survey.stored)))
    return f", {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
