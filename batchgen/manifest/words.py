"""The words that every manifest may name in braces: the moment, the manifest's name, the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime

#: Names that every text may have. `row` is each row's own.
BUILT_IN = ("row", "date", "datetime", "manifest")
#: Names of environment variables that may hold a secret.
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH", re.IGNORECASE)


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
    return {f"env.{name}": value for name, value in os.environ.items() if not _SECRET.search(name)}
