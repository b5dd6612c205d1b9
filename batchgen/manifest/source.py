"""The files of a manifest: found, hashed, and known to be text before anything reads them."""

from __future__ import annotations

import codecs
import glob
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import BinaryIO

from batchgen.errors import ManifestError, Problem, UsageError
from batchgen.manifest.problems import Refused

#: What a manifest's file name ends in.
DOCUMENTS = (".yaml", ".yml")
SEPARATED = (".csv", ".tsv")
TABLES = (*SEPARATED, ".jsonl", ".txt", ".parquet")
#: Bytes of a YAML manifest, which is held in memory; tables may be of any size.
LARGEST_DOCUMENT = 64 * 2**20
#: Bytes of a file of values, or of templates, which is held in memory.
LARGEST_LIST = 16 * 2**20
_BLOCK = 2**16  # bytes read at once
_COMMENT = re.compile(r"#+(\s|$)")  # #ff0000 is none
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file that was read to its end once."""

    path: Path
    named: str  #: as messages name it
    sha256: str  #: of its bytes; 64 hex digits
    encoding: str = "utf-8"

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
                yield from _lines(file, self.encoding, digest.update)
            except OSError as error:
                raise _unreadable(self.path, error) from error
            except UnicodeError as error:
                raise self.changed() from error
        if digest.hexdigest() != self.sha256:
            raise self.changed()

    def values(self) -> Iterator[tuple[int, str]]:
        """What its lines say, with their numbers; empty lines and `# comments` are left out. Any line end counts."""
        number = 0
        for line in self.lines():
            for text in line.removesuffix("\n").removesuffix("\r").split("\r"):
                number += 1
                if (said := text.strip()) and not _COMMENT.match(said):
                    yield number, said

    def must_be_unchanged(self) -> None:
        """For who has read it in another way than in lines.

        Raises:
            UsageError: it cannot be read, or has changed since it was first read.
        """
        with _opened(self.path) as file:
            try:
                if _digest(file) != self.sha256:
                    raise self.changed()
            except OSError as error:
                raise _unreadable(self.path, error) from error

    def changed(self) -> UsageError:
        """To be raised where another reading finds something else than the first."""
        return UsageError(f"{self.named} changed while it was being read. Run the same command again.")


def _lines(file: BinaryIO, encoding: str, seen: Callable[[bytes], object]) -> Iterator[str]:
    """The lines of a file; `seen` is told its bytes."""
    decoder = codecs.getincrementaldecoder(encoding)()
    begun: list[str] = []  # of a line that has not ended
    mark = "\ufeff"
    while block := file.read(_BLOCK):
        seen(block)
        text = decoder.decode(block)
        if text:  # some decoders leave the byte order mark in
            text, mark = text.removeprefix(mark), ""
        first, *others = text.split("\n")
        begun.append(first)
        if others:
            yield "".join(begun) + "\n"
            begun = [others.pop()]
            yield from (f"{line}\n" for line in others)
    begun.append(decoder.decode(b"", final=True))
    if last := "".join(begun):
        yield last


class Reach:
    """The files that a manifest may read besides itself: those in its folder, and in folders that the user allows.

    Args:
        folder: of the manifest; names are relative to it.
        allowed: further folders.
    """

    def __init__(self, folder: Path, allowed: Sequence[Path] = ()) -> None:
        self._folder = folder
        self._roots = [root.resolve() for root in (folder, *allowed)]
        self.read: dict[str, str] = {}  #: what was read, as it was named, and the SHA-256 of each

    def tables(self, named: str, *, encoding: str | None = None) -> list[Source]:
        """The tables of a name, which may be a pattern like `prompts/*.csv`; at least one, sorted by name.

        Args:
            encoding: None for UTF-8, or what a byte order mark says.

        Raises:
            Refused: there is none, or one may not be read.
            ManifestError: one is not the text that it should be.
        """
        found = [self._table(path, encoding) for path in self._matching(named)]
        if not found:
            raise Refused(f"file: no file is called like {named}.", "Name it relative to the manifest.")
        return found

    def values(self, named: str) -> tuple[str, ...]:
        """The values in a text file, one a line; empty lines and `# comments` are left out.

        Raises:
            Refused: no such file, none that may be read, or nothing in it.
            ManifestError: it is not text.
        """
        if Path(named).suffix.lower() in TABLES and Path(named).suffix.lower() != ".txt":
            raise Refused(f"file: {named} is a table; values stand in a .txt file.", "Its rows go under prompts.")
        source = self._source(self._folder / named, named, None, largest=LARGEST_LIST)
        values = tuple(text for _, text in source.values())
        if not values:
            raise Refused(f"file: {named} holds no values.", "Write one a line.")
        return values

    def _matching(self, named: str) -> list[Path]:
        plain = self._folder / named
        try:
            if not glob.has_magic(named) or plain.is_file():
                return [plain]
            parts = Path(named).parts
            fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
            root = self._folder.joinpath(*parts[:fixed])
            self._must_reach(root, named)  # before anything is walked through
            found = root.glob(str(Path(*parts[fixed:])))
            return sorted({path.resolve(): path for path in found if _is_meant(path, root)}.values())
        except (OSError, ValueError, NotImplementedError) as error:
            if isinstance(error, Refused):
                raise
            raise Refused(f"file: {named} cannot be looked up: {error}.") from error

    def _must_reach(self, path: Path, named: str) -> None:
        resolved = path.resolve()
        if not any(resolved.is_relative_to(root) for root in self._roots):
            hint = "Move it beside the manifest, or allow its folder with --files-from."
            raise Refused(f"file: {named} lies outside of the manifest's folder.", hint)

    def _table(self, path: Path, encoding: str | None) -> Source:
        named = path.relative_to(self._folder).as_posix() if path.is_relative_to(self._folder) else str(path)
        if path.suffix.lower() not in TABLES:
            kinds = ", ".join(TABLES)
            raise Refused(f"file: {named} is no table; its name must end in {kinds}.", "Rename the file.")
        return self._source(path, named, encoding, largest=None)

    def _source(self, path: Path, named: str, encoding: str | None, *, largest: int | None) -> Source:
        try:
            self._must_reach(path, named)
            if largest is not None and path.stat().st_size > largest:
                raise Refused(f"file: {named} is larger than {largest // 2**20} MB.")
            if not path.is_file():
                raise Refused(f"file: {named} cannot be read: {_why_no_file(path)}.", _nearest(path, named))
            source = _read_once(path, str(path), encoding)
        except (OSError, ValueError, UsageError) as error:
            if isinstance(error, Refused | ManifestError):
                raise
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise Refused(f"file: {named} cannot be read: {reason}.", "Name it relative to the manifest.") from error
        self.read[named] = source.sha256
        return source


def _is_meant(path: Path, root: Path) -> bool:
    """Whether a pattern means that file: not if it is hidden, or the lock of an open spreadsheet."""
    hidden = any(part.startswith((".", "~$")) for part in path.relative_to(root).parts)
    return not hidden and path.is_file()


def _why_no_file(path: Path) -> str:
    return "it is no regular file" if path.exists() else "No such file or directory"


def _nearest(path: Path, named: str) -> str:
    meant = _similar(path)
    return f"Did you mean {Path(named).with_name(meant)}?" if meant else "Name it relative to the manifest."


def find(path: Path) -> Source:
    """The manifest file at *path*.

    Raises:
        UsageError: there is none, it is of another kind, or it is not text.
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
    return _read_once(path, str(path), None)


