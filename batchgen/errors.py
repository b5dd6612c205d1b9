"""What can go wrong, sorted by what to do about it.

    BatchgenError
    ├── UsageError            mend the command or the manifest         exit 2
    │   └── ManifestError     every problem of a manifest at once
    ├── AccountBlocked        mend the key or the credit               exit 4
    │   ├── KeyMissing
    │   ├── KeyRejected
    │   └── CreditExhausted
    ├── StorageFailed         mend the disk or the journal             exit 5
    ├── FolderBusy            wait for the other run                   exit 7
    │   ├── HeldElsewhere     the same, on another machine most likely
    │   └── ExportBusy        wait for the other export
    └── APIError              one call went wrong; the policy decides
        ├── RequestRefused    surely not accepted, and never will be
        ├── TryLater          surely not accepted, but may be later
        ├── AnswerInDoubt     may have been accepted, and paid for
        └── ResultUnavailable the image cannot be had from this link

Foreign errors (sockets, SQLite, Pillow, YAML) are translated into these where they enter, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import ClassVar


class BatchgenError(Exception):
    """Anything that batchgen raises on purpose; the message says where, what, and what to do next."""

    exit_code: ClassVar[int] = 1


class UsageError(BatchgenError):
    """The command or what it names cannot be carried out as written."""

    exit_code = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with a manifest, and how to mend it."""

    source: str  #: the file, as the user named it
    line: int | None = None  #: 1-based; None where the whole file is meant
    message: str  #: what is wrong and what is allowed
    hint: str | None = None  #: what to write instead

    def __str__(self) -> str:
        where = self.source if self.line is None else f"{self.source}:{self.line}"
        return f"{where}: {self.message}" + (f" {self.hint}" if self.hint else "")


class ManifestError(UsageError):
    """A manifest that cannot be planned. Holds the problems found, in the order of the file.

    Args:
        unlisted: how many more were found than are held.
    """

    SHOWN: ClassVar[int] = 50

    def __init__(self, problems: Sequence[Problem], *, unlisted: int = 0) -> None:
        self.problems = tuple(problems)
        self.unlisted = unlisted
        super().__init__(*self.problems)

    @property
    def found(self) -> int:
        """How many problems there are."""
        return len(self.problems) + self.unlisted

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[: self.SHOWN]]
        if self.found > len(lines):
            lines.append(f"… and {self.found - len(lines):,} more problems.")
        return "\n".join(lines)


class AccountBlocked(BatchgenError):
    """Nothing more will be accepted until the account is mended."""

    exit_code = 4


class KeyMissing(AccountBlocked):
    """No API key was given."""

    def __init__(self, *, host: str, variable: str) -> None:
        super().__init__(
            f"{host} needs an API key and {variable} is not set. Nothing was sent; "
            f"run `export {variable}=…` and then the same command again."
        )


class KeyRejected(AccountBlocked):
    """The API does not accept the key; nothing will work until it is replaced."""

    def __init__(self, *, host: str, variable: str, answer: str) -> None:
        super().__init__(
            f"{host} does not accept the API key in {variable} ({answer}). "
            "Nothing more was submitted; set a valid key and run the same command again."
        )


class CreditExhausted(AccountBlocked):
    """The account has no credit left."""

    def __init__(self, *, host: str, answer: str) -> None:
        super().__init__(
            f"{host} reports that the account has no credit left ({answer}). "
            "Nothing more was submitted; add credit and run the same command again."
        )


class StorageFailed(BatchgenError):
    """The batch folder cannot be read or written as it must be."""

    exit_code = 5


class FolderBusy(BatchgenError):
    """Another run holds the batch folder."""

    exit_code = 7

    def __init__(self, folder: object) -> None:
        super().__init__(
            f"Another run is working in {folder}. Nothing was sent; "
            f"watch it with `batchgen status {folder}`, or run again when it has ended."
        )


class StillPlanning(FolderBusy):
    """A run has not got past planning, so nobody knows what its batch will ask for."""

    def __init__(self, folder: object) -> None:
        BatchgenError.__init__(
            self,
            f"A run is still planning in {folder}, so nobody knows yet what it will ask for. Nothing was sent; "
            f"run the same command again in a moment, or have a run wait for it with --wait-lock 10m.",
        )
        self.folder = folder


class HeldElsewhere(FolderBusy):
    """A run holds the batch folder without its lock: on another machine, or because the lock was deleted.

    Args:
        since: when it began.
        silence: seconds that it takes until a run that was killed counts as gone.
    """

    def __init__(self, folder: object, *, host: str, pid: int, since: str, silence: float) -> None:
        BatchgenError.__init__(
            self,
            f"A run on {host} (process {pid}, since {since}) is working in {folder}. Nothing was sent; wait for it. "
            f"If it was killed, run the same command again in {silence:.0f} s.",
        )


class ExportBusy(FolderBusy):
    """Another export writes to the same place."""

    def __init__(self, destination: object) -> None:
        BatchgenError.__init__(
            self, f"Another export is writing {destination}. Nothing was changed; wait for it, or name another place."
        )


class APIError(BatchgenError):
    """One call to the API or to an image host went wrong.

    Args:
        message: the API's own words where it gave any, cut and without secrets.
        http_status: of the answer; None if there was none.
        code: the API's machine-readable code, if it sent one.
        response: the answer's body as JSON text, cut and without secrets; None if there was none.
    """

    def __init__(
        self, message: str, *, http_status: int | None = None, code: str | None = None, response: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.http_status = http_status
        self.code = code
        self.response = response


class RequestRefused(APIError):
    """Surely not accepted, and the same request never will be (a 4xx that names the input)."""


class TryLater(APIError):
    """Surely not accepted, but may be at another time: 429, 503 with Retry-After, no connection.

    Args:
        retry_after: seconds the API asks to wait; None if it did not say.
        crowded: True if the API said that too much is in flight, so that less should be.
    """

    def __init__(
        self,
        message: str,
        *,
        http_status: int | None = None,
        code: str | None = None,
        response: str | None = None,
        retry_after: float | None = None,
        crowded: bool = False,
    ) -> None:
        super().__init__(message, http_status=http_status, code=code, response=response)
        self.retry_after = retry_after
        self.crowded = crowded


class AnswerInDoubt(APIError):
    """The request may have reached the API, and may be paid for, but its answer was lost.

    Args:
        job_id: what there is of an answer names this; it may be the job, and to ask about it costs nothing.
    """

    def __init__(
        self,
        message: str,
        *,
        http_status: int | None = None,
        code: str | None = None,
        response: str | None = None,
        job_id: str | None = None,
    ) -> None:
        super().__init__(message, http_status=http_status, code=code, response=response)
        self.job_id = job_id


class Came(Enum):
    """What came instead of the image that was wanted."""

    SPOILT = auto()  # no whole image
    OTHER = auto()  # a whole one, and another than was asked for


class ResultUnavailable(APIError):
    """A link did not give a usable image.

    Args:
        permanent: True if asking the same link again is pointless: 410, broken bytes, a refused address. A 404 may
            be an image that is not there yet.
        came: what came that is not the image wanted; what lies there may yet become it.
        begins: how that begins, if it is text; secrets may be in it.
    """

    def __init__(
        self,
        message: str,
        *,
        http_status: int | None = None,
        permanent: bool = False,
        came: Came | None = None,
        begins: str | None = None,
    ) -> None:
        super().__init__(message, http_status=http_status)
        self.permanent = permanent
        self.came = came
        self.begins = begins
