"""The sky of a scene: light, sun or moon, stars, clouds, rain."""

from __future__ import annotations

import math
from random import Random

from PIL import Image

from batchgen.simulator.painting.canvas import Canvas, Point, gradient
from batchgen.simulator.painting.palette import WHITE, Light, Sky, mix
from batchgen.simulator.painting.scene import Scene
from batchgen.simulator.painting.vocabulary import Subject

#: Where sky and ground meet, as a share of the height.
HORIZON = 0.60
_NO_DICE = Random(0)
_SOFT_SIDE = 160  # the sky is soft: it is drawn this small and enlarged


def paint_sky(size: tuple[int, int], light: Light, orb_at: Point | None, *, glow: float) -> Image.Image:
    """The sky's light alone, around a source of light at that place in shares of width and height."""
    shrink = min(1.0, _SOFT_SIDE / max(size))
    small = (max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink)))
    stops = (light.top, light.top, light.middle, light.horizon, light.horizon, light.horizon)
    sky = gradient(stops, small)
    if orb_at is not None and light.orb is not None:
        canvas = Canvas(sky, dice=_NO_DICE, detail=0)
        centre = (orb_at[0] * small[0], orb_at[1] * small[1])
        canvas.glow(centre, canvas.unit * 0.75, mix(light.orb, light.horizon, 0.4), 0.55 * glow)
        canvas.glow(centre, canvas.unit * 0.32, light.orb, 0.6 * glow)
    return sky.resize(size, Image.Resampling.BILINEAR)


def orb_place(scene: Scene, canvas: Canvas) -> Point | None:
    """Where sun or moon stand, in shares of width and height; None where neither shows."""
    hidden = {"moon"} if scene.sky is Sky.NIGHT else {"sun"}
    asked = {Subject.MOON, Subject.SUN} & set(scene.subjects)
    if hidden & scene.without or (scene.sky in (Sky.STORM, Sky.SPACE) and not asked):
        return None
    across = canvas.dice.choice((canvas.dice.uniform(0.16, 0.38), canvas.dice.uniform(0.62, 0.84)))
    if scene.sky in (Sky.DAWN, Sky.SUNSET) and Subject.MOON not in asked:
        return across, canvas.dice.uniform(0.42, 0.54)
    return across, canvas.dice.uniform(0.16, 0.26)


def paint_heavens(canvas: Canvas, scene: Scene, light: Light, orb_at: Point | None) -> None:
    """What hangs in the sky, behind all that stands on the ground."""
    dark = scene.sky in (Sky.NIGHT, Sky.SPACE)
    if dark and not {"star"} & scene.without:
        _stars(canvas)
    if scene.sky is Sky.SPACE:
        _planet(canvas, light)
    if orb_at is not None:
        _orb(canvas, scene, light, (orb_at[0] * canvas.width, orb_at[1] * canvas.height))
    if scene.sky is not Sky.SPACE and not {"cloud"} & scene.without:
        _clouds(canvas, scene, light)
    if scene.sky is Sky.STORM and not {"lightning"} & scene.without:
        _lightning(canvas)


def paint_weather(canvas: Canvas, scene: Scene, light: Light) -> None:
    """Rain and fog, in front of everything."""
    if scene.sky is Sky.STORM and not {"rain"} & scene.without:
        for _ in range(canvas.scatter(220)):
            x, y = canvas.dice.uniform(0, 1.1) * canvas.width, canvas.dice.random() * canvas.height
            length = canvas.unit * canvas.dice.uniform(0.02, 0.05)
            line = ((x, y), (x - length * 0.3, y + length))
            canvas.stroke(line, mix(light.horizon, WHITE, 0.5), canvas.unit / 700, 0.35)
    if scene.sky is Sky.FOG:
        for _ in range(3):
            centre = (canvas.dice.random() * canvas.width, canvas.dice.uniform(0.5, 0.8) * canvas.height)
            canvas.glow(centre, canvas.unit * 0.5, light.horizon, 0.5)


