"""The surface that scenes are drawn on: soft outlines, strokes and glows, in shares of the picture's size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from random import Random

from PIL import Image, ImageDraw

from batchgen.simulator.painting.palette import Colour

Point = tuple[float, float]
#: Red, green, blue and opacity, 0 to 255 each.
Paint = tuple[int, int, int, int]

_GLOW_SIDE = 96
_CURVE_STEPS = 6


class Canvas:
    """A picture being drawn. Places are pixels from the top left corner; parts may lie outside.

    Attributes:
        unit: pixels; the shorter side, by which things are measured.
        dice: the only source of chance.
        detail: 0 to 1; how much is worth drawing.
    """

    def __init__(self, image: Image.Image, *, dice: Random, detail: float) -> None:
        self.image = image
        self.width, self.height = image.size
        self.unit = min(image.size)
        self.dice = dice
        self.detail = detail
        self._pen = ImageDraw.Draw(image, "RGBA")

    def polygon(self, points: Sequence[Point], colour: Colour, opacity: float = 1.0) -> None:
        """Fill the outline."""
        if len(points) > 2:
            self._pen.polygon(points, fill=_paint(colour, opacity))

    def blob(self, points: Sequence[Point], colour: Colour, opacity: float = 1.0) -> None:
        """Fill a closed outline that runs smoothly through the points."""
        self.polygon(smooth(points), colour, opacity)

    def ellipse(self, centre: Point, radii: Point, colour: Colour, opacity: float = 1.0) -> None:
        """Fill an upright ellipse."""
        (x, y), (across, down) = centre, (max(0.5, abs(radii[0])), max(0.5, abs(radii[1])))
        self._pen.ellipse((x - across, y - down, x + across, y + down), fill=_paint(colour, opacity))

    def rectangle(self, corner: Point, opposite: Point, colour: Colour, opacity: float = 1.0) -> None:
        """Fill an upright rectangle."""
        left, right = sorted((corner[0], opposite[0]))
        top, bottom = sorted((corner[1], opposite[1]))
        self._pen.rectangle((left, top, right, bottom), fill=_paint(colour, opacity))

    def stroke(self, points: Sequence[Point], colour: Colour, width: float, opacity: float = 1.0) -> None:
        """A line through the points with round ends, *width* pixels wide."""
        thick = max(1, round(width))
        self._pen.line(points, fill=_paint(colour, opacity), width=thick, joint="curve")
        if thick > 2 and opacity == 1.0:
            for end in (points[0], points[-1]):
                self.ellipse(end, (width / 2, width / 2), colour)

    def glow(self, centre: Point, radius: float, colour: Colour, strength: float) -> None:
        """Light that fades from the centre outwards; *strength* is its opacity there, 0 to 1."""
        side = max(2, round(radius * 2))
        fade = _fade(round(255 * strength)).resize((side, side), Image.Resampling.BILINEAR)
        self.image.paste(colour, (round(centre[0] - side / 2), round(centre[1] - side / 2)), fade)

    def scatter(self, count: float) -> int:
        """How many of *count* small things to draw on a picture of this size and detail."""
        return round(count * (0.35 + 0.65 * self.detail) * min(1.0, self.unit / 700))


def gradient(stops: Sequence[Colour], size: tuple[int, int]) -> Image.Image:
    """Colours from top to bottom, evenly spaced and blended."""
    column = Image.new("RGB", (1, len(stops)))
    column.putdata(list(stops))
    return column.resize(size, Image.Resampling.BICUBIC)


def smooth(points: Sequence[Point], *, closed: bool = True) -> list[Point]:
    """A curve through the points (Catmull-Rom); an open one runs from the first to the last."""
    corners = [points[-1], *points, *points[:2]] if closed else [points[0], *points, points[-1]]
    curve: list[Point] = []
    for (x0, y0), (x1, y1), (x2, y2), (x3, y3) in zip(corners, corners[1:], corners[2:], corners[3:], strict=False):
        curve += [(a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3) for a, b, c, d in _WEIGHTS]
    return curve if closed else [*curve, points[-1]]


def _paint(colour: Colour, opacity: float) -> Paint:
    return (*colour, round(255 * min(1.0, max(0.0, opacity))))


def _weights(at: float) -> tuple[float, float, float, float]:
    """What each of four neighbouring points counts for, at that share of the way between the middle two."""
    return (
        0.5 * (-at + 2 * at**2 - at**3),
        0.5 * (2 - 5 * at**2 + 3 * at**3),
        0.5 * (at + 4 * at**2 - 3 * at**3),
        0.5 * (at**3 - at**2),
    )


_WEIGHTS = tuple(_weights(step / _CURVE_STEPS) for step in range(_CURVE_STEPS))


@lru_cache(maxsize=32)
def _fade(brightest: int) -> Image.Image:
    """Light from the middle, falling to nothing at the rim."""
    half = _GLOW_SIDE / 2
    places = [place + 0.5 - half for place in range(_GLOW_SIDE)]
    levels = (max(0.0, 1 - math.hypot(x, y) / half) for y in places for x in places)
    return Image.frombytes("L", (_GLOW_SIDE, _GLOW_SIDE), bytes(round(brightest * level**2) for level in levels))
