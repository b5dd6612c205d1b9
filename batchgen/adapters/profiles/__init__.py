"""The profiles that come with batchgen: one YAML file for each, found by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import yaml
from pydantic import ValidationError

from batchgen.errors import UsageError
from batchgen.profile import Profile

_SUFFIX = ".yaml"


@lru_cache(maxsize=1)
def profile_names() -> tuple[str, ...]:
    """The names that `find_profile` knows, sorted."""
    return tuple(sorted(entry.name.removesuffix(_SUFFIX) for entry in _folder().iterdir() if _is_profile(entry)))


@lru_cache(maxsize=64)
def find_profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        UsageError: there is none; names those that there are.
    """
    if name not in profile_names():
        near = difflib.get_close_matches(name, profile_names(), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"There is no profile {name!r}.{hint} Known profiles: {', '.join(profile_names())}.")
    try:
        return Profile.model_validate(_content(name, ()))
    except ValidationError as error:
        raise UsageError(f"The profile {name!r} that came with batchgen is not valid: {error}") from error


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
