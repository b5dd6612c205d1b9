"""Buildings, vessels, plants and other things that the simulator can draw, in a stencil's coordinates."""

from __future__ import annotations

import math

from batchgen.simulator.painting.palette import WHITE, Colour, mix, turned
from batchgen.simulator.painting.stencil import Stencil

_INK: Colour = (30, 26, 34)
_LAMP: Colour = (255, 222, 140)
_WOOD: Colour = (120, 80, 56)


def boat(stencil: Stencil, colour: Colour) -> None:
    """Under sail; the colour is that of the sails."""
    sail, shadow, hull = stencil.shade(colour), stencil.shade(colour, 0.14), stencil.shade(_WOOD)
    stencil.stroke([(0.02, 0.2), (0.02, 2.1)], stencil.shade(_WOOD, 0.3), 0.045)
    stencil.polygon([(0.06, 2.0), (0.3, 1.5), (0.56, 1.0), (0.72, 0.46), (0.06, 0.42)], shadow)
    stencil.blob(
        [(-0.02, 1.92), (-0.3, 1.5), (-0.62, 0.9), (-0.78, 0.46), (-0.4, 0.4), (-0.02, 0.42), (-0.06, 1.2)], sail
    )
    stencil.polygon([(0.02, 2.1), (0.3, 2.02), (0.02, 1.94)], stencil.shade((206, 54, 52)))
    stencil.polygon([(-0.95, 0.3), (1.0, 0.34), (0.72, -0.06), (-0.66, -0.06)], hull)
    stencil.polygon([(-0.95, 0.3), (1.0, 0.34), (0.94, 0.24), (-0.9, 0.21)], stencil.shade(_WOOD, -0.4))
    for wide, at in ((1.05, -0.07), (0.8, -0.15)):
        stencil.ellipse((0, at), (wide, 0.045), (230, 242, 250), 0.5)


def lighthouse(stencil: Stencil, colour: Colour) -> None:
    """Striped, its lamp lit, on a rock."""
    stripe, wall = stencil.shade(colour), stencil.shade((244, 240, 232))
    stencil.glow((0, 1.86), 0.9, _LAMP, 0.7)
    stencil.polygon([(0, 1.9), (2.6, 2.2), (2.6, 1.66)], _LAMP, 0.22)
    stencil.blob(
        [(-0.9, -0.1), (-0.66, 0.18), (-0.1, 0.26), (0.5, 0.2), (0.9, -0.1), (0, -0.2)], stencil.shade((86, 84, 92))
    )
    bands = 5
    for band in range(bands):
        low, high = band / bands, (band + 1) / bands
        wide, narrow = 0.34 - 0.14 * low, 0.34 - 0.14 * high
        outline = [
            (-wide, 0.15 + 1.5 * low),
            (wide, 0.15 + 1.5 * low),
            (narrow, 0.15 + 1.5 * high),
            (-narrow, 0.15 + 1.5 * high),
        ]
        stencil.polygon(outline, wall if band % 2 else stripe)
        stencil.polygon([(wide * 0.4, 0.15 + 1.5 * low), *outline[1:3], (narrow * 0.4, 0.15 + 1.5 * high)], _INK, 0.12)
    stencil.rectangle((-0.28, 1.65), (0.28, 1.72), stencil.shade(_INK))
    stencil.rectangle((-0.14, 1.72), (0.14, 1.96), _LAMP)
    stencil.polygon([(-0.22, 1.96), (0.22, 1.96), (0, 2.2)], stripe)


