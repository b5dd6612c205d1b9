"""The manifest's file: found, hashed, and known to be UTF-8 text before anything reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import BinaryIO

from batchgen.errors import ManifestError, Problem, UsageError
from batchgen.manifest.problems import Refused

#: What a manifest's file name ends in.
DOCUMENTS = (".yaml", ".yml")
TABLES = (".csv", ".tsv")
#: Bytes of a YAML manifest, which is held in memory; tables may be of any size.
LARGEST_DOCUMENT = 64 * 2**20
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A manifest file that was read to its end once."""

    path: Path
    named: str  #: as the user wrote it
    sha256: str  #: of its bytes; 64 hex digits

    @property
    def kind(self) -> str:
        """Its extension in lower case, one of DOCUMENTS or TABLES."""
        return self.path.suffix.lower()

    def text(self) -> str:
        """All of it, without byte order mark.

        Raises:
            UsageError: it cannot be read, or has changed since it was first read.
        """
        return "".join(self.lines())

    def lines(self) -> Iterator[str]:
        """Its lines with their ends, without byte order mark; as `\\n` ends them.

        Raises:
            UsageError: it cannot be read, or has changed since it was first read.
        """
        digest = hashlib.sha256()
        with _opened(self.path) as file:
            try:
                first = file.readline()
                digest.update(first)
                yield first.removeprefix(_BOM).decode()
                for raw in file:
                    digest.update(raw)
                    yield raw.decode()
            except OSError as error:
                raise _unreadable(self.path, error) from error
            except UnicodeDecodeError as error:
                raise self._changed() from error
        if digest.hexdigest() != self.sha256:
            raise self._changed()

    def _changed(self) -> UsageError:
        return UsageError(f"{self.named} changed while it was being read. Run the same command again.")


#: Bytes of a file of values, which is held in memory.
_LARGEST_LIST = 16 * 2**20


def read_lines(folder: Path, named: str) -> tuple[tuple[str, ...], str]:
    """The values in a text file, one a line, and the SHA-256 of its bytes; empty lines and `# comments` are left out.

    Args:
        folder: of the manifest; a file outside of it is not read.
        named: relative to the folder.

    Raises:
        Refused: no such file, none that may be read, or nothing in it.
    """
    path = folder / named
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise Refused(f"file: {named} lies outside of the manifest's folder.", "Move it beside the manifest.")
        if path.stat().st_size > _LARGEST_LIST:
            raise Refused(f"file: {named} is larger than {_LARGEST_LIST // 2**20} MB.")
        raw = path.read_bytes()
        lines = (line.strip() for line in raw.removeprefix(_BOM).decode().splitlines())
    except UnicodeDecodeError as error:
        raise Refused(f"file: {named} is not UTF-8 text.", "Save it as UTF-8.") from error
    except (OSError, ValueError) as error:
        if isinstance(error, Refused):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise Refused(f"file: {named} cannot be read: {reason}.", "Name it relative to the manifest.") from error
    values = tuple(line for line in lines if line and not line.startswith("#"))
    if not values:
        raise Refused(f"file: {named} holds no values.", "Write one a line.")
    return values, hashlib.sha256(raw).hexdigest()


def find(path: Path) -> Source:
    """The manifest file at *path*.

    Raises:
        UsageError: there is none, it is of another kind, or it is not UTF-8 text.
    """
    _must_be_a_file(path)
    if path.suffix.lower() not in DOCUMENTS + TABLES:
        kinds = ", ".join(DOCUMENTS + TABLES)
        raise UsageError(
            f"{path}: a manifest's name ends in {kinds}, not {path.suffix or 'nothing'!r}. Rename the file."
        )
    if path.suffix.lower() in DOCUMENTS and path.stat().st_size > LARGEST_DOCUMENT:
        megabytes = LARGEST_DOCUMENT // 2**20
        raise UsageError(
            f"{path}: a YAML manifest of more than {megabytes} MB. Put that many prompts into a .csv file."
        )
    with _opened(path) as file:
        try:
            return Source(path=path, named=str(path), sha256=_checked(file, str(path)))
        except OSError as error:
            raise _unreadable(path, error) from error


def _checked(file: BinaryIO, named: str) -> str:
    """The SHA-256 of a file that is UTF-8 text without NUL."""
    digest = hashlib.sha256()
    empty = True
    for number, raw in enumerate(file, start=1):
        digest.update(raw)
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            raise ManifestError([_not_utf8(named, number, raw, error)]) from error
        if b"\0" in raw:
            message = "the file has a NUL character in it; it is damaged, or not a text file."
            raise ManifestError([Problem(source=named, line=number, message=message)])
        empty = empty and not raw.removeprefix(_BOM).strip()
    if empty:
        hint = "Write at least one prompt into it."
        raise ManifestError([Problem(source=named, message="the file is empty.", hint=hint)])
    return digest.hexdigest()


def _not_utf8(named: str, line: int, raw: bytes, error: UnicodeDecodeError) -> Problem:
    found = f"byte 0x{raw[error.start]:02x}"
    if line == 1 and raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        found = "it looks like UTF-16"
    hint = "Save it as UTF-8 (in spreadsheets: `CSV UTF-8`)."
    return Problem(source=named, line=line, message=f"the file is not UTF-8 text: {found}.", hint=hint)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path} cannot be read: {error.strerror or error}.")


def _must_be_a_file(path: Path) -> None:
    try:
        if path.is_file():
            return
        if path.is_dir():
            names = [entry.name for entry in sorted(path.iterdir()) if entry.suffix.lower() in DOCUMENTS + TABLES]
            hint = f"Name a file in it, such as {path / names[0]}." if names else "Name a file."
            raise UsageError(f"{path} is a folder, not a manifest. {hint}")
        if path.exists():
            raise UsageError(
                f"{path} is not a regular file. A manifest is read more than once; save it to a file first."
            )
        raise UsageError(f"{path}: there is no such file. {_instead(path)}")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path!s}: cannot be looked up: {error}.") from error


def _instead(path: Path) -> str:
    if not path.parent.is_dir():
        return f"There is no folder {path.parent} either."
    names = {entry.name.lower(): entry.name for entry in path.parent.iterdir() if entry.is_file()}
    found = get_close_matches(path.name.lower(), names, n=1, cutoff=0.6)
    return f"Did you mean {path.parent / names[found[0]]}?" if found else "Check the name."
