"""The animals that the simulator can draw, as outlines in a stencil's coordinates."""

from __future__ import annotations

import math

from batchgen.simulator.painting.palette import WHITE, Colour, mix
from batchgen.simulator.painting.stencil import Stencil

_INK: Colour = (30, 26, 34)


def fox(stencil: Stencil, colour: Colour) -> None:
    """Sitting, its brush laid round to the side."""
    coat, shadow = stencil.shade(colour), stencil.shade(colour, 0.18)
    pale, dark = stencil.shade(mix(colour, (255, 250, 242), 0.88)), stencil.shade(_INK)
    stencil.blob(
        [(0.2, 0.0), (0.75, -0.02), (1.15, 0.3), (1.22, 0.75), (1.02, 1.05), (0.92, 0.7), (0.7, 0.42), (0.3, 0.3)],
        shadow,
    )
    stencil.blob([(1.20, 0.58), (1.22, 0.82), (1.02, 1.06), (0.94, 0.76), (1.06, 0.72)], pale)
    stencil.blob(
        [(-0.46, 0.0), (-0.52, 0.35), (-0.34, 0.8), (-0.24, 1.1), (0.24, 1.1), (0.34, 0.8), (0.52, 0.35), (0.46, 0.0)],
        coat,
    )
    stencil.blob([(-0.17, 0.3), (-0.24, 0.8), (0.0, 1.1), (0.24, 0.8), (0.17, 0.3), (0.0, 0.12)], pale)
    stencil.both([(0.06, 0.0), (0.08, 0.45), (0.24, 0.5), (0.26, 0.0)], shadow)
    stencil.both([(0.06, -0.02), (0.07, 0.16), (0.26, 0.16), (0.27, -0.02)], dark)
    stencil.both([(0.08, 1.72), (0.46, 2.16), (0.54, 1.42)], coat)
    stencil.both([(0.2, 1.74), (0.42, 2.02), (0.47, 1.6)], dark)
    stencil.polygon(
        [(-0.6, 1.42), (-0.42, 1.72), (0, 1.84), (0.42, 1.72), (0.6, 1.42), (0.22, 1.12), (0, 0.94), (-0.22, 1.12)],
        coat,
    )
    stencil.both([(0.6, 1.42), (0.3, 1.42), (0.09, 1.2), (0, 0.94), (0.22, 1.12)], pale)
    stencil.pair((0.22, 1.47), (0.055, 0.065), dark)
    stencil.ellipse((0, 0.99), (0.08, 0.065), dark)


def _sitting(stencil: Stencil, colour: Colour, *, chest: Colour) -> None:
    """A round animal from the front, without ears."""
    coat, shadow = stencil.shade(colour), stencil.shade(colour, 0.16)
    stencil.blob(
        [(-0.5, 0.0), (-0.6, 0.38), (-0.42, 0.85), (-0.26, 1.15), (0.26, 1.15), (0.42, 0.85), (0.6, 0.38), (0.5, 0.0)],
        coat,
    )
    stencil.blob([(-0.22, 0.28), (-0.28, 0.72), (0.0, 1.05), (0.28, 0.72), (0.22, 0.28), (0.0, 0.14)], chest)
    stencil.both([(0.05, 0.02), (0.07, 0.52), (0.25, 0.52), (0.27, 0.02)], shadow, soft=True)
    stencil.pair((0.18, 0.05), (0.17, 0.08), coat)


def _face(stencil: Stencil, *, iris: Colour, nose: Colour) -> None:
    ink = stencil.shade(_INK)
    stencil.pair((0.19, 1.48), (0.085, 0.10), iris)
    stencil.pair((0.19, 1.48), (0.045, 0.09), ink)
    stencil.pair((0.21, 1.52), (0.018, 0.022), WHITE)
    stencil.polygon([(-0.07, 1.34), (0.07, 1.34), (0, 1.26)], nose)


def cat(stencil: Stencil, colour: Colour) -> None:
    """Sitting upright, tail curled beside it."""
    coat, shadow = stencil.shade(colour), stencil.shade(colour, 0.16)
    stencil.stroke([(0.4, 0.1), (0.72, 0.08), (0.95, 0.22), (1.03, 0.5), (0.94, 0.78), (0.8, 0.86)], shadow, 0.15)
    _sitting(stencil, colour, chest=stencil.shade(colour, -0.22))
    stencil.both([(0.06, 1.72), (0.4, 2.06), (0.45, 1.45)], coat)
    stencil.both([(0.18, 1.72), (0.36, 1.92), (0.38, 1.58)], stencil.shade((232, 156, 160)))
    stencil.ellipse((0, 1.45), (0.47, 0.39), coat)
    _face(stencil, iris=(206, 222, 108), nose=stencil.shade((226, 130, 138)))
    for rise in (0.06, 0.0, -0.06):
        for side in (-1, 1):
            stencil.stroke(
                [(side * 0.2, 1.28 + rise * 0.3), (side * 0.62, 1.28 + rise * 1.6)], stencil.shade(colour, -0.65), 0.012
            )


