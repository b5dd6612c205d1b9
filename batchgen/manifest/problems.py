"""Everything that is wrong with a manifest, gathered so that it can be mended in one go."""

from __future__ import annotations

from copy import copy

from batchgen.errors import ManifestError, Problem

#: Problems kept in memory; more are only counted.
KEPT = 1_000
#: Stands for the file in problems of what was said over the manifest.
OVERRIDE = "override"
_LONGEST = 500  # characters of a message; values in it may be of any length


class Refused(ValueError):
    """Something is not allowed; says what is, and what to write instead."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Problems:
    """The problems of one manifest. The same words at the same line count once.

    Args:
        source: the file, as the user named it.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._found: dict[Problem, None] = {}
        self._unlisted = [0]  # shared, as the found ones are

    def __len__(self) -> int:
        return len(self._found) + self._unlisted[0]

    def of(self, source: str) -> Problems:
        """The same problems, to which those of another file are added."""
        other = copy(self)
        other.source = source
        return other

    def add(self, line: int | None, message: str, hint: str | None = None, *, source: str | None = None) -> None:
        """Note one.

        Args:
            line: 1-based; None where the whole file is meant.
            source: where it stands, if not in the file.
        """
        if len(message) > _LONGEST:
            message = f"{message[:_LONGEST]}…"
        problem = Problem(source=source or self.source, line=line, message=message, hint=hint)
        if problem in self._found:
            return
        if len(self._found) < KEPT:
            self._found[problem] = None
        else:
            self._unlisted[0] += 1

    def refuse(self, line: int | None, refusal: Refused) -> None:
        """Note what was refused."""
        self.add(line, refusal.message, refusal.hint)

    def include(self, error: ManifestError) -> None:
        """Note those of another file."""
        for problem in error.problems:
            self.add(problem.line, problem.message, problem.hint, source=problem.source)
        self._unlisted[0] += error.unlisted

    def fatal(self, line: int | None, message: str, hint: str | None = None) -> ManifestError:
        """One that makes reading on pointless, with all that was found before it; to be raised."""
        self.add(line, message, hint)
        return self.error()

    def error(self) -> ManifestError:
        """All of them, file by file as they came, in each by line."""
        sources = dict.fromkeys([OVERRIDE, *(found.source for found in self._found)])
        files = {source: place for place, source in enumerate(sources)}
        found = sorted(self._found, key=lambda problem: (files[problem.source], problem.line or 0))
        return ManifestError(found, unlisted=self._unlisted[0])

    def raise_any(self) -> None:
        """
        Raises:
            ManifestError: there are any.
        """
        if self._found:
            raise self.error()
