"""Parameters and labels of rows, checked against the profile and against the columns of the index."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches

from batchgen.manifest.names import QUOTE, RESERVED, did_you_mean, is_of_images, sendable, shown, squashed
from batchgen.manifest.problems import Refused
from batchgen.model import LabelValue, ParamValue
from batchgen.profile import Parameter, Profile, Role

_COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+")
_INT64 = range(-(2**63), 2**63)
#: Tags that an API may take beside its parameters; batchgen keeps them itself.
_TAGS = ("batch_id", "file_prefix")
#: How alike a column's name and a parameter's are, from 0 to 1, for it to be a slip of the hand.
_SLIP = 0.85


class Parameters:
    """What a row's `params` may hold, as the profile says.

    Args:
        elsewhere: for messages: the names of the profiles that have a parameter of some name.
    """

    def __init__(self, profile: Profile, *, elsewhere: Callable[[str], Sequence[str]] = lambda _: ()) -> None:
        self.profile = profile
        self._elsewhere = elsewhere
        #: name -> parameter, without prompt and tags, in the profile's order
        self.known: Mapping[str, Parameter] = {
            name: parameter
            for name, parameter in profile.parameters.items()
            if parameter.role is not Role.TAG and name != "prompt"
        }
        self.defaults: Mapping[str, ParamValue] = {
            name: self.check(name, parameter.default)
            for name, parameter in self.known.items()
            if parameter.default is not None
        }
        self._required = [name for name, parameter in self.known.items() if parameter.required]

    def must_know(self, name: str) -> Parameter:
        """
        Raises:
            Refused: there is no such parameter.
        """
        parameter = self.known.get(name)
        if parameter is None:
            raise self._unknown(name)
        return parameter

    def is_known_elsewhere(self, name: str) -> bool:
        """Whether another profile has a parameter of that name."""
        return name == "seed" or bool(self._elsewhere(name))

    def check(self, name: str, value: object) -> ParamValue:
        """The canonical form of a typed value.

        Raises:
            Refused: no such parameter, or no such value for it.
        """
        return self._canonical(name, value, as_text=False)

    def parse(self, name: str, text: str) -> ParamValue:
        """The canonical form of a value written as text.

        Raises:
            Refused: as `check`.
        """
        return self._canonical(name, text, as_text=True)

    def complete(self, values: Mapping[str, ParamValue]) -> dict[str, ParamValue]:
        """The values in the profile's order; an empty list is none.

        Raises:
            Refused: one that the API requires is not there.
        """
        for name in self._required:
            if name not in values:
                raise Refused(f"{name}: is missing; {self.profile.name} requires it.", f"Give it in params: {name}.")
        return {name: values[name] for name in self.known if name in values and values[name] != ()}

    def _canonical(self, name: str, value: object, *, as_text: bool) -> ParamValue:
        parameter = self.must_know(name)
        try:
            checked = parameter.parse(value) if as_text and isinstance(value, str) else parameter.check(value)
        except OverflowError as error:  # a whole number too large for a float
            raise Refused(f"{name}: must be {parameter.allowed}, and below 2^63.") from error
        except ValueError as error:
            raise Refused(f"{name}: {error}", _mend(parameter, value)) from error
        return _storable(name, checked, parameter)

    def _unknown(self, name: str) -> Refused:
        if name == "prompt":
            return Refused("prompt: is not a parameter.", "Prompts go under prompts, or into the column prompt.")
        if name in _TAGS:
            return Refused(f"{name}: is a tag, not a parameter.", f"Give it outside params, as {name}.")
        others = [other for other in self._elsewhere(name) if other != self.profile.name]
        there = f"{_listed(others)} {'has' if len(others) == 1 else 'have'} one." if others else None
        if name == "seed":
            hint = f"Remove it; {there}" if there else "Remove it."
            return Refused(f"{self.profile.name} has no seed: its results cannot be repeated.", hint)
        message = f"{name}: {self.profile.name} has no such parameter; it knows {', '.join(self.known)}."
        return Refused(message, did_you_mean(name, self.known) or there)


def _mend(parameter: Parameter, value: object) -> str | None:
    if parameter.type == "text" and isinstance(value, int | float):
        return QUOTE
    if isinstance(value, str) and _COMMA.fullmatch(value.strip()):
        return f"Decimals are written with a point: {value.strip().replace(',', '.')}."
    return None


def _listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _storable(name: str, value: ParamValue, parameter: Parameter) -> ParamValue:
    match value:
        case tuple():
            for one in value:
                _storable(name, one, parameter)
            return value
        case str() if not sendable(value):
            raise Refused(f"{name}: has a NUL character or half of a surrogate pair in it, which no text may.")
        case int() if value not in _INT64:
            raise Refused(f"{name}: must be {parameter.allowed}, and below 2^63.")
        case float() if value == 0:
            return 0.0  # never -0.0, which is equal and yet is written otherwise
        case _:
            return value


class LabelNames:
    """The label names of a manifest. No two may differ only in case: databases take them for one column."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, int | None, str | None]] = {}

    def check(self, name: str, line: int | None, file: str | None = None) -> None:
        """
        Args:
            file: the table in which it stands; None for the manifest.

        Raises:
            Refused: no label can be called so.
        """
        lowered = name.strip().lower()
        if not lowered:
            raise Refused("a label has no name.", "Give it one.")
        if not sendable(name):
            raise Refused(f"{shown(name)}: has a NUL character or half of a surrogate pair in it.", "Rename it.")
        if lowered in RESERVED or lowered.startswith(("axis_", "score_")):
            raise Refused(f"{name}: no label can be called so; the index has such columns of its own.", _rename(name))
        if is_of_images(lowered):
            example = f"Rename it, for example {name.strip()[: -len('_name')]}."
            raise Refused(f"{name}: no label can be called so; loaders take such a column for images.", example)
        spelling, first, where = self._seen.setdefault(lowered, (name, line, file))
        if spelling != name:
            of_line = "" if first is None else f" of line {first}"
            of_file = "" if where == file else f" in {where or 'the manifest'}"
            message = f"{name}: differs from the label {spelling}{of_line}{of_file} only in case or spaces."
            raise Refused(message, f"Write {spelling}.")


