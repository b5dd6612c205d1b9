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

#: Put last, so that no loader finds a header whose files are not there.
_LAST = ("README.md", MARKER)


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
        for name in sorted(made, key=lambda name: (name in _LAST, name == MARKER, name)):
            if there.get(name) != made[name].stat().st_size or name == MARKER:
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
