"""Words -> scene: what of a prompt is to be drawn, and how. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from typing import TypeVar

from batchgen.simulator.painting.palette import NAMED, Colour, Sky
from batchgen.simulator.painting.vocabulary import (
    GROUND_OF,
    KINDRED,
    SKY_OF,
    STYLE_OF,
    SUBJECT_OF,
    Ground,
    Style,
    Subject,
)

_Kind = TypeVar("_Kind")

_AT_SEA = frozenset({Subject.BOAT, Subject.WHALE, Subject.FISH})
_MOST_SUBJECTS = 3
_COLOUR_REACH = 2  # words between a colour and the subject it belongs to, plus one


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is to be drawn."""

    sky: Sky
    ground: Ground
    subjects: tuple[Subject, ...]  #: at least one, the most important first
    own_colours: Mapping[Subject, Colour]  #: of the subjects that the prompt gives a colour
    tint: Colour | None  #: of everything; from a colour word that belongs to no subject
    style: Style | None
    without: frozenset[str]  #: words that must not show


def read_scene(prompt: str, negative_prompt: str = "") -> Scene:
    """The scene that the words of a prompt ask for; what they leave open is settled by a hash of them.

    Any text gives a scene, the empty one included.
    """
    without = frozenset(_words(negative_prompt))
    words = [word for word in _words(prompt) if word not in without]
    dice = Random(seed_of(prompt))
    subjects, own_colours, loose = _subjects(words)
    sky = _first(words, SKY_OF) or dice.choice((Sky.DAY, Sky.DAWN, Sky.SUNSET))
    ground = _first(words, GROUND_OF) or _usual_ground(sky, subjects, dice)
    return Scene(
        sky=sky,
        ground=ground,
        subjects=subjects,
        own_colours=own_colours,
        tint=loose,
        style=_first(words, STYLE_OF),
        without=without,
    )


def _usual_ground(sky: Sky, subjects: tuple[Subject, ...], dice: Random) -> Ground:
    if _AT_SEA & set(subjects):
        return Ground.SEA
    return Ground.DESERT if sky is Sky.SPACE else dice.choice((Ground.HILLS, Ground.MOUNTAINS, Ground.HILLS))


def seed_of(text: str) -> int:
    """A number that is always the same for the same text, and another for any other."""
    return int.from_bytes(sha256(text.encode("utf-8", "surrogatepass")).digest()[:8])


def _words(text: str) -> list[str]:
    """The words in their singular, near enough to be looked up."""
    return [_singular(word) for word in re.findall(r"[^\W_]+", text.lower())]


def _singular(word: str) -> str:
    known = word in SUBJECT_OF or word in GROUND_OF or word in SKY_OF or word in NAMED or word in STYLE_OF
    if known or len(word) < 4 or word.endswith("ss"):
        return word
    if word.endswith(("ches", "shes", "xes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") else word


def _first(words: list[str], meanings: Mapping[str, _Kind]) -> _Kind | None:
    return next((meanings[word] for word in words if word in meanings), None)


def _subjects(words: list[str]) -> tuple[tuple[Subject, ...], dict[Subject, Colour], Colour | None]:
    """The subjects, the colours that belong to them, and the first colour that belongs to none."""
    found: list[Subject] = []
    own: dict[Subject, Colour] = {}
    waiting: tuple[int, Colour] | None = None
    loose: Colour | None = None
    for position, word in enumerate(words):
        subject = SUBJECT_OF.get(word)
        if subject is not None and subject not in found:
            found.append(subject)
            if word in KINDRED:
                own[subject] = KINDRED[word]
            if waiting and position - waiting[0] <= _COLOUR_REACH:
                own[subject], waiting = waiting[1], None
        if word in NAMED and subject is None:
            loose = loose or (waiting[1] if waiting else None)
            waiting = (position, NAMED[word])
    loose = loose or (waiting[1] if waiting else None)
    return tuple(found[:_MOST_SUBJECTS]) or (Subject.SHAPES,), own, loose
