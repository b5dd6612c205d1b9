"""A subject's own coordinates, so that its outline can be written down once and drawn anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from random import Random

from batchgen.simulator.painting.canvas import Canvas, Point, smooth
from batchgen.simulator.painting.palette import BLACK, WHITE, Colour, Light, lit, mix


class Stencil:
    """Draws in the coordinates of a subject: x from -1 to 1, y from 0 at its foot upwards to about 2.

    Args:
        foot: where (0, 0) lies, in pixels.
        size: pixels a coordinate of 1 is long.
        mirrored: whether left and right change places.
    """

    def __init__(self, canvas: Canvas, light: Light, *, foot: Point, size: float, mirrored: bool) -> None:
        self._canvas = canvas
        self._light = light
        self._foot = foot
        self._size = size
        self._side = -1 if mirrored else 1

    @property
    def dice(self) -> Random:
        """The picture's source of chance."""
        return self._canvas.dice

    def shade(self, colour: Colour, share: float = 0.0) -> Colour:
        """The colour in the scene's light, darker by that share, or lighter if it is negative."""
        colour = mix(colour, lit(colour, self._light), 0.62)
        return mix(colour, BLACK, share) if share >= 0 else mix(colour, WHITE, -share)

    def blob(self, points: Sequence[Point], colour: Colour, opacity: float = 1.0) -> None:
        """Fill a closed outline that runs smoothly through the points."""
        self.polygon(_outline(tuple(points)), colour, opacity)

    def polygon(self, points: Sequence[Point], colour: Colour, opacity: float = 1.0) -> None:
        """Fill the outline."""
        self._canvas.polygon([self._at(point) for point in points], colour, opacity)

    def both(self, points: Sequence[Point], colour: Colour, *, soft: bool = False) -> None:
        """Fill the outline and its mirror image across x = 0."""
        fill = self.blob if soft else self.polygon
        fill(points, colour)
        fill([(-x, y) for x, y in points], colour)

    def ellipse(self, centre: Point, radii: Point, colour: Colour, opacity: float = 1.0) -> None:
        """Fill an upright ellipse."""
        self._canvas.ellipse(self._at(centre), (radii[0] * self._size, radii[1] * self._size), colour, opacity)

    def pair(self, centre: Point, radii: Point, colour: Colour) -> None:
        """Fill an upright ellipse and its mirror image across x = 0."""
        self.ellipse(centre, radii, colour)
        self.ellipse((-centre[0], centre[1]), radii, colour)

    def rectangle(self, corner: Point, opposite: Point, colour: Colour) -> None:
        """Fill an upright rectangle."""
        self._canvas.rectangle(self._at(corner), self._at(opposite), colour)

    def stroke(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        """A smooth line through the points with round ends, *width* in the subject's own measure."""
        curve = smooth(points, closed=False) if len(points) > 2 else points
        self._canvas.stroke([self._at(point) for point in curve], colour, width * self._size)

    def glow(self, centre: Point, radius: float, colour: Colour, strength: float = 0.6) -> None:
        """Light that fades from the centre outwards."""
        self._canvas.glow(self._at(centre), radius * self._size, colour, strength)

    def _at(self, point: Point) -> Point:
        return self._foot[0] + self._side * point[0] * self._size, self._foot[1] - point[1] * self._size


@lru_cache(maxsize=512)
def _outline(points: tuple[Point, ...]) -> tuple[Point, ...]:
    return tuple(smooth(points))  # most outlines are the same in every picture
