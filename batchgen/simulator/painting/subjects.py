"""Who or what a scene is of: where each subject stands, how large, and in which colour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from batchgen.simulator.painting import animals, things
from batchgen.simulator.painting.canvas import Canvas
from batchgen.simulator.painting.palette import BLACK, Colour, Light, mix
from batchgen.simulator.painting.scene import Scene
from batchgen.simulator.painting.stencil import Stencil
from batchgen.simulator.painting.vocabulary import Ground, Subject


class _Place(Enum):
    GROUND = auto()
    WATER = auto()
    AIR = auto()
    BRANCH = auto()


@dataclass(frozen=True, slots=True)
class _Drawing:
    draw: Callable[[Stencil, Colour], None]
    colour: Colour  #: where the prompt gives none
    place: _Place = _Place.GROUND
    size: float = 1.0


_DRAWINGS: Mapping[Subject, _Drawing] = {
    Subject.FOX: _Drawing(animals.fox, (226, 108, 40)),
    Subject.CAT: _Drawing(animals.cat, (98, 92, 104)),
    Subject.DOG: _Drawing(animals.dog, (196, 142, 84)),
    Subject.RABBIT: _Drawing(animals.rabbit, (200, 182, 166), size=0.9),
    Subject.BEAR: _Drawing(animals.bear, (122, 84, 58)),
    Subject.OWL: _Drawing(animals.owl, (146, 112, 82), _Place.BRANCH),
    Subject.TOUCAN: _Drawing(animals.toucan, (38, 38, 50), _Place.BRANCH),
    Subject.BIRD: _Drawing(animals.bird, (64, 70, 92), _Place.AIR, 0.7),
    Subject.FISH: _Drawing(animals.fish, (238, 122, 70), _Place.WATER),
    Subject.WHALE: _Drawing(animals.whale, (72, 104, 146), _Place.WATER),
    Subject.BOAT: _Drawing(things.boat, (246, 240, 226), _Place.WATER, 1.05),
    Subject.LIGHTHOUSE: _Drawing(things.lighthouse, (206, 58, 54), size=1.25),
    Subject.HOUSE: _Drawing(things.house, (178, 82, 66)),
    Subject.CASTLE: _Drawing(things.castle, (92, 82, 140), size=1.1),
    Subject.TREE: _Drawing(things.tree, (78, 142, 78), size=1.15),
    Subject.FLOWER: _Drawing(things.flower, (226, 96, 128), size=1.1),
    Subject.ROBOT: _Drawing(things.robot, (202, 208, 216)),
    Subject.BALLOON: _Drawing(things.balloon, (216, 70, 62), _Place.AIR, 1.0),
    Subject.ROCKET: _Drawing(things.rocket, (214, 62, 58), _Place.AIR, 1.05),
    Subject.FIGURE: _Drawing(things.figure, (142, 58, 62), size=0.95),
    Subject.SHAPES: _Drawing(things.shapes, (226, 120, 92), size=0.95),
}
_FEET = 0.80  # of the height; what lies below is left to the caption
_SIZE = 0.235  # pixels per coordinate, as a share of the shorter side


def paint_subjects(canvas: Canvas, scene: Scene, light: Light) -> None:
    """Draw every subject that stands, floats or flies, the most important last and largest."""
    shown = [(subject, _DRAWINGS[subject]) for subject in scene.subjects if subject in _DRAWINGS]
    slots = _slots(canvas, len(shown))
    for rank in reversed(range(len(shown))):
        subject, drawing = shown[rank]
        colour = _colour(scene, subject, drawing)
        size = canvas.unit * _SIZE * drawing.size * canvas.dice.uniform(0.86, 1.14) * (1.0 if rank == 0 else 0.72)
        _place(canvas, scene, light, drawing, colour, slots[rank], size)


def _colour(scene: Scene, subject: Subject, drawing: _Drawing) -> Colour:
    asked = scene.own_colours.get(subject)
    if asked is not None:
        return mix(asked, drawing.colour, 0.2)  # a red fox is not the red of a letter box
    return scene.tint if scene.tint is not None and subject is Subject.SHAPES else drawing.colour


def _slots(canvas: Canvas, count: int) -> list[float]:
    """Where they stand, in shares of the width."""
    if count == 1:
        return [canvas.dice.uniform(0.36, 0.64)]
    edge = 0.5 / max(1, count)
    slots = [edge + number / count + canvas.dice.uniform(-0.05, 0.05) for number in range(count)]
    return slots if canvas.dice.random() < 0.5 else slots[::-1]


def _place(
    canvas: Canvas, scene: Scene, light: Light, drawing: _Drawing, colour: Colour, slot: float, size: float
) -> None:
    foot = (slot * canvas.width, _FEET * canvas.height)
    if drawing.place is _Place.AIR:
        foot = (foot[0], max(size * 2.45, canvas.dice.uniform(0.50, 0.62) * canvas.height))
    elif drawing.place is _Place.BRANCH:
        foot = (foot[0], canvas.dice.uniform(0.70, 0.76) * canvas.height)
    elif drawing.place is _Place.WATER or scene.ground is Ground.SEA:
        foot = (foot[0], canvas.dice.uniform(0.72, 0.77) * canvas.height)
    else:
        canvas.ellipse((foot[0] + size * 0.1, foot[1]), (size * 0.95, size * 0.10), BLACK, 0.22)
    mirrored = canvas.dice.random() < 0.5
    drawing.draw(Stencil(canvas, light, foot=foot, size=size, mirrored=mirrored), colour)