def house(stencil: Stencil, colour: Colour) -> None:
    """A cottage with lit windows; the colour is that of the roof."""
    wall, roof = stencil.shade((240, 228, 206)), stencil.shade(colour)
    stencil.rectangle((0.38, 1.0), (0.58, 1.62), stencil.shade((150, 96, 80)))
    for puff, (x, y) in enumerate(((0.52, 1.8), (0.64, 2.0), (0.84, 2.2))):
        stencil.ellipse((x, y), (0.10 + 0.04 * puff, 0.08 + 0.03 * puff), stencil.shade((240, 240, 240)), 0.45)
    stencil.rectangle((-0.78, 0), (0.78, 0.86), wall)
    stencil.rectangle((0.3, 0), (0.78, 0.86), stencil.shade((240, 228, 206), 0.08))
    stencil.polygon([(-0.98, 0.8), (-0.55, 1.42), (0.55, 1.42), (0.98, 0.8)], roof)
    stencil.polygon([(-0.98, 0.8), (-0.95, 0.88), (0.95, 0.88), (0.98, 0.8)], stencil.shade(colour, 0.25))
    stencil.rectangle((-0.14, 0), (0.16, 0.54), stencil.shade(_WOOD))
    for x in (-0.6, 0.38):
        stencil.rectangle((x, 0.3), (x + 0.26, 0.62), _LAMP)
        stencil.stroke([(x + 0.13, 0.3), (x + 0.13, 0.62)], wall, 0.03)
        stencil.stroke([(x, 0.46), (x + 0.26, 0.46)], wall, 0.03)


def castle(stencil: Stencil, colour: Colour) -> None:
    """Towers, pointed roofs, a gate."""
    stone, shadow, roof = stencil.shade((196, 188, 184)), stencil.shade((196, 188, 184), 0.16), stencil.shade(colour)
    for x, wide, tall in ((-0.85, 0.2, 1.1), (0.85, 0.2, 1.2), (-0.34, 0.17, 1.55), (0.3, 0.2, 1.75)):
        stencil.rectangle((x - wide, 0), (x + wide, tall), stone)
        stencil.rectangle((x + wide * 0.35, 0), (x + wide, tall), shadow)
        stencil.polygon([(x - wide * 1.3, tall), (x + wide * 1.3, tall), (x, tall + wide * 2.6)], roof)
        stencil.rectangle((x - 0.035, tall - 0.3), (x + 0.045, tall - 0.12), _LAMP)
    stencil.rectangle((-0.95, 0), (0.95, 0.68), stone)
    for step in range(8):
        stencil.rectangle((-0.95 + step * 0.25, 0.66), (-0.82 + step * 0.25, 0.8), stone)
    stencil.rectangle((-0.18, 0), (0.18, 0.3), stencil.shade(_WOOD, 0.4))
    stencil.ellipse((0, 0.3), (0.18, 0.18), stencil.shade(_WOOD, 0.4))


def tree(stencil: Stencil, colour: Colour) -> None:
    """Broad, its crown lit from one side."""
    bark = stencil.shade(_WOOD)
    stencil.blob([(-0.2, 0), (-0.1, 0.3), (-0.1, 0.9), (0.12, 0.9), (0.1, 0.3), (0.24, 0)], bark)
    stencil.stroke([(0, 0.7), (-0.4, 1.15)], bark, 0.08)
    stencil.stroke([(0.02, 0.7), (0.42, 1.2)], bark, 0.08)
    for layer, share in enumerate((0.30, 0.12, -0.06, -0.22)):
        spread = 0.74 - 0.16 * layer
        for _ in range(11 - 2 * layer):
            turn, far = stencil.dice.uniform(0, math.tau), math.sqrt(stencil.dice.random()) * spread
            x, y = _polar(turn, far)
            size = stencil.dice.uniform(0.24, 0.36) - 0.05 * layer
            stencil.ellipse(
                (x - 0.10 * layer, y * 0.72 + 1.42 + 0.10 * layer), (size, size * 0.86), stencil.shade(colour, share)
            )