def _orb(canvas: Canvas, scene: Scene, light: Light, centre: Point) -> None:
    asked = {Subject.MOON, Subject.SUN} & set(scene.subjects)
    radius = canvas.unit * (0.10 if asked else 0.065)
    colour = light.orb or WHITE
    canvas.ellipse(centre, (radius, radius), colour)
    if scene.sky is Sky.NIGHT or Subject.MOON in asked:
        for across, down, size in ((-0.3, -0.25, 0.22), (0.28, 0.1, 0.3), (-0.15, 0.45, 0.16), (0.3, -0.5, 0.12)):
            crater = (centre[0] + across * radius, centre[1] + down * radius)
            canvas.ellipse(crater, (size * radius, size * radius), mix(colour, light.middle, 0.22))


def _stars(canvas: Canvas) -> None:
    for _ in range(canvas.scatter(170)):
        x, y = canvas.dice.random() * canvas.width, canvas.dice.random() ** 1.4 * canvas.height * HORIZON
        size = canvas.unit * canvas.dice.choice((0.0012, 0.0016, 0.0022, 0.0034))
        canvas.ellipse((x, y), (size, size), WHITE, canvas.dice.uniform(0.45, 1.0))


def _planet(canvas: Canvas, light: Light) -> None:
    x, y = canvas.dice.uniform(0.2, 0.8) * canvas.width, canvas.dice.uniform(0.18, 0.34) * canvas.height
    radius = canvas.unit * canvas.dice.uniform(0.10, 0.16)
    body = mix(light.horizon, WHITE, 0.45)
    canvas.glow((x, y), radius * 2.2, body, 0.45)
    canvas.ellipse((x, y), (radius, radius), body)
    canvas.ellipse((x - radius * 0.22, y - radius * 0.16), (radius * 0.76, radius * 0.8), mix(body, WHITE, 0.3))
    ring = [(x + radius * 1.75 * math.cos(a / 16 * math.pi), y + radius * 0.36 * math.sin(a / 16 * math.pi))
            for a in range(-2, 19)]  # fmt: skip
    canvas.stroke(ring, mix(body, (255, 214, 160), 0.6), radius * 0.10)


def _clouds(canvas: Canvas, scene: Scene, light: Light) -> None:
    heavy = scene.sky is Sky.STORM
    colour = mix(light.middle, (30, 36, 48), 0.45) if heavy else mix(light.horizon, WHITE, 0.35)
    opacity = {Sky.STORM: 0.55, Sky.NIGHT: 0.10, Sky.DAY: 0.75}.get(scene.sky, 0.38)
    for _ in range(7 if heavy else canvas.dice.randint(2, 4)):
        x = canvas.dice.random() * canvas.width
        y = canvas.dice.uniform(0.04, 0.26 if heavy else 0.40) * canvas.height
        length = canvas.unit * canvas.dice.uniform(0.14, 0.36) * (1.5 if heavy else 1)
        _cloud(canvas, (x, y), length, colour, opacity)


def _cloud(canvas: Canvas, centre: Point, length: float, colour: tuple[int, int, int], opacity: float) -> None:
    """One soft outline: flat below, heaped above."""
    x, y = centre
    heaps = 5
    outline = [(x + length / 2, y), (x - length / 2, y)]
    for heap in range(heaps):
        share = (heap + 0.5) / heaps
        rise = math.sin(share * math.pi) * canvas.dice.uniform(0.10, 0.24) * length
        outline.append((x - length / 2 + share * length, y - rise))
    canvas.blob(outline, colour, opacity)


def _lightning(canvas: Canvas) -> None:
    x, y = canvas.dice.uniform(0.15, 0.85) * canvas.width, 0.12 * canvas.height
    bolt = [(x, y)]
    for _ in range(6):
        x += canvas.dice.uniform(-0.06, 0.06) * canvas.unit
        y += 0.07 * canvas.height
        bolt.append((x, y))
    canvas.glow(bolt[3], canvas.unit * 0.28, (236, 232, 255), 0.45)
    canvas.stroke(bolt, (250, 246, 255), canvas.unit * 0.006)
