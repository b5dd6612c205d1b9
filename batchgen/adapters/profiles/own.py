"""A user's own profile, in a YAML file: whatever is wrong with it is told with its line and key.

A manifest may come from elsewhere, and its profile with it. So a profile that a manifest names lies beside it, and
sends no key to a host that the key is not for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from yarl import URL

from batchgen.errors import UsageError
from batchgen.hosts import is_this_machine
from batchgen.manifest.document import Node, line_of, parse, plain
from batchgen.manifest.names import did_you_mean, shown
from batchgen.manifest.problems import Problems
from batchgen.profile import Fields, Key, Parameter, Profile, States

Content = Mapping[str, Any]
_ENDINGS = (".yaml", ".yml")
#: The key of imagepipeline.io, and the hosts that it is for.
_KNOWN_KEY, _HOME = "IMAGEPIPELINE_API_KEY", "imagepipeline.io"
#: How the variables begin whose keys are meant for profiles in files; the host that a key is for follows.
_OWN_KEYS = "BATCHGEN_KEY_"
#: Hosts of which each has a variable of its own: no two are spelled alike in capitals, `_` for a dot, `__` for a dash.
_PLAIN_HOST = re.compile(r"[a-z0-9.-]+")
_PARTS: Mapping[str, type[BaseModel]] = {
    "key": Key,
    "states": States,
    "fields": Fields,
    "parameters": Parameter,
}


def is_file_name(name: str) -> bool:
    """Whether a profile's name names a file."""
    return name.lower().endswith(_ENDINGS)


def read_own(
    name: str,
    known: Callable[[str], Content],
    merge: Callable[[Content, Content], Content],
    *,
    folders: Sequence[Path],
    trusted: bool,
) -> Profile:
    """The profile in a file.

    Args:
        known: what the profile of a name says, for `extends`.
        merge: the first with the values of the second.
        folders: where the file is looked for, in this order.
        trusted: whether the user named the file themself; else it must lie in one of the folders and keep keys at home.

    Raises:
        UsageError: there is no such file, or it is no profile.
    """
    path = _find(name, folders, trusted=trusted)
    problems = Problems(str(path))
    root = parse(_text(path), problems)
    own = plain(root) if root is not None else None
    if root is None or not isinstance(own, dict):
        raise problems.fatal(1, "a profile is a mapping with keys like base_url.", "Begin with extends: sd3.")
    problems.raise_any()
    content = _extended(own, root, known, merge, problems)
    try:
        profile = Profile.model_validate({"name": path.stem, **content})
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            problems.add(line_of(root, detail["loc"]), *_in_words(detail))
        raise problems.error() from error
    if not trusted:
        _keep_keys_at_home(profile, root, problems)
    return profile


def _find(name: str, folders: Sequence[Path], *, trusted: bool) -> Path:
    for folder in folders:
        path = folder / name
        if path.is_file():
            if trusted or any(path.resolve().is_relative_to(one.resolve()) for one in folders):
                return path
            raise UsageError(f"The profile {name} lies outside of the manifest's folder. Name it with --profile.")
    looked = " or ".join(str(folder / name) for folder in dict.fromkeys(folders))
    raise UsageError(
        f"There is no profile {looked}. Check the name; `batchgen profiles` lists those that need no file."
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The profile {path} cannot be read: {error}.") from error


def _extended(
    own: dict[str, Any], root: Node, known: Callable[[str], Content], merge: Callable[[Content, Content], Content],
    problems: Problems,
) -> Content:  # fmt: skip
    parent = own.pop("extends", None)
    if parent is None:
        return own
    if not isinstance(parent, str):
        raise problems.fatal(line_of(root, ["extends"]), f"extends: must be a profile's name, not {shown(parent)}.")
    if is_file_name(parent):
        message = f"extends: only a profile that comes with batchgen can be extended, not the file {shown(parent)}."
        raise problems.fatal(line_of(root, ["extends"]), message)
    try:
        base = known(parent)
    except UsageError as error:
        raise problems.fatal(line_of(root, ["extends"]), f"extends: {error}") from error
    content = merge({name: value for name, value in base.items() if name != "name"}, own)
    if "provider" not in own and (host := _other_host(own, base)):
        return merge(content, {"provider": host})  # what another host makes is not what was made before
    return content


def _other_host(own: Content, base: Content) -> str | None:
    """The host that a profile names instead of the one that it extends, unless it is this machine."""
    try:
        hosts = [URL(str(content.get("base_url", ""))).raw_host for content in (own, base)]
    except ValueError:  # the profile's model complains
        return None
    return hosts[0] if hosts[0] and hosts[0] != hosts[1] and not is_this_machine(hosts[0]) else None


def _in_words(detail: ErrorDetails) -> tuple[str, str | None]:
    key = "".join(f"{step}: " for step in [".".join(map(str, detail["loc"]))] if step)
    if detail["type"] == "extra_forbidden":
        return f"{key}unknown key.", did_you_mean(str(detail["loc"][-1]), _keys_beside(detail["loc"]))
    if detail["type"] == "missing":
        return f"{key}is missing.", "Give it, or begin with extends: and the name of a profile that has it."
    if detail["type"] == "value_error":
        return key + detail["msg"].removeprefix("Value error, "), None
    words = detail["msg"].removeprefix("Input ")
    return f"{key}{words[:1].lower()}{words[1:]}, not {shown(detail['input'])}.", None


def _keys_beside(location: Sequence[str | int]) -> tuple[str, ...]:
    part = Profile if len(location) == 1 else _PARTS.get(str(location[0]), Profile)
    return tuple(part.model_fields)


def _keep_keys_at_home(profile: Profile, root: Node, problems: Problems) -> None:
    """A key goes over TLS, or to this machine, and to the one host that its variable names."""
    url, variable = URL(profile.base_url), profile.key.variable
    host = url.raw_host or ""
    here = is_this_machine(host)
    if url.scheme != "https" and not here:
        problems.add(line_of(root, ["base_url"]), "base_url: a key is sent over https only.", "Begin it with https://.")
    at_home = host == _HOME or host.endswith(f".{_HOME}") or here
    own_variable = _variable_for(host)
    if not (variable == own_variable or (variable == _KNOWN_KEY and at_home)):
        message = f"key.variable: a manifest's profile sends no key in {variable} to {host}."
        keep = f"Keep the key for that host in {own_variable}, or name" if own_variable else "Name"
        problems.add(line_of(root, ["key", "variable"]), message, f"{keep} this profile with --profile.")
    problems.raise_any()


def _variable_for(host: str) -> str | None:
    """The variable whose key is for that host alone; None where its name has no such spelling."""
    if not _PLAIN_HOST.fullmatch(host):
        return None
    return _OWN_KEYS + host.rstrip(".").replace("-", "__").replace(".", "_").upper()
