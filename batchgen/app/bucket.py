"""An object store as a remote: files are put there one by one, and the export is whole once its marker says so.

Object stores rename nothing, so the marker is put first without counts, and last with them. Objects beside a marker of
the same export are its own: its bytes are always the same, so one of the right length stays.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from batchgen.errors import StorageFailed, UsageError
from batchgen.export.destination import MARKER
from batchgen.export.source import Tick

#: Put last, in this order, so that no loader finds a header whose files are not there.
_LAST = ("README.md", MARKER)
#: Files, and bytes unless a file has more, that are on their way at one time: most of the time is the store's.
_AT_A_TIME, _BYTES_AT_A_TIME = 32, 64 * 2**20


def together(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """The names in order, as many at a time as may be on their way together."""
    some: list[str] = []
    total = 0
    for name, size in sizes.items():
        if some and (len(some) == _AT_A_TIME or total + size > _BYTES_AT_A_TIME):
            yield some
            some, total = [], 0
        some.append(name)
        total += size
    if some:
        yield some


class Bucket:
    """`s3://bucket/name`, through fsspec and s3fs; see `pushing.Remote`."""

    def __init__(self, dest: str) -> None:
        self._dest = dest
        try:
            from fsspec.core import url_to_fs

            self._files, root = url_to_fs(dest)
        except ImportError as error:
            raise UsageError(f"{dest}: that needs s3fs. Run pip install 'batchgen[s3]' first.") from error
        if "/" not in root.strip("/"):
            raise UsageError(f"{dest} is a whole bucket. Name a place in it, such as {dest.rstrip('/')}/animals.")
        self._root = root.rstrip("/")

    def look(self) -> None:
        """Refuse a place where something lies that is no export, before one is made."""
        with self._reached():
            there = self._sizes()
        if there and MARKER not in there and self._root not in there:
            raise self._something_else()

    def put(self, made: Mapping[str, Path], begun: Callable[[int], Tick]) -> bool:
        """Put the files there, but for those that are."""
        with self._reached():
            if "" in made:
                return self._put_file(made[""])
            return self._put_folder(made, begun(len(made)))

    def _put_file(self, made: Path) -> bool:
        there = self._sizes()
        if not there:
            self._files.put_file(str(made), self._root)
            return False
        if self._root not in there or bytes(self._files.cat_file(self._root)) != made.read_bytes():
            raise self._something_else()
        return True

    def _put_folder(self, made: Mapping[str, Path], tick: Tick) -> bool:
        whole = json.loads(made[MARKER].read_text(encoding="utf-8"))
        there = self._sizes()
        found = json.loads(self._files.cat_file(f"{self._root}/{MARKER}")) if MARKER in there else {}
        if found == whole:
            return True
        begun = {**whole, "rows": {}}
        if there and found != begun:
            raise self._something_else()
        self._files.pipe_file(f"{self._root}/{MARKER}", json.dumps(begun).encode())
        sizes = {name: made[name].stat().st_size for name in sorted(made) if name not in _LAST}
        missing = {name: size for name, size in sizes.items() if there.get(name) != size}
        tick(len(sizes) - len(missing))
        for some in together(missing):
            self._files.put([str(made[name]) for name in some], [f"{self._root}/{name}" for name in some])
            tick(len(some))
        for name in (name for name in _LAST if name in made):
            self._files.put_file(str(made[name]), f"{self._root}/{name}")
            tick(1)
        return False

    def _sizes(self) -> dict[str, int]:
        self._files.invalidate_cache()
        found: dict[str, dict[str, Any]] = self._files.find(self._root, detail=True)
        return {name.removeprefix(f"{self._root}/"): int(about["size"]) for name, about in found.items()}

    def _something_else(self) -> UsageError:
        return UsageError(f"{self._dest} holds something else. Nothing was changed; name another place or remove it.")

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError  # of credentials and connections; s3fs passes it on

        try:
            yield
        except (OSError, ValueError, BotoCoreError) as error:
            raise StorageFailed(
                f"{self._dest} cannot be written: {error}. What is there is no whole export yet; mend that, and the "
                "same command goes on."
            ) from error
