"""The words that the simulator knows how to draw. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import TypeVar

from batchgen.simulator.painting.palette import Colour, Sky


class Ground(Enum):
    """What lies under the sky."""

    HILLS = auto()
    SEA = auto()
    MOUNTAINS = auto()
    DESERT = auto()
    FOREST = auto()
    CITY = auto()
    SNOW = auto()


class Style(Enum):
    """How a picture looks as a whole."""

    WATERCOLOUR = auto()
    INK = auto()
    PIXELS = auto()
    OIL = auto()
    NEON = auto()
    FLAT = auto()
    VINTAGE = auto()
    MONOCHROME = auto()


class Subject(Enum):
    """What a picture is of."""

    FOX = auto()
    CAT = auto()
    DOG = auto()
    RABBIT = auto()
    BEAR = auto()
    OWL = auto()
    TOUCAN = auto()
    BIRD = auto()
    FISH = auto()
    WHALE = auto()
    BOAT = auto()
    LIGHTHOUSE = auto()
    HOUSE = auto()
    CASTLE = auto()
    TREE = auto()
    FLOWER = auto()
    ROBOT = auto()
    BALLOON = auto()
    ROCKET = auto()
    FIGURE = auto()
    MOON = auto()
    SUN = auto()
    SHAPES = auto()  # what stands in for words that the simulator cannot draw


_SKIES: Mapping[Sky, str] = {
    Sky.DAWN: "dawn sunrise morning daybreak",
    Sky.DAY: "noon day midday daylight sunny afternoon summer spring",
    Sky.SUNSET: "sunset dusk evening twilight autumn",
    Sky.NIGHT: "night midnight starry stars star moonlight moonlit moon nocturnal aurora",
    Sky.STORM: "storm stormy rain rainy thunder lightning tempest",
    Sky.FOG: "fog foggy mist misty haze hazy cloudy overcast",
    Sky.SPACE: "space galaxy nebula cosmic cosmos planet orbit universe",
}
_GROUNDS: Mapping[Ground, str] = {
    Ground.SEA: "sea ocean wave lake beach river coast harbour harbor water shore island",
    Ground.MOUNTAINS: "mountain alps peak summit cliff valley canyon volcano",
    Ground.DESERT: "desert dune sahara sand mars",
    Ground.FOREST: "forest wood jungle rainforest woodland pine grove",
    Ground.CITY: "city skyline street town urban downtown tokyo york building skyscraper metropolis",
    Ground.SNOW: "snow snowy winter arctic ice icy glacier",
    Ground.HILLS: "field meadow hill garden farm grass countryside prairie park vineyard",
}
_STYLES: Mapping[Style, str] = {
    Style.WATERCOLOUR: "watercolor watercolour aquarelle gouache",
    Style.INK: "ink sketch pencil drawing charcoal engraving lineart woodcut",
    Style.PIXELS: "pixel pixelated 8bit 16bit retro",
    Style.OIL: "oil impressionist impressionism impasto painterly acrylic",
    Style.NEON: "neon cyberpunk synthwave vaporwave futuristic",
    Style.FLAT: "minimal minimalist flat vector minimalism papercut",
    Style.VINTAGE: "vintage sepia polaroid antique",
    Style.MONOCHROME: "monochrome noir grayscale greyscale",
}
_SUBJECTS: Mapping[Subject, str] = {
    Subject.FOX: "fox wolf coyote",
    Subject.CAT: "cat kitten tiger lion leopard panther lynx",
    Subject.DOG: "dog puppy retriever hound labrador corgi",
    Subject.RABBIT: "rabbit bunny hare",
    Subject.BEAR: "bear panda koala",
    Subject.OWL: "owl",
    Subject.TOUCAN: "toucan parrot macaw",
    Subject.BIRD: "bird eagle gull seagull swallow raven crow hawk heron crane dragon",
    Subject.FISH: "fish koi salmon dolphin shark goldfish",
    Subject.WHALE: "whale orca",
    Subject.BOAT: "boat ship sailboat sailing yacht galleon",
    Subject.LIGHTHOUSE: "lighthouse tower",
    Subject.HOUSE: "house cottage cabin hut home barn",
    Subject.CASTLE: "castle palace fortress temple",
    Subject.TREE: "tree oak willow maple bonsai",
    Subject.FLOWER: "flower rose tulip sunflower daisy poppy orchid blossom lotus",
    Subject.ROBOT: "robot android mech cyborg",
    Subject.BALLOON: "balloon airship zeppelin",
    Subject.ROCKET: "rocket spaceship spacecraft shuttle",
    Subject.FIGURE: "person man woman girl boy wizard knight monk astronaut wanderer traveler child",
    Subject.MOON: "moon moonlit",
    Subject.SUN: "sun",
}
#: Words that are drawn as a kindred subject, but in a colour of their own.
KINDRED: Mapping[str, Colour] = {
    "wolf": (118, 124, 136), "coyote": (168, 138, 104), "tiger": (232, 134, 40), "lion": (214, 164, 84),
    "panther": (40, 40, 52), "leopard": (222, 176, 96), "raven": (32, 32, 44), "crow": (32, 32, 44),
    "seagull": (240, 242, 244), "gull": (240, 242, 244), "parrot": (44, 150, 84), "macaw": (204, 48, 52),
    "shark": (110, 126, 144), "dolphin": (110, 146, 180), "orca": (34, 38, 52), "panda": (240, 240, 238),
    "koala": (150, 154, 160), "sunflower": (244, 190, 40), "rose": (204, 40, 70), "poppy": (222, 56, 40),
    "daisy": (248, 248, 244), "lotus": (240, 150, 190), "maple": (208, 88, 44), "astronaut": (232, 234, 238),
}  # fmt: skip
_Kind = TypeVar("_Kind")


def _spread(words_of: Mapping[_Kind, str]) -> Mapping[str, _Kind]:
    return {word: kind for kind, words in words_of.items() for word in words.split()}


SKY_OF = _spread(_SKIES)
GROUND_OF = _spread(_GROUNDS)
STYLE_OF = _spread(_STYLES)
SUBJECT_OF = _spread(_SUBJECTS)
