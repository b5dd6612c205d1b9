"""Profiles: those that come with batchgen, one YAML file each, found by name; and a user's own, in a file."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from batchgen.adapters.profiles.own import is_file_name, read_own
from batchgen.errors import UsageError
from batchgen.profile import Profile

_SUFFIX = ".yaml"
_HERE = (Path(),)


@lru_cache(maxsize=1)
def profile_names() -> tuple[str, ...]:
    """The names of the profiles that come with batchgen, sorted."""
    return tuple(sorted(entry.name.removesuffix(_SUFFIX) for entry in _folder().iterdir() if _is_profile(entry)))


def profiles_with(parameter: str) -> tuple[str, ...]:
    """The names of the real APIs' profiles that have the parameter, sorted."""
    found = map(find_profile, profile_names())
    return tuple(profile.name for profile in found if parameter in profile.parameters and not profile.simulated)


def find_profile(name: str, *, folders: Sequence[Path] = _HERE, trusted: bool = True) -> Profile:
    """The profile of that name, or in the file of that name: one that ends in `.yaml` or `.yml`.

    Args:
        folders: where a file is looked for, in this order.
        trusted: whether the user named it themself; else a file must lie in them, and keeps keys at home.

    Raises:
        UsageError: there is none; names those that there are. Or the file is no profile: names line and key.
    """
    if is_file_name(name):
        return read_own(name, _content_by_name, merge, folders=folders, trusted=trusted)
    return _known(name)


@lru_cache(maxsize=64)
def _known(name: str) -> Profile:
    try:
        return Profile.model_validate(_content_by_name(name))
    except ValidationError as error:
        raise UsageError(f"The profile {name!r} that came with batchgen is not valid: {error}") from error


def _content_by_name(name: str) -> Mapping[str, Any]:
    if name not in profile_names():
        near = difflib.get_close_matches(name, profile_names(), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(
            f"There is no profile {name!r}.{hint} Known profiles: {', '.join(profile_names())}; "
            "one of your own is a file whose name ends in .yaml."
        )
    return _content(name, ())


def _folder() -> Traversable:
    return resources.files(__name__)


def _is_profile(entry: Traversable) -> bool:
    return entry.is_file() and entry.name.endswith(_SUFFIX)


def _content(name: str, heirs: tuple[str, ...]) -> Mapping[str, Any]:
    """What the file says, over what the profile says that it extends."""
    if name in heirs:
        raise UsageError(f"The profiles extend each other in a circle: {' -> '.join((*heirs, name))}.")
    own = yaml.safe_load(_folder().joinpath(name + _SUFFIX).read_text(encoding="utf-8"))
    parent = own.pop("extends", None)
    return own if parent is None else merge(_content(parent, (*heirs, name)), own)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """*base* with the values of *over*: mappings are merged, anything else is replaced, and null removes."""
    merged = dict(base)
    for name, value in over.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(name), Mapping):
            merged[name] = merge(merged[name], value)
        else:
            merged[name] = value
    return merged
