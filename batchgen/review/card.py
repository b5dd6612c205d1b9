"""The dataset card, `README.md`: what a person reads first, with a header that tells loaders what to load."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from batchgen import index
from batchgen.model import INDEX_NAME
from batchgen.review.counting import Found, Values, count

_IMAGES = "images/**"
#: Sizes of datasets as the Hub sorts them, and below how many images.
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LICENSE_NAME = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
_LONGEST_TEXT = 60


def write(path: Path) -> str:
    """The card's text, from an index alone.

    Raises:
        StorageFailed: the index cannot be read.
    """
    return text_of(count(path))


def text_of(found: Found) -> str:
    """The card's text."""
    card = found.facts.card
    header = yaml.safe_dump(_header(found), sort_keys=False, allow_unicode=True)
    parts = [
        f"---\n{header}---",
        f"# {card.title or found.facts.batch_id}",
        card.description,
        _made(found),
        _pictures(found),
        _table("Images", found.counts["status"]),
        _table("Splits", found.splits),
        _table("Image formats", found.counts["format"]),
        _table("Image sizes", dict(found.sizes.most_common(10))),
        _table("Why images are missing", found.counts["error_class"]),
        _alike(found),
        _varied("Axes", found.axes),
        _varied("Parameters", found.params),
        f"## Intended use\n\n{card.intended_use}" if card.intended_use else None,
        f"## Licence\n\n{card.license or 'Not stated.'}",
        _columns(found.labels),
        "## Loading\n\n```python\nfrom datasets import load_dataset\n\n"
        'load_dataset("PATH OF THIS FOLDER")  # the header of this file says what is loaded\n```',
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _header(found: Found) -> dict[str, Any]:
    card = found.facts.card
    header: dict[str, Any] = {} if card.license is None else {**_license(card.license)}
    header["pretty_name"] = card.title or found.facts.batch_id
    header["size_categories"] = [next((name for most, name in _SIZES if found.images < most), "n>1M")]
    header["task_categories"] = ["text-to-image"]
    header["tags"] = ["synthetic", "batchgen"]
    header["configs"] = [loader(found)]
    return header


def _license(told: str) -> dict[str, str]:
    if _LICENSE_NAME.fullmatch(told):
        return {"license": told}
    place = {"license_link": told} if told.startswith(("https://", "http://")) else {}
    return {"license": "other", "license_name": told, **place}


def loader(found: Found) -> dict[str, Any]:
    """The loader's configuration. It guesses splits from words in file names if it is not told the files of each.

    A split's table is one of the files. Images stand there twice: the kind of file that there are most of says what the
    loader takes the dataset for, and with a single image there would be as many tables.
    """
    tables = {split: index.split_table(split) for split in sorted(found.splits)} or {index.DEFAULT_SPLIT: INDEX_NAME}
    images = [_IMAGES] * (2 if found.splits else 1) if found.images else []
    config: dict[str, Any] = {
        "config_name": "default",
        "data_files": [{"split": split, "path": [table, *images]} for split, table in tables.items()],
    }
    return config | ({"metadata_filenames": list(tables.values())} if found.splits and images else {})


def _made(found: Found) -> str:
    facts = found.facts
    told = (
        f"{_counted(found.images, 'image')} of {_counted(found.prompts, 'prompt')}, asked of **{facts.model}**"
        f" ({facts.endpoint}){_period(found)}."
    )
    if facts.provider == "simulator":
        told += " The pictures are drawings of a simulator, not generated images."
    if found.cost is not None:
        told += f" The images cost {found.cost:,.2f} at {facts.price_per_image:g} each."
        if (spending := found.account.spending).total > spending.made:
            told += f" With all that failed, the batch asked for {found.account.spent_in_words}."
    if facts.manifest_sha256:
        told += f" Manifest: sha256 `{facts.manifest_sha256}`."
    return told


def _period(found: Found) -> str:
    begun, ended = found.begun or found.ended, found.ended
    if begun is None or ended is None:
        return ""
    first, last = f"{begun:%Y-%m-%d}", f"{ended:%Y-%m-%d}"
    return f" on {first}" if first == last else f" from {first} to {last}"


def _pictures(found: Found) -> str:
    return "\n".join(f"![{_in_line(prompt)}]({quote(name)})" for name, prompt in found.shown)


def _alike(found: Found) -> str:
    if not found.duplicates and not found.look_alikes:
        return ""
    return (
        f"{_counted(found.duplicates, 'image')} the same as an earlier one (`duplicate_of`), "
        f"{found.look_alikes:,} that look like one (`near_duplicate_of`)."
    )


def _varied(title: str, found: Mapping[str, Values]) -> str:
    rows = "\n".join(f"| `{name}` | {_listed_values(values)} |" for name, values in found.items() if values.kept)
    return f"## {title}\n\n| | |\n|---|---|\n{rows}" if rows else ""


def _listed_values(values: Values) -> str:
    if values.more and values.least is not None:
        return f"{_in_line(values.least)} to {_in_line(values.greatest)}"
    kept: Iterable[Any] = values.kept
    if all(isinstance(value, int | float) for value in values.kept):
        kept = sorted(values.kept)
    return ", ".join(map(_in_line, kept)) + (", …" if values.more else "")


def _columns(labels: tuple[str, ...]) -> str:
    listed = ", ".join(f"`{name}`" for name in labels) if labels else "none"
    return (
        "## Columns\n\nOne row an image that was asked for, failed ones too"
        f" (`file_name` is null then). Labels of the manifest: {listed}."
    )


def _table(title: str, counted: Mapping[str, int]) -> str:
    rows = "\n".join(f"| {_in_line(name)} | {number:,} |" for name, number in sorted(counted.items()) if number)
    return f"## {title}\n\n| | |\n|---|---:|\n{rows}" if rows else ""


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _in_line(value: object) -> str:
    """A value as text in a line of Markdown, cut and with nothing in it that means something there."""
    text = " ".join(str(value).split())
    short = text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
    return re.sub(r"[\\`*{}\[\]<>|!]|(?<!\w)_|_(?!\w)", r"\\\g<0>", short) or "(empty)"