def dog(stencil: Stencil, colour: Colour) -> None:
    """Sitting, ears hanging."""
    coat, shadow = stencil.shade(colour), stencil.shade(colour, 0.34)
    stencil.stroke([(0.42, 0.16), (0.78, 0.34), (0.92, 0.66)], coat, 0.13)
    _sitting(stencil, colour, chest=stencil.shade(colour, -0.5))
    stencil.blob(
        [(-0.4, 1.5), (-0.3, 1.82), (0, 1.9), (0.3, 1.82), (0.4, 1.5), (0.26, 1.16), (0, 1.06), (-0.26, 1.16)], coat
    )
    stencil.both([(0.24, 1.86), (0.46, 1.78), (0.58, 1.4), (0.48, 1.14), (0.38, 1.34)], shadow, soft=True)
    stencil.ellipse((0, 1.22), (0.22, 0.18), stencil.shade(colour, -0.5))
    stencil.ellipse((0, 1.3), (0.10, 0.07), stencil.shade(_INK))
    stencil.pair((0.17, 1.53), (0.055, 0.065), stencil.shade(_INK))
    stencil.stroke([(0, 1.24), (0, 1.16), (0.09, 1.12)], stencil.shade(_INK), 0.025)


def rabbit(stencil: Stencil, colour: Colour) -> None:
    """Sitting up, ears high."""
    coat, inner = stencil.shade(colour), stencil.shade((236, 170, 176))
    stencil.ellipse((0.52, 0.2), (0.17, 0.16), stencil.shade(colour, -0.6))
    _sitting(stencil, colour, chest=stencil.shade(colour, -0.4))
    stencil.both([(0.1, 1.6), (0.14, 2.1), (0.28, 2.5), (0.38, 2.3), (0.36, 1.9), (0.26, 1.6)], coat, soft=True)
    stencil.both([(0.17, 1.7), (0.2, 2.1), (0.28, 2.36), (0.31, 2.1), (0.25, 1.7)], inner, soft=True)
    stencil.ellipse((0, 1.42), (0.4, 0.38), coat)
    _face(stencil, iris=stencil.shade((90, 56, 44)), nose=inner)


def bear(stencil: Stencil, colour: Colour) -> None:
    """Sitting broadly."""
    coat = stencil.shade(colour)
    stencil.ellipse((0, 0.55), (0.72, 0.62), coat)
    stencil.ellipse((0, 0.52), (0.42, 0.44), stencil.shade(colour, -0.2))
    stencil.pair((0.5, 0.1), (0.24, 0.16), stencil.shade(colour, 0.18))
    stencil.both(
        [(0.5, 0.98), (0.72, 0.66), (0.7, 0.36), (0.52, 0.34), (0.46, 0.66)], stencil.shade(colour, 0.12), soft=True
    )
    stencil.pair((0.36, 1.78), (0.17, 0.17), coat)
    stencil.pair((0.36, 1.78), (0.09, 0.09), stencil.shade(colour, 0.3))
    stencil.ellipse((0, 1.45), (0.5, 0.43), coat)
    stencil.ellipse((0, 1.32), (0.23, 0.17), stencil.shade(colour, -0.4))
    stencil.ellipse((0, 1.38), (0.09, 0.065), stencil.shade(_INK))
    stencil.pair((0.19, 1.55), (0.05, 0.06), stencil.shade(_INK))


