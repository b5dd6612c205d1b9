"""Batches to look at, written as a run would leave them: an index, and pictures that differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from batchgen import index
from batchgen.lifecycle import Record, State
from batchgen.model import BatchFacts, Failure, FailureKind, LabelValue, Request, RequestKey, StoredImage
from tests.factories import a_request, an_image

FACTS = BatchFacts(
    batch_id="sweep", profile="sd3", provider="imagepipeline.io", model="sd3", endpoint="e/sd3", price_per_image=0.25
)
NOON = 1_790_000_000.0  # seconds since 1970
ANIMALS, GUIDANCE, STEPS = ("fox", "owl", "toucan"), (4.0, 7.0, 10.0, 13.0), (10, 15, 20, 25, 30)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One row of a batch to be made, with one image unless it failed."""

    prompt: str = "A fox"
    labels: Mapping[str, LabelValue] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    phash: str = "0" * 16
    colour: tuple[int, int, int] = (200, 80, 20)
    repeat: int = 0

    @property
    def key(self) -> RequestKey:
        """Equal for what asks for the same."""
        asked = json.dumps([self.prompt, sorted(self.params.items()), self.repeat])
        return RequestKey(sha256(asked.encode()).hexdigest()[:26])


def sweep() -> list[Wanted]:
    """Three animals, four guidance scales, five numbers of steps: 60 rows."""
    return [
        Wanted(
            prompt=f"A {animal}",
            labels={"axis_animal": animal, "axis_guidance_scale": guidance, "axis_num_inference_steps": steps},
            params={"guidance_scale": guidance, "num_inference_steps": steps},
            colour=(60 * ANIMALS.index(animal), int(guidance * 10), steps * 5),
        )
        for animal, guidance, steps in product(ANIMALS, GUIDANCE, STEPS)
    ]


def make(folder: Path, wanted: Iterable[Wanted], *, facts: BatchFacts = FACTS) -> Path:
    """A batch folder with these rows, one finished every other second."""
    (folder / "images").mkdir(parents=True)
    requests: list[Request] = []
    records: dict[RequestKey, Record] = {}
    types: dict[str, str] = {}
    for number, row in enumerate(wanted):
        types |= {name: _type_of(value) for name, value in row.labels.items()}
        request = a_request(
            key=row.key,
            row_index=number,
            batch_id=facts.batch_id,
            file_prefix="fox",
            prompt=row.prompt,
            labels=row.labels,
            params=dict(a_request().params) | dict(row.params),
            repeat=row.repeat,
        )
        requests.append(request)
        records[row.key] = _record(folder, number, row)
    index.write(
        folder / "metadata.parquet",
        requests,
        lambda keys: {key: records[key] for key in keys},
        facts=facts,
        label_types=types,
        stamp="1",
    )
    return folder


def _record(folder: Path, number: int, row: Wanted) -> Record:
    began = NOON + 2 * number
    if row.failure is not None:
        return Record(state=State.FAILED, failure=row.failure, attempts=2, submitted_at=began)
    content = picture(row.colour)
    name = f"images/fox-{row.key[:10]}-0.png"
    (folder / name).write_bytes(content)
    image, _ = an_image(content, width=48, height=32, phash=row.phash)
    stored = StoredImage(sample=0, file_name=name, source_url="https://host/a", image=image)
    return Record(
        state=State.STORED,
        images=(stored,),
        attempts=1,
        submitted_at=began,
        completed_at=began + 1 + number % 3,
        downloaded_at=began + 4,
    )


def picture(colour: tuple[int, int, int]) -> bytes:
    """A file of a picture wider than high."""
    image, buffer = Image.new("RGB", (48, 32), colour), BytesIO()
    ImageDraw.Draw(image).rectangle((4, 4, 12, 12), fill="white")
    image.save(buffer, "PNG")
    return buffer.getvalue()


def failed(kind: FailureKind = FailureKind.CONTENT_POLICY, message: str = "not this") -> Failure:
    """A failure as the API tells of it."""
    return Failure(kind=kind, message=message, http_status=400)


def _type_of(value: LabelValue) -> str:
    return {str: "str", float: "float", int: "int", bool: "bool"}.get(type(value), "null")
