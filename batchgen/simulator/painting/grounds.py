"""The ground of a scene, layer by layer from the horizon to the viewer's feet."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from batchgen.simulator.painting.canvas import Canvas, Point
from batchgen.simulator.painting.palette import BLACK, WHITE, Colour, Light, Sky, lit, mix, tinted
from batchgen.simulator.painting.scene import Scene
from batchgen.simulator.painting.skies import HORIZON
from batchgen.simulator.painting.vocabulary import Ground

_BASE: Mapping[Ground, Colour] = {
    Ground.HILLS: (92, 152, 74),
    Ground.SEA: (34, 108, 150),
    Ground.MOUNTAINS: (84, 100, 122),
    Ground.DESERT: (224, 168, 96),
    Ground.FOREST: (44, 106, 72),
    Ground.CITY: (72, 80, 104),
    Ground.SNOW: (226, 234, 244),
}


class Land:
    """The colours of one ground under one light, from far to near."""

    def __init__(self, scene: Scene, light: Light) -> None:
        base = _BASE[scene.ground]
        if scene.tint is not None:
            base = tinted(base, scene.tint, 0.55)
        # Snow throws back most of the light, whatever its colour.
        self.near = mix(base, lit(base, light), 0.62) if scene.ground is Ground.SNOW else lit(base, light)
        self.light = light
        self.dark = scene.sky in (Sky.NIGHT, Sky.SPACE, Sky.STORM, Sky.SUNSET)

    def at(self, depth: float) -> Colour:
        """The colour at a depth from 0, the viewer's feet, to 1, the horizon."""
        return mix(mix(self.near, BLACK, 0.22 * (1 - depth)), self.light.horizon, depth**0.8 * self.light.haze)


def paint_ground(canvas: Canvas, scene: Scene, light: Light, orb_at: Point | None) -> None:
    """Cover everything below the horizon."""
    land = Land(scene, light)
    _PAINTERS[scene.ground](canvas, land, orb_at)


def _ridge(canvas: Canvas, level: float, height: float, *, rough: float, steps: int) -> list[Point]:
    """A skyline from left to right: *level* and *height* are shares of the picture's height, *rough* 0 to 1."""
    waves = [
        (canvas.dice.uniform(0.6, 1.4) * 2**octave, canvas.dice.random() * math.tau, rough**octave)
        for octave in range(5)
    ]
    total = sum(weight for *_, weight in waves)
    line = []
    for step in range(steps + 1):
        x = step / steps
        rise = sum(weight * math.sin(x * math.tau * pace + phase) for pace, phase, weight in waves) / total
        line.append((x * canvas.width, (level - height * (0.5 + 0.5 * rise)) * canvas.height))
    return line


def _fill(canvas: Canvas, line: list[Point], colour: Colour) -> None:
    canvas.polygon([*line, (canvas.width, canvas.height), (0, canvas.height)], colour)


