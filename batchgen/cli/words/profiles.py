"""What `profiles` prints: the APIs that batchgen knows, what each takes, and what nobody knows of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from batchgen.profile import Parameter, Profile, Role

_ROLES = {
    Role.IMAGE: "",
    Role.DELIVERY: "delivery: changes no image",
    Role.TAG: "tag: given outside params",
    Role.FAN_OUT: "never sent: as many jobs as images",
}


def profiles_text(profiles: Sequence[Profile]) -> str:
    """What `profiles` says: each profile whole."""
    return "\n\n".join(map(profile_text, profiles))


def profile_text(profile: Profile) -> str:
    """What `profiles NAME` says."""
    lines = [
        f"{profile.name}: {profile.title}",
        f"  POST {profile.base_url}{profile.submit_path}, key from {profile.key.variable} as {profile.key.header}",
    ]
    rows = [(name, *_columns(parameter)) for name, parameter in profile.parameters.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines += ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, (*widths, 0), strict=True)).rstrip()
              for row in rows]  # fmt: skip
    lines += ["  unknown:"] * bool(profile.unknown) + [f"    - {line}" for line in profile.unknown]
    return "\n".join(lines)


def _columns(parameter: Parameter) -> tuple[str, str, str]:
    """What it takes, its default, and what else is to be said."""
    default = "required" if parameter.required and parameter.default is None else "not sent"
    if parameter.default is not None:
        default = f"default {_shown(parameter.default)}"
    notes = filter(None, (parameter.description, _ROLES[parameter.role]))
    return parameter.allowed, default, " ".join(note if note.endswith(".") else f"({note})" for note in notes)


def _shown(value: object) -> str:
    return repr(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')


def profile_json(profile: Profile) -> dict[str, Any]:
    """What `profiles --json` says of a profile: what a profile's file may say, whole."""
    return profile.model_dump(mode="json")
