"""Who came first with a name: the one thing about a plan that has to be remembered for every request. Pure."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self


class Firsts(Protocol):
    """For each name, who came with it first. Exact, whatever the number of names. Closed by leaving its context."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def meet(self, name: str, who: str) -> str | None:
        """Who came with that name before; None if nobody did, and then *who* is remembered."""

    def find(self, name: str) -> str | None:
        """Who came with that name; None if nobody did."""


class FirstsInMemory:
    """All of them in memory: for plans that are known to be small."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._known.clear()

    def meet(self, name: str, who: str) -> str | None:
        """See `Firsts`."""
        earlier = self._known.get(name)
        if earlier is None:
            self._known[name] = who
        return earlier

    def find(self, name: str) -> str | None:
        """See `Firsts`."""
        return self._known.get(name)
