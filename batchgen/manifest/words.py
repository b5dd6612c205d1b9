"""The words that every manifest may name in braces: the moment, the manifest's name, the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from batchgen.manifest.problems import Refused

#: Names that every text may have. `row` is each row's own.
BUILT_IN = ("row", "date", "datetime", "manifest")
#: Names of environment variables that may hold a secret.
_SECRET = re.compile(
    r"KEY|TOKEN|SECRET|PASS|PWD|CREDENTIAL|AUTH|JWT|COOKIE|SESSION|SIGNATURE|PRIVATE|DSN", re.IGNORECASE
)
#: Values that hold a name and a password: `postgres://user:word@host`.
_WITH_PASSWORD = re.compile(r"://[^/\s]*@")


def built_in(stem: str, moment: datetime | None) -> dict[str, str]:
    """What every text may name, but for its row.

    Args:
        stem: the manifest's file name without its extension.
        moment: what {date} and {datetime} say; None: now.
    """
    moment = moment or datetime.now().astimezone()
    return {"date": f"{moment:%Y-%m-%d}", "datetime": f"{moment:%Y%m%dT%H%M%S}", "manifest": stem}


def environment() -> Mapping[str, str]:
    """What tags may name besides, as `env.NAME`: a manifest from elsewhere must not send keys away in a tag."""
    return {f"env.{name}": value for name, value in os.environ.items() if _is_harmless(name, value)}


def _is_harmless(name: str, value: str) -> bool:
    return not (_SECRET.search(name) or _WITH_PASSWORD.search(value))


def no_such_word(name: str) -> Refused:
    """What to say of a batch_id that names what nobody has said."""
    if name.startswith("env."):
        return Refused(
            f"batch_id: {{{name}}} is not set, or may hold a secret.",
            "Set it; of a batch that was begun with it, the folder will do: --out.",
        )
    return Refused(
        f"batch_id: there is no {{{name}}} for a whole batch.", "Use {date}, {datetime}, {manifest} or {env.NAME}."
    )


class Words:
    """What the texts of one manifest may name: as a batch that was begun has it written down, else as it is now.

    Args:
        stem, moment: as of `built_in`.
        words_of: what is written down; see `reader.Overrides`.
    """

    def __init__(self, stem: str, moment: datetime | None, words_of: Callable[[str | None], Mapping[str, str]]) -> None:
        self._words_of = words_of
        self._own = {"manifest": stem}  # a manifest may be renamed, also in the midst of a batch
        #: name -> word
        self.all: Mapping[str, str] = {**environment(), **built_in(stem, moment), **words_of(None), **self._own}

    def recall(self, batch_id: str) -> None:
        """Now that the batch's id is known, take what is written down for it."""
        self.all = {**self.all, **self._words_of(batch_id), **self._own}

    def to_record(self, named: Iterable[str]) -> dict[str, str]:
        """Those of the names that may say something else another time."""
        return {name: self.all[name] for name in sorted(named) if name in self.all and name not in self._own}
