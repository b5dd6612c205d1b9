"""The dataset card, `README.md`: what a person reads first, with a header that tells loaders what to load."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from batchgen import index
from batchgen.model import INDEX_NAME, Status

#: Loaders guess splits from words such as "test" in file names and then drop files; this header stops the guessing.
_LOADER = {
    "configs": [
        {
            "config_name": "default",
            "data_files": [{"split": "train", "path": [INDEX_NAME, "images/**"]}],
        }
    ],
    "task_categories": ["text-to-image"],
    "tags": ["synthetic", "batchgen"],
}


def write(path: Path) -> str:
    """The card's text, from an index alone.

    Raises:
        StorageFailed: the index cannot be read.
    """
    facts, labels = index.read_facts(path)
    found = _Found()
    for row in index.read(path):
        found.add(row)
    header = yaml.safe_dump(_LOADER, sort_keys=False)
    lines = [
        f"---\n{header}---",
        f"# {facts.batch_id}",
        f"{_counted(found.statuses[Status.STORED], 'image')} of {_counted(found.prompts, 'prompt')},"
        f" asked of **{facts.model}**"
        f" ({facts.endpoint}){found.period}."
        + (" The pictures are drawings of a simulator, not generated images." if facts.provider == "simulator" else ""),
        _table("Images", {status: n for status, n in found.statuses.items() if n}),
        _table("Image formats", found.formats),
        _table("Why images are missing", found.failures),
        "## Columns\n\nOne row an image that was asked for, failed ones too"
        f" (`file_name` is null then). Labels of the manifest: {_listed(labels)}.",
        '```python\nfrom datasets import load_dataset\n\nload_dataset("imagefolder", data_dir=".")\n```',
    ]
    return "\n\n".join(line for line in lines if line) + "\n"


class _Found:
    """What one pass over the rows of an index counts."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.formats: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._prompts: set[int] = set()
        self._first: Any = None
        self._last: Any = None

    def add(self, row: dict[str, Any]) -> None:
        self.statuses[row["status"]] += 1
        self._prompts.add(hash(row["prompt"]))
        if row["format"] is not None:
            self.formats[row["format"]] += 1
        if row["error_class"] is not None:
            self.failures[row["error_class"]] += 1
        if (at := row["downloaded_at"]) is not None:
            self._first = at if self._first is None else min(at, self._first)
            self._last = at if self._last is None else max(at, self._last)

    @property
    def prompts(self) -> int:
        return len(self._prompts)

    @property
    def period(self) -> str:
        if self._first is None:
            return ""
        first, last = f"{self._first:%Y-%m-%d}", f"{self._last:%Y-%m-%d}"
        return f" on {first}" if first == last else f" from {first} to {last}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _table(title: str, counted: dict[str, int]) -> str:
    if not counted:
        return ""
    rows = "\n".join(f"| {name} | {number:,} |" for name, number in sorted(counted.items()))
    return f"## {title}\n\n| | |\n|---|---:|\n{rows}"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) if names else "none"