def flower(stencil: Stencil, colour: Colour) -> None:
    """One bloom on its stem."""
    green = stencil.shade((70, 138, 74))
    stencil.stroke([(0.0, 0.0), (0.05, 0.5), (0.0, 1.2)], green, 0.07)
    stencil.blob([(0.04, 0.35), (0.34, 0.46), (0.62, 0.78), (0.3, 0.7)], green)
    stencil.blob([(0.02, 0.22), (-0.3, 0.3), (-0.58, 0.6), (-0.26, 0.52)], stencil.shade((70, 138, 74), 0.12))
    petals = 9
    for ring, reach, share in ((0.0, 0.62, 0.14), (0.5, 0.5, -0.14)):
        for petal in range(petals):
            turn = (petal + ring) / petals * math.tau
            outline = [
                _polar(turn + lean, far * reach)
                for lean, far in ((0, 0.15), (-0.30, 0.65), (-0.14, 1), (0.14, 1), (0.30, 0.65))
            ]
            stencil.blob([(x, y + 1.35) for x, y in outline], stencil.shade(colour, share))
    stencil.ellipse((0, 1.35), (0.19, 0.19), stencil.shade((238, 184, 62)))
    stencil.ellipse((0, 1.35), (0.11, 0.11), stencil.shade((150, 92, 44)))


def _polar(turn: float, reach: float) -> tuple[float, float]:
    return math.cos(turn) * reach, math.sin(turn) * reach


def robot(stencil: Stencil, colour: Colour) -> None:
    """A friendly one."""
    shell, shadow, joint = stencil.shade(colour), stencil.shade(colour, 0.2), stencil.shade((84, 90, 104))
    for side in (-1, 1):
        stencil.stroke([(side * 0.24, 0.08), (side * 0.22, 0.5)], joint, 0.15)
        stencil.ellipse((side * 0.27, 0.06), (0.22, 0.10), shadow)
        stencil.stroke([(side * 0.48, 1.02), (side * 0.76, 0.78), (side * 0.72, 0.5)], joint, 0.12)
        stencil.ellipse((side * 0.72, 0.46), (0.12, 0.12), shell)
    stencil.blob(
        [(-0.48, 0.44), (-0.52, 0.8), (-0.44, 1.12), (0, 1.18), (0.44, 1.12), (0.52, 0.8), (0.48, 0.44), (0, 0.38)],
        shell,
    )
    stencil.ellipse((0, 0.8), (0.2, 0.2), shadow)
    stencil.glow((0, 0.8), 0.4, (120, 240, 255), 0.7)
    stencil.ellipse((0, 0.8), (0.10, 0.10), (190, 250, 255))
    stencil.stroke([(0, 1.8), (0, 2.05)], joint, 0.04)
    stencil.ellipse((0, 2.1), (0.075, 0.075), (248, 92, 80))
    stencil.blob(
        [(-0.5, 1.3), (-0.52, 1.6), (-0.4, 1.84), (0, 1.9), (0.4, 1.84), (0.52, 1.6), (0.5, 1.3), (0, 1.22)], shell
    )
    stencil.blob([(-0.38, 1.42), (-0.36, 1.7), (0, 1.74), (0.36, 1.7), (0.38, 1.42), (0, 1.36)], stencil.shade(_INK))
    for side in (-1, 1):
        stencil.glow((side * 0.17, 1.56), 0.2, (120, 240, 255), 0.8)
        stencil.ellipse((side * 0.17, 1.56), (0.07, 0.085), (200, 252, 255))


def balloon(stencil: Stencil, colour: Colour) -> None:
    """A hot-air balloon in gores of three shades."""
    for number, share in enumerate((1.0, 0.74, 0.5, 0.25)):
        gore = (stencil.shade(colour, 0.1), stencil.shade(mix(colour, (255, 244, 214), 0.82)))[number % 2]
        outline = [
            (0, 2.1),
            (0.52, 1.9),
            (0.72, 1.45),
            (0.56, 0.98),
            (0.2, 0.55),
            (-0.2, 0.55),
            (-0.56, 0.98),
            (-0.72, 1.45),
            (-0.52, 1.9),
        ]
        stencil.blob([(x * share, y) for x, y in outline], gore)
    for side in (-1, 1):
        stencil.stroke([(side * 0.2, 0.58), (side * 0.13, 0.22)], stencil.shade(_INK), 0.016)
    stencil.polygon([(-0.16, 0.24), (0.16, 0.24), (0.12, 0.0), (-0.12, 0.0)], stencil.shade(_WOOD))
    stencil.rectangle((-0.18, 0.21), (0.18, 0.27), stencil.shade(_WOOD, 0.3))


