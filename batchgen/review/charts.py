"""Latency and throughput over time, as shapes that a page draws. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import quantiles

#: Pixels of the drawing, and of the margin that labels stand in.
WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 8, 12, 28
#: Spans of time that a chart counts in, seconds.
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800)
_MOST_SPANS = 48
#: Pixels that a letter of a label takes, or a little more.
_LETTER = 7.5
_SECONDS = {604_800: "week", 86_400: "day", 3600: "h", 60: "min", 1: "s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A rectangle of a chart, in pixels, and what it says."""

    x: float
    y: float
    width: float
    height: float
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a chart, in pixels, with a gap where nothing is known."""

    name: str
    path: str  #: as SVG writes paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A label on an edge of a chart, in pixels along it."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart, and the table of the same figures for who does not see it."""

    title: str
    across: Sequence[Tick]
    up: Sequence[Tick]
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    bars: Sequence[Bar] = ()
    lines: Sequence[Line] = ()


@dataclass(frozen=True, slots=True)
class _Spans:
    """A stretch of time cut into equal spans."""

    first: float  #: seconds since 1970
    step: float  #: seconds
    count: int

    @classmethod
    def over(cls, *moments: Sequence[float]) -> _Spans:
        first = min(min(some) for some in moments if some)
        last = max(max(some) for some in moments if some)
        step = float(next((step for step in _STEPS if (last - first) / step < _MOST_SPANS - 1), _STEPS[-1]))
        while (last - first) / step >= _MOST_SPANS - 1:
            step *= 2
        first = first // step * step
        return cls(first, step, int((last - first) // step) + 1)

    @property
    def name(self) -> str:
        unit = next(seconds for seconds in _SECONDS if self.step % seconds == 0)
        number = int(self.step // unit)
        return _SECONDS[unit] if number == 1 else f"{number:,} {_SECONDS[unit]}"

    def number(self, moment: float) -> int:
        return int((moment - self.first) // self.step)

    def label(self, number: int) -> str:
        pattern = "%m-%d %H:%M" if self.step * self.count > 86_400 else "%H:%M" if self.step >= 60 else "%H:%M:%S"
        return f"{datetime.fromtimestamp(self.first + number * self.step, UTC):{pattern}}"

    def x(self, number: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * number / self.count

    def ticks(self) -> list[Tick]:
        every = max(1, math.ceil(self.count / 6))
        ticks = [Tick(at=round(self.x(n), 1), text=self.label(n)) for n in range(0, self.count, every)]
        return [tick for tick in ticks if tick.at + _LETTER * len(tick.text) <= WIDTH]


def throughput(stored: Sequence[float]) -> Chart | None:
    """How many images were stored when; None if there is none.

    Args:
        stored: a moment for each image, in seconds since 1970.
    """
    if not stored:
        return None
    spans = _Spans.over(stored)
    counted = [0] * spans.count
    for moment in stored:
        counted[spans.number(moment)] += 1
    top = _top(max(counted))
    bars = [_bar(spans, number, count, top) for number, count in enumerate(counted) if count]
    return Chart(
        title=f"Images stored per {spans.name}",
        across=spans.ticks(),
        up=_up(top),
        heads=("from (UTC)", "images"),
        rows=[(spans.label(number), f"{count:,}") for number, count in enumerate(counted) if count],
        bars=bars,
    )


def latency(ended: Sequence[float], seconds: Sequence[float]) -> Chart | None:
    """How long jobs took, by when they ended; None if there is none.

    Args:
        ended: a moment for each job, in seconds since 1970.
        seconds: what each took.
    """
    if not ended:
        return None
    spans = _Spans.over(ended)
    taken: list[list[float]] = [[] for _ in range(spans.count)]
    for moment, duration in zip(ended, seconds, strict=True):
        taken[spans.number(moment)].append(duration)
    median = [share(some, 50) if some else None for some in taken]
    slow = [share(some, 90) if some else None for some in taken]
    top = _top(max(value for value in slow if value is not None))
    return Chart(
        title="Seconds from submission to the job's end",
        across=spans.ticks(),
        up=_up(top),
        heads=("ended from (UTC)", "jobs", "half within", "nine of ten within"),
        rows=[
            (spans.label(number), f"{len(some):,}", f"{median[number]:.3g} s", f"{slow[number]:.3g} s")
            for number, some in enumerate(taken)
            if some
        ],
        lines=[
            Line(name="half within", path=_path(spans, median, top)),
            Line(name="nine of ten within", path=_path(spans, slow, top)),
        ],
    )


def share(values: Sequence[float], percent: int) -> float:
    """The value that so many percent of the values do not exceed; there is at least one."""
    return values[0] if len(values) == 1 else quantiles(values, n=100, method="inclusive")[percent - 1]


def _bar(spans: _Spans, number: int, count: int, top: float) -> Bar:
    left, right, y = spans.x(number), spans.x(number + 1), _y(count, top)
    gap = min(1.0, (right - left) / 4)
    return Bar(
        x=round(left, 1),
        y=round(y, 1),
        width=round(right - left - gap, 1),
        height=round(HEIGHT - BOTTOM - y, 1),
        says=f"{spans.label(number)}: {count:,}",
    )


def _path(spans: _Spans, values: Sequence[float | None], top: float) -> str:
    """A line from known value to known value; one that stands alone is a dash as wide as its span."""
    written: list[str] = []
    for number, value in enumerate(values):
        if value is None:
            continue
        alone = all(values[n] is None for n in (number - 1, number + 1) if 0 <= n < len(values))
        goes_on = number > 0 and values[number - 1] is not None
        for place in (number, number + 1) if alone else (number + 0.5,):
            pen = "L" if goes_on or (alone and place > number) else "M"
            written.append(f"{pen}{spans.x(place):.1f} {_y(value, top):.1f}")
    return "".join(written)


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top


def _up(top: float) -> list[Tick]:
    return [Tick(at=round(_y(top * part / 4, top), 1), text=f"{top * part / 4:,.4g}") for part in range(5)]


def _top(highest: float) -> float:
    """The end of an axis: the next of 1, 2, 4 or 8, times a power of ten; 1 where all is next to nothing."""
    if highest < 1e-6:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest))
    return next(step * power for step in (1, 2, 4, 8, 10) if step * power >= highest * (1 - 1e-9))
