"""What every format of an export is: one small interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

from batchgen.export.source import Source
from batchgen.export.working import Working


class Format(Protocol):
    """A form that other programs take datasets in; a dataclass, whose fields are the options it has."""

    #: What the user calls it.
    NAME: ClassVar[str]
    #: Whether it holds the images; one that does not takes rows without an image, too.
    HOLDS_IMAGES: ClassVar[bool] = True

    def check(self, source: Source) -> None:
        """Refuse what cannot be, before anything is written.

        Raises:
            UsageError: the options do not fit the batch.
        """

    def write(self, source: Source, working: Working) -> Mapping[str, int]:
        """Write all of it, going on with what is there already. The same source gives the same bytes.

        Returns:
            split -> images, rows or pairs that it has.

        Raises:
            UsageError: what shows only now.
            StorageFailed: an image cannot be read, or the disk does not take the export.
        """
