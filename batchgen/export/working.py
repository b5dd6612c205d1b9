"""The folder that an export grows in, so that each file of it is there whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from batchgen.errors import StorageFailed
from batchgen.flushing import flush_file, flush_folder

#: Folder of all that is needed only while an export grows; hidden.
MAKING = ".making"
_AT_A_TIME = 32  # files that are flushed to the disk


class Working:
    """The folder that an export grows in; each file of it is there whole or not at all."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._part = root / MAKING / "part"
        self._known: set[Path] = {root}

    def path(self, name: str) -> Path:
        """Where a file lies, in a folder that is there. *name* has forward slashes."""
        path = self.root / name
        if path.parent not in self._known:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._known.add(path.parent)
        return path

    def log(self, name: str) -> Log:
        """What an interrupted export says it has done, to be gone on with."""
        return Log(self.root / MAKING / f"{name}.jsonl")

    def put(self, name: str, content: bytes) -> None:
        """Write a small file."""
        path = self.path(name)
        self._part.write_bytes(content)
        self._part.replace(path)

    @contextlib.contextmanager
    def growing(self, name: str) -> Iterator[Path]:
        """A path to write a large file to; at the end of `with` it gets its name, and is safe on disk."""
        path, part = self.path(name), self._part.with_name("growing")
        yield part
        flush_file(part)
        part.replace(path)


class Log:
    """Objects in a file, one a line, of which only whole ones count."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Iterator[dict[str, Any]]:
        """What is there now, streamed; what a kill or a power cut left of a line, and all after it, is removed."""
        if not self._path.is_file():
            return iter(())
        with self._path.open("rb") as file:
            whole = sum(1 for _ in takewhile(_is_whole, file))
        self.keep(whole)
        return self._entries(whole)

    def keep(self, entries: int) -> None:
        """Forget all but the first few."""
        if self._path.is_file():
            with self._path.open("rb+") as file:
                file.truncate(sum(len(line) for line in islice(file, entries)))

    def _entries(self, lines: int) -> Iterator[dict[str, Any]]:
        with self._path.open("rb") as file:
            yield from map(json.loads, islice(file, lines))

    def append(self, **entry: Any) -> None:
        """Add an object."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict) and line.endswith(b"\n")
    except ValueError:
        return False


@contextlib.contextmanager
def disk(path: Path) -> Iterator[None]:
    """Errors of the disk, said as a sentence.

    Raises:
        StorageFailed: one happened.
    """
    try:
        yield
    except OSError as error:
        raise StorageFailed(
            f"The export cannot be written: {error.strerror or error} ({error.filename or path}). "
            "Nothing half-made is at its destination; mend that and run the same command again to go on."
        ) from error


def flush(folder: Path) -> None:
    """Make all that is in a folder survive a power cut: many files at a time, which is as quick as the disk."""
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for place, _, names in os.walk(folder):
            paths = [Path(place, name) for name in names]
            deque(pool.map(flush_file, [path for path in paths if not path.is_symlink()]), maxlen=0)
            flush_folder(Path(place))
