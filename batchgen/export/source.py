"""What is exported: the chosen rows of a batch, and their pictures, in order and a few at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b, sha256
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
import pyarrow as pa

from batchgen import index
from batchgen.errors import StorageFailed, UsageError
from batchgen.export.pictures import Change, Picture
from batchgen.export.selection import Row, Selection
from batchgen.model import BatchFacts

A = TypeVar("A")
B = TypeVar("B")

#: What is told of the progress: images, or rows, since the last time.
Tick = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A batch as an export sees it."""

    folder: Path  #: the batch folder
    selection: Selection
    change: Change
    tick: Tick

    @cached_property
    def facts(self) -> BatchFacts:
        """What is true of the whole batch."""
        return index.read_facts(self.selection.path)[0]

    @cached_property
    def schema(self) -> pa.Schema:
        """The index's columns."""
        return index.read_schema(self.selection.path)

    @property
    def counts(self) -> Mapping[str, int]:
        """Rows of each split."""
        return self.selection.counts

    def rows(self, split: str | None = None) -> Iterator[Row]:
        """The rows of a split, or of all, in order."""
        for row in self.selection.rows(split):
            self.tick(1)
            yield row

    def pictures(self, split: str, *, skip: int = 0) -> Iterator[tuple[Row, Picture]]:
        """The rows of a split but for the first few, each with its picture; the columns say what the picture is."""
        self.tick(skip)
        for row, picture in ahead(self._with_picture, self.selection.rows(split, skip=skip)):
            self.tick(1)
            yield row | picture.facts(), picture

    def picture(self, row: Row) -> Picture:
        """The picture of a row.

        Raises:
            StorageFailed: its file is not there, or not as it was stored.
        """
        return self.change.apply(self._content(row), row)

    def intact_files(self, split: str) -> Iterator[tuple[Row, Path]]:
        """The rows of a split, each with its image file, which is as it was stored.

        Raises:
            StorageFailed: as `picture`.
        """
        for row in ahead(self._checked, self.selection.rows(split)):
            self.tick(1)
            yield row, self._file(row)

    def _checked(self, row: Row) -> Row:
        self._content(row)
        return row

    def _file(self, row: Row) -> Path:
        name = PurePosixPath(row["file_name"])
        if name.is_absolute() or ".." in name.parts:
            raise StorageFailed(f"The index names {row['file_name']}, which is not in the batch folder {self.folder}.")
        return self.folder / name

    def check_names(self) -> None:
        """
        Raises:
            UsageError: two images would have the same name.
        """
        rows = self.selection.survey(["file_name"])
        hashes = np.fromiter((_hash(stem(row).casefold()) for row in rows), np.uint64)
        if len(np.unique(hashes)) < len(hashes):
            raise UsageError(
                f"In {self.folder}, two images have names that differ only in their folder, case or dots. Rename one."
            )

    def _with_picture(self, row: Row) -> tuple[Row, Picture]:
        return row, self.picture(row)

    def _content(self, row: Row) -> bytes:
        try:
            content = self._file(row).read_bytes()
        except OSError as error:
            raise StorageFailed(
                f"The image {row['file_name']} is in the index, but cannot be read in {self.folder}: "
                f"{error.strerror or error}. Put it back, or leave it out with --where."
            ) from error
        if len(content) != row["bytes"] or sha256(content).hexdigest() != row["sha256"]:
            raise StorageFailed(
                f"The image {row['file_name']} in {self.folder} is not as it was stored: "
                "its hash is not that of the index. Put it back, or leave it out with --where."
            )
        return content


def stem(row: Row) -> str:
    """The name of a row's image in every export, without extension: as in the batch, and without dots.

    Readers of shards end a name at its first dot.
    """
    return PurePosixPath(row["file_name"]).name.rpartition(".")[0].replace(".", "-")


def ahead(make: Callable[[A], B], things: Iterable[A]) -> Iterator[B]:
    """`map` in as many threads as there are cores: in order, and never more than a few results ahead."""
    cores = os.cpu_count() or 1
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(cores, thread_name_prefix="export") as pool:
        try:
            for thing in things:
                waiting.append(pool.submit(make, thing))
                if len(waiting) > 2 * cores:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
