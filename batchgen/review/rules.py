"""What readers of a dataset demand of a batch folder, as far as it can be told without them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import yaml

from batchgen import index
from batchgen.model import INDEX_NAME, Status
from batchgen.review.card import loader
from batchgen.review.counting import count

#: The Hub takes fewer entries of a folder than this, and fewer files of a repository than that.
MOST_ENTRIES, MOST_FILES = 10_000, 100_000
_OTHER_TABLES = ("metadata.csv", "metadata.jsonl")
_NAMED = 5
_HEADER = re.compile(r"---\n(.*?)^---$", re.DOTALL | re.MULTILINE)


def one_table(folder: Path) -> str | None:
    """Loaders take no second kind of table beside the index."""
    there = [name for name in _OTHER_TABLES if (folder / name).exists()]
    return f"{', '.join(there)} beside {INDEX_NAME}: remove it" if there else None


def plain_names(folder: Path) -> str | None:
    """The names of files are relative, with forward slashes, and stay within the folder."""
    return _listed(name for name in _names(folder) if not is_plain(name))


def files_are_there(folder: Path) -> str | None:
    """Every file that is named is there."""
    return _listed(name for name in _names(folder) if not (folder / name).is_file())


def images_have_names(folder: Path) -> str | None:
    """A row has the name of a file if it is stored, and null if it is not."""
    rows = index.read(folder / INDEX_NAME, ["status", "file_name", "request_key"])
    wrong = (row["request_key"] for row in rows if (row["status"] == Status.STORED) != (row["file_name"] is not None))
    return _listed(wrong)


def every_column_has_a_type(folder: Path) -> str | None:
    """A column without any value has its type all the same."""
    return _listed(field.name for field in index.read_schema(folder / INDEX_NAME) if str(field.type) == "null")


def splits_are_not_guessed(folder: Path) -> str | None:
    """The header of the card says which files are which split, so that no word in a name does."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    found = _HEADER.match(text)
    try:
        header = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        header = None
    if not isinstance(header, dict):
        return "README.md has no header"
    wanted = [loader(count(folder / INDEX_NAME))]
    return None if header.get("configs") == wanted else "the header of README.md is not that of this index"


def few_files(folder: Path) -> str | None:
    """The Hub takes no more files of a folder, and of a repository."""
    counts = Counter(str(PurePosixPath(name).parent) for name in _names(folder))
    full = [f"{name} has {n:,} files" for name, n in counts.items() if n >= MOST_ENTRIES]
    if sum(counts.values()) >= MOST_FILES:
        full.append(f"{sum(counts.values()):,} files; `batchgen export --to parquet` or webdataset makes few")
    return _listed(full)


#: What is said of each rule -> what tells, of a batch folder, whether it is broken and how.
RULES: Mapping[str, Callable[[Path], str | None]] = {
    "there is one table, and it is called metadata.parquet": one_table,
    "file names are relative, with forward slashes": plain_names,
    "named files are there": files_are_there,
    "a row has a file name if it is stored, and null if not": images_have_names,
    "every column has a type": every_column_has_a_type,
    "no word in a name makes a split": splits_are_not_guessed,
    "no folder and no repository has too many files": few_files,
}


def is_plain(name: str) -> bool:
    """Whether loaders take a file name: relative, with forward slashes, within the folder, no URL."""
    path = PurePosixPath(name)
    windows = "\\" in name or name[1:2] == ":"
    return bool(name) and not (path.is_absolute() or ".." in path.parts or "://" in name or windows)


def _names(folder: Path) -> Iterator[str]:
    for rows in index.batches(folder / INDEX_NAME, ["file_name"]):
        yield from rows["file_name"].drop_null().to_pylist()


def _listed(wrong: Iterable[str]) -> str | None:
    found = list(wrong)
    more = f" and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
    return f"{', '.join(found[:_NAMED])}{more}" if found else None