def _read_once(path: Path, named: str, encoding: str | None) -> Source:
    """A file, hashed to its end; one that is to be text is text, and there is something in it.

    Args:
        encoding: None for UTF-8, or what a byte order mark says.
    """
    digest = hashlib.sha256()
    with _opened(path) as file:
        try:
            if path.suffix.lower() == ".parquet":
                return Source(path=path, named=named, sha256=_digest(file))
            spoken = encoding or _sniffed(file)
            _check(_lines(file, spoken, digest.update), named, spoken)
        except OSError as error:
            raise _unreadable(path, error) from error
    return Source(path=path, named=named, sha256=digest.hexdigest(), encoding=spoken)


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _sniffed(file: BinaryIO) -> str:
    """What a byte order mark says, else UTF-8."""
    head = file.read(3)
    file.seek(0)
    return next((encoding for mark, encoding in _BOMS.items() if head.startswith(mark)), "utf-8")


def _check(lines: Iterator[str], named: str, encoding: str) -> None:
    number, empty = 0, True
    try:
        for number, line in enumerate(lines, start=1):
            if "\0" in line:
                message = "the file has a NUL character in it; it is damaged, or not a text file."
                hint = "If it is UTF-16, name that beside file:, like encoding: utf-16-le."
                raise ManifestError([Problem(source=named, line=number, message=message, hint=hint)])
            empty = empty and not line.strip()
    except UnicodeDecodeError as error:
        raise ManifestError([_not_text(named, number, encoding, error)]) from error
    except UnicodeError as error:  # of some codecs, without a place
        message = f"the file is not {encoding.upper()} text: {error}."
        raise ManifestError([Problem(source=named, message=message)]) from error
    if empty:
        hint = "Write at least one prompt into it."
        raise ManifestError([Problem(source=named, message="the file is empty.", hint=hint)])


def _not_text(named: str, lines: int, encoding: str, error: UnicodeDecodeError) -> Problem:
    line = lines + error.object[: error.start].count(b"\n") + 1
    message = f"the file is not {encoding.removesuffix('-sig').upper()} text: byte 0x{error.object[error.start]:02x}."
    hint = "Save it as UTF-8 (in spreadsheets: `CSV UTF-8`), or name its encoding beside file:, like encoding: cp1252."
    return Problem(source=named, line=line, message=message, hint=hint)


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
    meant = _similar(path)
    return f"Did you mean {path.parent / meant}?" if meant else "Check the name."


def _similar(path: Path) -> str | None:
    """The name of a file in the same folder of which *path* is probably a misspelling."""
    if not path.parent.is_dir():
        return None
    names = {entry.name.lower(): entry.name for entry in path.parent.iterdir() if entry.is_file()}
    found = get_close_matches(path.name.lower(), names, n=1, cutoff=0.6)
    return names[found[0]] if found else None
