"""What the command line, the environment or a caller says over the manifest."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from batchgen.checks import Checks
from batchgen.errors import KeyMissing, UsageError
from batchgen.manifest import Manifest, Overrides
from batchgen.model import NO_BUDGET, Budget, Completion, FailureKind, InDoubt, ParamValue
from batchgen.profile import Profile

#: The key that the built-in simulator is given; it guards nothing.
SIMULATOR_KEY = "simulator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to run a batch. None everywhere means: as the manifest says, or the profile where it does not."""

    profile: str | None = None
    params: Mapping[str, ParamValue] = field(default_factory=dict)  #: for every request; text is parsed
    batch_id: str | None = None
    file_prefix: str | None = None
    moment: datetime | None = None  #: what {date} and {datetime} say in a batch that is begun; None: now
    files_from: tuple[Path, ...] = ()  #: folders from which a manifest may read, besides its own
    base_url: str | None = None  #: of the API, for proxies and simulators
    concurrency: int | None = None  #: jobs in flight
    rate: float | None = None  #: submissions a second
    completion: Completion | None = None
    webhook_listen: tuple[str, int] = ("127.0.0.1", 0)  #: host and port; port 0 takes any free one
    webhook_url: str | None = None  #: where the API reaches what listens there; None: at that address
    in_doubt: InDoubt | None = None
    limit: int | None = None  #: only the plan's first requests
    only_new: bool = False  #: whether requests that the batches of *against* have are left out
    against: tuple[str, ...] = ()  #: folders of earlier batches, or patterns of such
    budget: Budget = NO_BUDGET  #: of the batch over all its runs; goes before the manifest's, limit by limit
    retry: frozenset[FailureKind] = frozenset()  #: kinds of failed requests to try again
    wait_lock: float = 0.0  #: seconds that runs in the folder, or planning beside it, are waited for; 0: an error
    max_runtime: float | None = None  #: seconds from *began* until the run stops submitting
    began: float | None = None  #: seconds of the monotonic clock; None: when the run is called
    max_images: int | None = None  #: images requested by this run
    max_wait: float = 900.0  #: seconds that the API may refuse everything before the run stops
    index_every: float = 600.0  #: seconds between two indexes while the run goes on; 0: only at its end
    checks: Checks | None = None  #: what images must stand
    allow_private_hosts: bool = False  #: whether images may be fetched from private networks
    notify: str | None = field(default=None, repr=False)  #: URL that is told how the run ended; may hold a secret
    healthcheck: str | None = field(default=None, repr=False)  #: URL that is pinged at its start and its end; the same
    metrics_file: Path | None = None  #: where the run keeps its figures in Prometheus' text format
    report: bool = True  #: whether the run ends with a report
    grace: float = 30.0  #: seconds that jobs in flight are waited for once the run is stopping
    own_process: bool = False  #: whether nothing else runs in the process, so that its memory may be given back

    def time_left(self, now: float) -> float | None:
        """Seconds until the run stops submitting, at least 0; None: it does not.

        Args:
            now: seconds of the monotonic clock.
        """
        if self.max_runtime is None:
            return None
        return max(0.0, self.max_runtime - (now - (now if self.began is None else self.began)))

    @property
    def overrides(self) -> Overrides:
        """The part that changes what is planned."""
        return Overrides(
            profile=self.profile,
            params=self.params,
            batch_id=self.batch_id,
            file_prefix=self.file_prefix,
            moment=self.moment,
            folders=self.files_from,
            budget=self.budget,
        )


def fingerprint(manifest: Manifest, settings: Settings) -> str:
    """Equal for equal plans made by the same version: manifest, overrides and limit. 64 hex digits."""
    made_from = {
        "manifest": manifest.sha256,
        "includes": dict(sorted(manifest.includes.items())),
        "profile": manifest.profile.model_dump(mode="json"),
        "batch_id": manifest.batch_id,
        "params": dict(settings.params),
        "file_prefix": settings.file_prefix,
        "limit": settings.limit,
        **({"only_new": settings.against} if settings.only_new else {}),
        "version": version("batchgen"),
    }
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


#: The keys that were found in this process, to be kept out of what is said when all else fails.
_found: set[str] = set()


def keep_secret(text: str) -> None:
    """Keep one more text out of what is said when all else fails."""
    _found.add(text)


def without_keys(text: str) -> str:
    """The text with every API key that was found so far replaced."""
    from batchgen.adapters.http_api.wording import Wording

    for key in _found:
        text = Wording(key).without_secret(text)
    return text


def find_key(profile: Profile) -> str:
    """The API key, from the environment or from the file that the environment names.

    Raises:
        KeyMissing: there is none.
        UsageError: the key file cannot be read, or others can.
    """
    if profile.simulated:
        return SIMULATOR_KEY
    variable = profile.key.variable
    if (key := _key_in(variable)) is None:
        raise KeyMissing(host=profile.base_url, variable=variable)
    return key


def find_notify_key() -> str | None:
    """The key by which notifications are signed, found as the API's is; None if there is none.

    Raises:
        UsageError: the key file cannot be read, or others can.
    """
    return _key_in("BATCHGEN_NOTIFY_KEY")


def _key_in(variable: str) -> str | None:
    key = os.environ.get(variable, "").strip()
    if not key and (named := os.environ.get(f"{variable}_FILE", "").strip()):
        key = _read_key(Path(named), f"{variable}_FILE")
    if not key:
        return None
    _found.add(key)
    return key


def _read_key(path: Path, variable: str) -> str:
    try:
        if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UsageError(f"{variable} names {path}, which others may read. Run `chmod 600 {path}` first.")
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{variable} names {path}, which cannot be read: {error}. Name a file with the key."
        ) from error
    if not key:
        raise UsageError(f"{variable} names {path}, which is empty. Put the API key into it.")
    return key