def rocket(stencil: Stencil, colour: Colour) -> None:
    """Just off the ground."""
    shell = stencil.shade((236, 238, 242))
    stencil.glow((0, 0.1), 0.8, (255, 170, 70), 0.8)
    stencil.blob([(-0.2, 0.5), (-0.26, 0.1), (0, -0.5), (0.26, 0.1), (0.2, 0.5)], (255, 158, 54))
    stencil.blob([(-0.11, 0.5), (-0.12, 0.2), (0, -0.16), (0.12, 0.2), (0.11, 0.5)], (255, 236, 150))
    stencil.both([(0.24, 1.0), (0.56, 0.6), (0.54, 0.24), (0.22, 0.52)], stencil.shade(colour), soft=False)
    stencil.blob(
        [(0, 2.2), (-0.24, 1.8), (-0.34, 1.2), (-0.24, 0.5), (0, 0.42), (0.24, 0.5), (0.34, 1.2), (0.24, 1.8)], shell
    )
    stencil.blob([(0, 2.2), (-0.17, 1.94), (0, 1.84), (0.17, 1.94)], stencil.shade(colour))
    stencil.ellipse((0, 1.4), (0.17, 0.17), stencil.shade(colour))
    stencil.ellipse((0, 1.4), (0.11, 0.11), stencil.shade((120, 196, 232)))


def figure(stencil: Stencil, colour: Colour) -> None:
    """Someone in a cloak, seen from behind, with a staff."""
    stencil.stroke([(0.5, 0.0), (0.42, 1.7)], stencil.shade(_WOOD), 0.045)
    stencil.glow((0.42, 1.76), 0.3, _LAMP, 0.8)
    stencil.ellipse((0.42, 1.76), (0.06, 0.06), _LAMP)
    stencil.blob(
        [(-0.4, 0.0), (-0.34, 0.6), (-0.22, 1.2), (0, 1.38), (0.22, 1.2), (0.34, 0.6), (0.44, 0.02), (0, -0.04)],
        stencil.shade(colour),
    )
    stencil.blob(
        [(0.05, 0.0), (0.1, 0.7), (0.1, 1.3), (0.22, 1.2), (0.34, 0.6), (0.44, 0.02)], stencil.shade(colour, 0.18)
    )
    stencil.blob(
        [(0, 1.8), (-0.2, 1.62), (-0.22, 1.36), (0, 1.24), (0.22, 1.36), (0.2, 1.62)], stencil.shade(colour, 0.1)
    )


def shapes(stencil: Stencil, colour: Colour) -> None:
    """Soft discs and rings around a centre: for what has no drawing of its own."""
    for number in range(7):
        turn, far = stencil.dice.uniform(0, math.tau), stencil.dice.uniform(0.1, 0.72)
        size = stencil.dice.uniform(0.16, 0.62)
        hue = stencil.shade(turned(colour, stencil.dice.uniform(-38, 38)), -0.1)
        x, y = _polar(turn, far)
        stencil.ellipse((x, y + 1.0), (size, size), hue, 0.58)
        if number % 2:
            stencil.ellipse(
                (x - size * 0.24, y + 1.0 + size * 0.24), (size * 0.4, size * 0.4), mix(hue, WHITE, 0.5), 0.5
            )
    ring = [_polar(step / 48 * math.tau, 1.0) for step in range(49)]
    stencil.stroke([(x, y + 1.0) for x, y in ring], stencil.shade(colour, -0.6), 0.025)
    x, y = _polar(stencil.dice.uniform(0, math.tau), 1.0)
    stencil.ellipse((x, y + 1.0), (0.08, 0.08), stencil.shade(colour, -0.6))