def _rename(name: str) -> str:
    return f"Rename it, for example my_{name.strip()}."


def check_label(name: str, value: object) -> LabelValue:
    """The label's value, its type kept.

    Raises:
        Refused: it is not a text, a finite number, a truth value or null.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused(f"{name}: a label must be a finite number, not {value}.")
    if isinstance(value, str) and not sendable(value):
        raise Refused(f"{name}: has a NUL character or half of a surrogate pair in it, which no text may.")
    if isinstance(value, int) and value not in _INT64:
        raise Refused(f"{name}: a label must be below 2^63, not {value}.")
    if value is None or isinstance(value, str | int | float):
        return value
    raise Refused(f"{name}: a label must be text, a number, true, false or null, not {shown(value)}.")


def misspelt_column(name: str, known: Mapping[str, Parameter]) -> str | None:
    """What a table's column is surely meant to be, where only case, spaces or hyphens tell it from that."""
    wanted = squashed(name)
    meanings = ("prompt", "file_prefix", "split", "repeat", *known)
    return next((meaning for meaning in meanings if squashed(meaning) == wanted and meaning != name), None)


def slip_of(name: str, known: Mapping[str, Parameter]) -> str | None:
    """The parameter that a column's name is a slip of: a letter or two are other ones, or one too many or missing."""
    wanted = squashed(name)
    alike = {squashed(meaning): meaning for meaning in known if abs(len(squashed(meaning)) - len(wanted)) <= 1}
    found = get_close_matches(wanted, alike, n=1, cutoff=_SLIP) if wanted not in alike else []
    return alike[found[0]] if found else None
