"""Batches to export, written as a run would leave them: an index, and image files whose colour is their number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from PIL import Image

from batchgen import index
from batchgen.lifecycle import Record, State
from batchgen.model import (
    BatchFacts,
    Failure,
    FailureKind,
    LabelValue,
    RequestKey,
    StoredImage,
)
from batchgen.review import card, counting, croissant
from tests.factories import a_request, an_image

FACTS = BatchFacts(
    batch_id="odd", profile="sd3", provider="imagepipeline.io", model="sd3", endpoint="e/sd3", price_per_image=0.25
)
#: What loaders trip over: words that guess splits, dots, quotes, scripts, lengths.
ODD_NAMES = (
    "a-test-tube", "train", "validation-1", "eval.dev", "quo\"ted 'twice'", "ünïcödé-测试-тест", "model=flux-dev",
    "dots.in.name", "x" * 200, "é" * 100, "val", " blank ", ".hidden", "50% off & more", "comma, semicolon; tab",
)  # fmt: skip
_PILLOW = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}


def picture(number: int, *, format: str = "png", size: tuple[int, int] = (8, 8)) -> bytes:
    """An image file whose colour says its number."""
    buffer = BytesIO()
    Image.new("RGB", size, (number % 256, number // 256, 7)).save(buffer, _PILLOW[format])
    return buffer.getvalue()


@dataclass(frozen=True, kw_only=True)
class Rows:
    """How the rows of a batch are made, each from its number."""

    name: Callable[[int], str] = lambda n: f"fox-{n}"
    prompt: Callable[[int], str] = lambda n: f"prompt {n}"
    format: Callable[[int], str] = lambda _: "png"
    split: Callable[[int], str | None] = lambda _: None
    labels: Callable[[int], Mapping[str, LabelValue]] = lambda _: {}
    size: tuple[int, int] = (8, 8)
    fails: Callable[[int], bool] = lambda _: False
    guidance: Callable[[int], float] = lambda n: float(n % 10)
    label_types: Mapping[str, str] = field(default_factory=dict)


def make_batch(folder: Path, count: int, rows: Rows | None = None, *, facts: BatchFacts = FACTS) -> Path:
    """A batch folder with so many rows, one image each unless it failed."""
    rows = rows or Rows()
    (folder / "images").mkdir(parents=True)
    requests, records = [], {}
    for n in range(count):
        key = RequestKey(f"key{n:08d}")
        request = a_request(
            key=key,
            row_index=n,
            batch_id="odd",
            prompt=rows.prompt(n),
            split=rows.split(n),
            labels=rows.labels(n),
            params=dict(a_request().params) | {"guidance_scale": rows.guidance(n)},
        )
        requests.append(request)
        records[key] = _failed() if rows.fails(n) else _stored(folder, n, rows)
    index.write(
        folder / "metadata.parquet",
        requests,
        lambda keys: {key: records[key] for key in keys},
        facts=facts,
        label_types=rows.label_types,
        stamp="1",
    )
    return folder


def described(folder: Path) -> Path:
    """The batch with what a run writes beside the index: tables of splits, card and Croissant."""
    path = folder / "metadata.parquet"
    index.write_splits(path)
    found = counting.count(path)
    (folder / "README.md").write_text(card.text_of(found), encoding="utf-8")
    if found.images:
        (folder / "croissant.json").write_text(croissant.text_of(path, found), encoding="utf-8")
    return folder


def odd_batch(folder: Path, count: int) -> Path:
    """Odd names, two splits, quotes and line breaks in prompts, a failure in ten rows, labels that are mostly null."""
    return make_batch(
        folder,
        count,
        Rows(
            name=lambda n: f"{ODD_NAMES[n % len(ODD_NAMES)]}-{n}",
            prompt=odd_prompt,
            split=lambda n: "validation" if n % 5 == 0 else "train",
            fails=lambda n: n % 10 == 9,
            labels=lambda n: {
                "class": ("fox", "owl")[n % 2],
                "note": f"=late {n}" if n > 20 else None,
                "empty": None,
                "ten": n // 10,
            },
            label_types={"class": "str", "note": "str", "empty": "null", "ten": "int"},
        ),
    )


def odd_prompt(number: int) -> str:
    """The prompt of a row of the odd batch."""
    return f'=Prompt {number}: “ü”, "quoted"\nand, {{braces}}, \ralone'


def _stored(folder: Path, number: int, rows: Rows) -> Record:
    extension = rows.format(number)
    content = picture(number, format=extension, size=rows.size)
    name = f"images/{rows.name(number)}.{extension}"
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    facts, _ = an_image(content, format=extension, width=rows.size[0], height=rows.size[1])
    image = StoredImage(sample=0, file_name=name, source_url="https://host/a", image=facts)
    return Record(state=State.STORED, images=(image,), submitted_at=1.0, completed_at=2.0, downloaded_at=3.0)


def _failed() -> Record:
    return Record(state=State.FAILED, failure=Failure(kind=FailureKind.RESULT_LOST, message="gone", http_status=410))