def _steps(canvas: Canvas) -> int:
    return max(8, min(120, canvas.width // 12))


def _hills(canvas: Canvas, land: Land, orb_at: Point | None) -> None:
    for depth, level, height in ((1.0, 0.62, 0.10), (0.7, 0.67, 0.10), (0.4, 0.74, 0.08), (0.1, 0.86, 0.08)):
        line = _ridge(canvas, level, height, rough=0.3, steps=_steps(canvas))
        _fill(canvas, line, land.at(depth))
        if depth < 0.5:
            _grass(canvas, line, mix(land.at(depth), land.light.horizon, 0.18))


def _grass(canvas: Canvas, line: list[Point], colour: Colour) -> None:
    for _ in range(canvas.scatter(70)):
        x, y = canvas.dice.choice(line)
        x += canvas.dice.uniform(-0.02, 0.02) * canvas.width
        y += canvas.dice.uniform(0.01, 0.12) * canvas.height
        tall = canvas.unit * canvas.dice.uniform(0.008, 0.02)
        canvas.polygon(((x - tall * 0.2, y), (x + tall * 0.35, y - tall), (x + tall * 0.2, y)), colour, 0.8)


def _sea(canvas: Canvas, land: Land, orb_at: Point | None) -> None:
    top = HORIZON * canvas.height
    canvas.rectangle((0, top), (canvas.width, canvas.height), land.at(0.85))
    bands = 6
    for band in range(bands):
        near = (band + 1) / bands
        level = HORIZON + 0.02 + (1.02 - HORIZON) * (band / bands) ** 1.25
        line = _ridge(canvas, level + 0.02 * near, 0.016 + 0.030 * near, rough=0.55, steps=_steps(canvas))
        _fill(canvas, line, land.at(0.85 * (1 - near)))
        crest = [(x, y - 1) for x, y in line]
        canvas.stroke(crest, mix(land.at(0.6), WHITE, 0.4), canvas.unit * 0.002 * (1 + near), 0.5)
        if orb_at is not None and land.light.orb is not None:
            _glitter(canvas, orb_at[0] * canvas.width, level, near, land.light.orb)


def _glitter(canvas: Canvas, x: float, level: float, near: float, colour: Colour) -> None:
    for _ in range(6):
        wide = canvas.unit * canvas.dice.uniform(0.01, 0.05) * (0.6 + near)
        at = x + canvas.dice.gauss(0, 0.035 + 0.05 * near) * canvas.unit
        y = (level + canvas.dice.uniform(-0.01, 0.06)) * canvas.height
        canvas.ellipse((at, y), (wide, canvas.unit * 0.0028), colour, 0.5)


def _mountains(canvas: Canvas, land: Land, orb_at: Point | None) -> None:
    for depth, level, height in ((1.0, 0.56, 0.22), (0.72, 0.64, 0.24)):
        _peaks(canvas, land, depth, level, height)
    for depth, level, height in ((0.45, 0.76, 0.14), (0.12, 0.88, 0.10)):
        line = _ridge(canvas, level, height, rough=0.5, steps=_steps(canvas))
        _fill(canvas, line, mix(land.at(depth), lit((58, 104, 76), land.light), 0.5 * (1 - depth)))


def _peaks(canvas: Canvas, land: Land, depth: float, level: float, height: float) -> None:
    """A row of peaks, each with a lit and a shaded side and snow on its top."""
    count = max(2, round(canvas.width / canvas.unit * 3))
    base = level * canvas.height
    for number in range(count + 1):
        x = (number + canvas.dice.uniform(-0.3, 0.3)) / count * canvas.width
        tall = height * canvas.dice.uniform(0.65, 1.15) * canvas.unit
        wide = tall * canvas.dice.uniform(0.95, 1.25)
        shade, sunny = land.at(depth), mix(land.at(depth), WHITE, 0.16)
        peak, fold = (x, base - tall), (x + wide * 0.16, base + 1)
        canvas.polygon(((x - wide, base + 1), peak, fold), sunny)
        canvas.polygon((fold, peak, (x + wide, base + 1)), shade)
        _snow(canvas, peak, wide, tall, mix(mix(shade, WHITE, 0.65), land.light.horizon, 0.3 * depth))
    canvas.rectangle((0, base), (canvas.width, canvas.height), land.at(depth))


def _snow(canvas: Canvas, peak: Point, wide: float, tall: float, colour: Colour) -> None:
    x, y = peak
    share = 0.30
    jags = ((1, 1), (0.55, 0.8), (0.3, 1.15), (0.0, 0.8), (-0.35, 1.1), (-0.6, 0.8), (-1, 1))
    edge = [(x + wide * share * across, y + tall * share * down) for across, down in jags]
    canvas.polygon([peak, *edge], colour)


def _desert(canvas: Canvas, land: Land, orb_at: Point | None) -> None:
    for depth, level, height in ((1.0, 0.63, 0.07), (0.7, 0.69, 0.11), (0.4, 0.78, 0.13), (0.05, 0.92, 0.14)):
        colour = land.at(depth)
        line = _ridge(canvas, level, height, rough=0.18, steps=_steps(canvas))
        _fill(canvas, line, colour)
        crest = min(range(len(line)), key=lambda place: line[place][1])
        lee = line[crest : crest + max(3, len(line) // 3)]
        foot = (lee[0][0] - canvas.width * 0.06, lee[-1][1] + canvas.height * 0.10)
        middle = (lee[0][0] + canvas.width * 0.02, lee[0][1] + canvas.height * 0.06)
        canvas.polygon([*lee, foot, middle], mix(colour, lit((120, 70, 60), land.light), 0.45))


def _forest(canvas: Canvas, land: Land, orb_at: Point | None) -> None:
    for depth, level, size in ((1.0, 0.62, 0.15), (0.66, 0.69, 0.20), (0.36, 0.79, 0.26)):
        line = _ridge(canvas, level, 0.05, rough=0.4, steps=_steps(canvas))
        for _ in range(max(3, round(canvas.width / canvas.unit * 1.9 / size))):
            x, y = canvas.dice.choice(line)
            x += canvas.dice.uniform(-0.02, 0.02) * canvas.width
            tall = size * canvas.dice.uniform(0.6, 1.15) * canvas.unit
            _pine(canvas, (x, y + tall * 0.1), tall, mix(land.at(depth), WHITE, canvas.dice.uniform(0, 0.07)))
        _fill(canvas, line, land.at(depth))
    _fill(canvas, _ridge(canvas, 0.88, 0.06, rough=0.3, steps=_steps(canvas)), land.at(0.1))


def _pine(canvas: Canvas, foot: Point, tall: float, colour: Colour) -> None:
    x, y = foot
    canvas.rectangle((x - tall * 0.03, y - tall * 0.2), (x + tall * 0.03, y), mix(colour, BLACK, 0.4))
    for tier, (low, high, wide) in enumerate(((0.12, 0.55, 0.24), (0.36, 0.8, 0.19), (0.6, 1.0, 0.13))):
        shade = mix(colour, WHITE, 0.04 * tier)
        canvas.polygon(
            ((x - tall * wide, y - tall * low), (x, y - tall * high), (x + tall * wide, y - tall * low)), shade
        )


def _city(canvas: Canvas, land: Land, orb_at: Point | None) -> None:
    for depth, tall, wide in ((1.0, 0.40, 0.07), (0.62, 0.30, 0.10), (0.25, 0.18, 0.13)):
        x = -wide * canvas.unit * canvas.dice.random()
        floor = (0.66 + 0.12 * (1 - depth)) * canvas.height
        while x < canvas.width:
            across = wide * canvas.unit * canvas.dice.uniform(0.6, 1.2)
            top = floor - tall * canvas.unit * canvas.dice.uniform(0.4, 1.1)
            _building(canvas, land, (x, top), (x + across, floor), depth)
            x += across * 1.04
        canvas.rectangle((0, floor), (canvas.width, canvas.height), land.at(depth * 0.9))
    canvas.rectangle((0, 0.82 * canvas.height), (canvas.width, canvas.height), mix(land.at(0.0), BLACK, 0.15))


def _building(canvas: Canvas, land: Land, corner: Point, opposite: Point, depth: float) -> None:
    colour = mix(land.at(depth), WHITE, canvas.dice.uniform(0, 0.06))
    canvas.rectangle(corner, opposite, colour)
    middle = (corner[0] + opposite[0]) / 2
    if canvas.dice.random() < 0.3:
        spire = canvas.unit * canvas.dice.uniform(0.02, 0.07)
        canvas.stroke(((middle, corner[1]), (middle, corner[1] - spire)), colour, canvas.unit * 0.004)
    pitch = canvas.unit * 0.022
    if pitch < 5 or depth == 1.0:
        return
    glow = (255, 214, 128) if land.dark else mix(colour, WHITE, 0.35)
    lit_share = 0.45 if land.dark else 0.7
    for row in range(1, int((opposite[1] - corner[1]) / (pitch * 1.3))):
        for column in range(int((opposite[0] - corner[0] - pitch * 0.4) / pitch)):
            if canvas.dice.random() < lit_share:
                x, y = corner[0] + pitch * (0.4 + column), corner[1] + row * pitch * 1.3
                canvas.rectangle((x, y), (x + pitch * 0.45, y + pitch * 0.6), glow, 0.85)


def _snowfield(canvas: Canvas, land: Land, orb_at: Point | None) -> None:
    for depth, level, height in ((1.0, 0.60, 0.08), (0.66, 0.68, 0.10), (0.36, 0.77, 0.08), (0.05, 0.88, 0.07)):
        line = _ridge(canvas, level, height, rough=0.22, steps=_steps(canvas))
        colour = land.at(depth)
        for _ in range(2 if depth > 0.3 else 0):
            x, y = canvas.dice.choice(line)
            tall = canvas.unit * canvas.dice.uniform(0.08, 0.16) * (1.4 - depth)
            _pine(canvas, (x, y + tall * 0.15), tall, mix(lit((70, 104, 110), land.light), colour, 0.3 + 0.4 * depth))
        _fill(canvas, line, colour)
    for _ in range(canvas.scatter(130)):
        size = canvas.unit * canvas.dice.uniform(0.0015, 0.004)
        centre = (canvas.dice.random() * canvas.width, canvas.dice.random() * canvas.height)
        canvas.ellipse(centre, (size, size), WHITE, 0.8)


_PAINTERS: Mapping[Ground, Callable[[Canvas, Land, Point | None], None]] = {
    Ground.HILLS: _hills,
    Ground.SEA: _sea,
    Ground.MOUNTAINS: _mountains,
    Ground.DESERT: _desert,
    Ground.FOREST: _forest,
    Ground.CITY: _city,
    Ground.SNOW: _snowfield,
}