def owl(stencil: Stencil, colour: Colour) -> None:
    """On a branch, looking out."""
    coat, shadow, pale = stencil.shade(colour), stencil.shade(colour, 0.26), stencil.shade(colour, -0.5)
    stencil.stroke(
        [(-3.4, -0.16), (-1.3, 0.02), (-0.4, 0.1), (0.5, 0.06), (1.3, 0.16)], stencil.shade((84, 60, 46)), 0.11
    )
    stencil.blob(
        [(0, 0.05), (-0.5, 0.35), (-0.58, 0.95), (-0.5, 1.5), (0, 1.72), (0.5, 1.5), (0.58, 0.95), (0.5, 0.35)], coat
    )
    stencil.both([(0.1, 1.62), (0.5, 1.92), (0.5, 1.4)], coat)
    stencil.blob([(0, 0.15), (-0.3, 0.45), (-0.3, 0.9), (0, 1.1), (0.3, 0.9), (0.3, 0.45)], pale)
    for row in range(3):
        for place in range(-1, 2):
            x, y = place * 0.17 + (row % 2) * 0.08 - 0.04, 0.86 - row * 0.2
            stencil.polygon([(x - 0.06, y), (x + 0.06, y), (x, y - 0.09)], shadow)
    stencil.both([(0.46, 1.2), (0.64, 0.8), (0.5, 0.22), (0.38, 0.7)], shadow, soft=True)
    stencil.pair((0.22, 1.38), (0.24, 0.24), pale)
    stencil.pair((0.22, 1.38), (0.16, 0.16), (248, 196, 66))
    stencil.pair((0.22, 1.38), (0.085, 0.085), _INK)
    stencil.pair((0.25, 1.42), (0.03, 0.03), WHITE)
    stencil.polygon([(-0.08, 1.24), (0.08, 1.24), (0, 1.06)], stencil.shade((232, 150, 50)))


def toucan(stencil: Stencil, colour: Colour) -> None:
    """On a branch, the great bill to one side."""
    coat, throat = stencil.shade(colour), stencil.shade((252, 240, 196))
    stencil.stroke(
        [(-3.4, -0.1), (-1.3, 0.1), (-0.5, 0.2), (0.4, 0.14), (1.3, 0.26)], stencil.shade((84, 60, 46)), 0.11
    )
    for x, y, turn in ((-1.1, 0.2, 1), (0.95, 0.3, 1), (1.2, 0.16, -1)):
        stencil.blob(
            [(x, y), (x + 0.18, y + 0.16 * turn), (x + 0.38, y + 0.12 * turn), (x + 0.2, y - 0.02 * turn)],
            stencil.shade((66, 138, 74)),
        )
    stencil.polygon([(-0.5, 0.5), (-0.74, -0.5), (-0.46, -0.56), (-0.2, 0.4)], stencil.shade(colour, 0.3))
    stencil.blob(
        [
            (-0.62, 0.5),
            (-0.6, 1.0),
            (-0.34, 1.5),
            (-0.02, 1.8),
            (0.28, 1.74),
            (0.38, 1.46),
            (0.28, 1.0),
            (0.12, 0.5),
            (-0.2, 0.2),
        ],
        coat,
    )
    stencil.blob([(0.02, 1.62), (0.3, 1.62), (0.36, 1.3), (0.22, 0.98), (0.0, 1.1)], throat)
    stencil.blob([(-0.56, 0.9), (-0.3, 1.2), (-0.08, 0.9), (-0.3, 0.4), (-0.66, 0.16)], stencil.shade(colour, 0.35))
    stencil.blob(
        [(0.28, 1.7), (0.62, 1.82), (1.02, 1.66), (1.26, 1.24), (1.22, 1.1), (1.04, 1.32), (0.7, 1.4), (0.32, 1.36)],
        stencil.shade((250, 152, 34)),
    )
    stencil.blob(
        [(0.32, 1.46), (0.7, 1.50), (1.04, 1.38), (1.22, 1.12), (1.0, 1.28), (0.7, 1.36), (0.34, 1.34)],
        stencil.shade((222, 84, 40)),
    )
    stencil.blob([(1.08, 1.56), (1.27, 1.24), (1.23, 1.08), (1.10, 1.26)], stencil.shade(_INK))
    stencil.ellipse((0.16, 1.6), (0.11, 0.11), stencil.shade((60, 150, 214)))
    stencil.ellipse((0.16, 1.6), (0.065, 0.065), _INK)
    stencil.ellipse((0.18, 1.63), (0.022, 0.022), WHITE)
    stencil.stroke([(-0.22, 0.26), (-0.24, 0.12)], stencil.shade((110, 120, 140)), 0.07)
    stencil.stroke([(0.0, 0.3), (-0.0, 0.1)], stencil.shade((110, 120, 140)), 0.07)


def bird(stencil: Stencil, colour: Colour) -> None:
    """In flight, with a few companions far off."""
    _wings(stencil, (0.0, 0.9), 1.0, stencil.shade(colour))
    for _ in range(4):
        place = (stencil.dice.uniform(-1.9, 1.9), stencil.dice.uniform(0.4, 2.0))
        _wings(stencil, place, stencil.dice.uniform(0.18, 0.34), stencil.shade(colour, 0.1))


def _wings(stencil: Stencil, centre: tuple[float, float], span: float, colour: Colour) -> None:
    x, y = centre
    outline = (
        (-1.0, 0.34),
        (-0.62, 0.46),
        (-0.3, 0.22),
        (-0.08, 0.06),
        (0.12, 0.08),
        (0.36, 0.34),
        (0.74, 0.52),
        (1.12, 0.36),
        (0.72, 0.34),
        (0.44, 0.08),
        (0.34, -0.08),
        (0.06, -0.16),
        (-0.24, -0.12),
        (-0.52, -0.2),
        (-0.26, 0.02),
        (-0.36, 0.1),
        (-0.66, 0.3),
    )
    stencil.blob([(x + across * span, y + up * span) for across, up in outline], colour)


def fish(stencil: Stencil, colour: Colour) -> None:
    """Leaping, drops around it."""
    body, fin, pale = stencil.shade(colour), stencil.shade(colour, 0.25), stencil.shade(colour, -0.55)
    stencil.blob([(-0.62, 0.78), (-1.12, 0.9), (-1.02, 0.62), (-1.06, 0.2), (-0.78, 0.46)], fin)
    stencil.blob([(-0.2, 1.16), (0.0, 1.52), (0.34, 1.46), (0.34, 1.3)], fin)
    stencil.blob(
        [(-0.74, 0.62), (-0.3, 1.1), (0.2, 1.34), (0.7, 1.24), (0.94, 1.0), (0.66, 0.78), (0.16, 0.68), (-0.34, 0.6)],
        body,
    )
    stencil.blob([(-0.5, 0.62), (-0.1, 0.8), (0.4, 0.96), (0.9, 1.0), (0.66, 0.79), (0.16, 0.69), (-0.3, 0.61)], pale)
    stencil.blob([(0.1, 0.8), (0.0, 0.46), (0.22, 0.5), (0.34, 0.78)], fin)
    stencil.ellipse((0.66, 1.1), (0.075, 0.075), WHITE)
    stencil.ellipse((0.68, 1.1), (0.042, 0.042), _INK)
    for _ in range(9):
        turn, far = stencil.dice.uniform(0.1, math.pi - 0.1), stencil.dice.uniform(0.3, 1.1)
        size = stencil.dice.uniform(0.02, 0.05)
        stencil.ellipse((-0.5 + far * math.cos(turn), far * math.sin(turn)), (size, size * 1.3), (232, 244, 252), 0.8)
    stencil.ellipse((-0.4, 0.0), (0.7, 0.05), (232, 244, 252), 0.5)


def whale(stencil: Stencil, colour: Colour) -> None:
    """Half out of the water, blowing."""
    back, belly = stencil.shade(colour), stencil.shade(colour, -0.6)
    for side in (-1, 1):
        spray = [(0.5, 1.0), (0.5 + side * 0.06, 1.4), (0.5 + side * 0.22, 1.62), (0.5 + side * 0.42, 1.56)]
        stencil.stroke(spray, (232, 244, 252), 0.06)
    stencil.blob([(-1.02, 0.4), (-1.24, 0.86), (-1.62, 1.02), (-1.4, 0.72), (-1.36, 0.5)], back)
    stencil.blob([(-1.02, 0.4), (-1.02, 0.88), (-0.78, 1.14), (-0.84, 0.8), (-0.98, 0.5)], back)
    stencil.blob(
        [
            (-1.28, 0.62),
            (-0.8, 0.3),
            (-0.3, 0.66),
            (0.3, 0.98),
            (0.84, 0.9),
            (1.12, 0.5),
            (1.04, 0.0),
            (0.2, -0.1),
            (-0.7, -0.06),
            (-1.16, 0.3),
        ],
        back,
    )
    stencil.blob([(1.1, 0.42), (0.7, 0.32), (0.2, 0.12), (-0.1, -0.06), (0.6, -0.1), (1.04, 0.0)], belly)
    stencil.ellipse((0.78, 0.5), (0.05, 0.055), _INK)
    stencil.ellipse((0.79, 0.52), (0.016, 0.018), WHITE)
    for wide, at in ((1.5, -0.06), (1.1, -0.14)):
        stencil.ellipse((-0.05, at), (wide, 0.06), (226, 240, 248), 0.5)
