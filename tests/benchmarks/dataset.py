"""What the index and the exports cost, beside the writers of webdataset and img2dataset on the same images.

    python -m tests.benchmarks.dataset                                 # about ten minutes
    python -m tests.benchmarks.dataset --images 500 --rows 20000 --rounds 1

Each contender is a process of its own, measured from outside; they take turns, round after round, and the figures are
medians. Exports read every image, compare it with its hash and flush what they write; the other writers do neither.
img2dataset lives in an environment of its own: `IMG2DATASET` names its Python; without it, it is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from shutil import rmtree
from statistics import median

import numpy as np
from PIL import Image

from batchgen import index
from batchgen.adapters.spilling import SpillingFirsts
from batchgen.checks import DuplicateCheck
from batchgen.lifecycle import Record, State
from batchgen.likeness import LookAlikes
from batchgen.model import BatchFacts, Request, RequestKey, StoredImage
from tests.factories import a_request, an_image

FACTS = BatchFacts(batch_id="b", profile="p", provider="p", model="m", endpoint="e/p", price_per_image=0.01)
#: Side of the pictures, in pixels: noise, so 196 KB each.
SIDE = 256


def requests(count: int) -> Iterator[Request]:
    """As many, each with a prompt of its own."""
    for n in range(count):
        yield a_request(key=RequestKey(f"key{n:010d}"), row_index=n, prompt=f"a picture of thing number {n}")


def records(keys: Sequence[RequestKey]) -> Mapping[RequestKey, Record]:
    """What a journal says of requests that are done: each image with other bytes, and no two that look alike."""
    return {key: _record(key, sha256(key.encode()).hexdigest()) for key in keys}


def _record(key: RequestKey, digest: str, **changes: object) -> Record:
    facts, _ = an_image(b"", sha256=digest, phash=digest[:16], bytes=196_000, width=SIDE, height=SIDE)
    image = StoredImage(
        sample=0,
        file_name=f"images/{key}.png",
        source_url=f"https://images.test/{key}",
        image=replace(facts, **changes),  # type: ignore[arg-type]
    )
    return Record(state=State.STORED, images=(image,), submitted_at=1.0, completed_at=2.0, downloaded_at=3.0)


def write_index(path: Path, count: int, duplicates: DuplicateCheck) -> None:
    """The index of a finished batch of so many rows."""
    facts = replace(FACTS, duplicates=duplicates)
    index.write(path, requests(count), records, facts=facts, label_types={}, stamp="s", firsts=SpillingFirsts)


def make_batch(folder: Path, count: int) -> None:
    """A batch folder of pictures of noise."""
    (folder / "images").mkdir(parents=True)
    buffer = BytesIO()
    noise = np.random.default_rng(7).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    Image.fromarray(noise).save(buffer, "PNG", compress_level=0)
    made: dict[RequestKey, Record] = {}
    for request in requests(count):
        content = buffer.getvalue() + request.key.encode()  # readers do not look behind a picture's end
        (folder / f"images/{request.key}.png").write_bytes(content)
        made[request.key] = _record(request.key, sha256(content).hexdigest(), bytes=len(content))
    index.write(
        folder / "metadata.parquet",
        requests(count),
        lambda keys: {key: made[key] for key in keys},
        facts=FACTS,
        label_types={},
        stamp="s",
    )


def by_shard_writer(batch: Path, dest: Path) -> None:
    """The same members as `batchgen export --to webdataset` writes, by webdataset's ShardWriter."""
    import webdataset

    dest.mkdir()
    with webdataset.ShardWriter(str(dest / "train-%06d.tar"), maxcount=10_000, maxsize=1e9, verbose=0) as shards:
        for row in index.read(batch / "metadata.parquet"):
            line = {name: value for name, value in row.items() if value is not None}
            shards.write(
                {
                    "__key__": Path(row["file_name"]).stem,
                    "png": (batch / row["file_name"]).read_bytes(),
                    "json": json.dumps(line, ensure_ascii=False, default=str).encode(),
                    "txt": row["prompt"].encode(),
                }
            )


def measure(*arguments: str, python: str = sys.executable) -> tuple[float, float, float]:
    """Seconds, CPU seconds and most memory in MB of a process of Python."""
    began = time.perf_counter()
    process = os.posix_spawn(python, [python, *arguments], os.environ)
    _, status, usage = os.wait4(process, 0)
    if status:
        sys.exit(f"{' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def _export(to: str, *flags: str) -> Callable[[Path, Path], list[str]]:
    return lambda batch, dest: ["-m", "batchgen", "export", "-q", str(batch), str(dest), "--to", to, *flags]


def _part(*words: str) -> list[str]:
    return ["-m", "tests.benchmarks.dataset", "--part", *words]


EXPORTS: Mapping[str, Callable[[Path, Path], list[str]]] = {
    "webdataset": _export("webdataset"),
    "webdataset's ShardWriter": lambda batch, dest: _part("shards", str(batch), str(dest)),
    "parquet": _export("parquet"),
    "imagefolder": _export("imagefolder"),
    "imagefolder, hard links": _export("imagefolder", "--link", "hard"),
}


#: A Python, and the words for it that make an export of a batch in a folder.
Contender = tuple[str, Callable[[Path, Path], list[str]]]


def contenders() -> Mapping[str, Contender]:
    """All that can be measured here, by name."""
    found = {name: (sys.executable, command) for name, command in EXPORTS.items()}
    if python := os.environ.get("IMG2DATASET"):
        script = str(Path(__file__).with_name("clients") / "img2dataset_writer.py")
        found["img2dataset's writer"] = (python, lambda batch, dest: ["-P", script, str(batch), str(dest)])
    return found


def measure_exports(folder: Path, images: int, rounds: int) -> None:
    """A table of what each export takes."""
    batch, dest = folder / "batch", folder / "dest"
    make_batch(batch, images)
    size = sum(path.stat().st_size for path in (batch / "images").iterdir()) / 1e6
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in contenders()}
    for _ in range(rounds):
        for name, (python, command) in contenders().items():
            found[name].append(measure(*command(batch, dest), python=python))
            rmtree(dest)
    print(f"\n{images:,} images, {size:.0f} MB; medians of {rounds} rounds\n")
    print("| export | images/s | MB/s | CPU s per 1,000 images | peak MB |\n|---|---|---|---|---|")
    for name, figures in found.items():
        wall, cpu, peak = (median(column) for column in zip(*figures, strict=True))
        print(f"| {name} | {images / wall:,.0f} | {size / wall:,.0f} | {1_000 * cpu / images:.2f} | {peak:.0f} |")


def measure_index(folder: Path, rows: int, rounds: int) -> None:
    """A table of what the index takes."""
    path = str(folder / "metadata.parquet")
    parts = {
        "nothing but the imports": _part("nothing"),
        "index, without duplicates": _part("index", path, str(rows), "off"),
        "index, with duplicates and look-alikes": _part("index", path, str(rows), "flag"),
        "look-alikes among so many hashes alone": _part("hashes", str(rows)),
    }
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in parts}
    for _ in range(rounds):
        for name, command in parts.items():
            found[name].append(measure(*command))
    print(f"\n{rows:,} rows; medians of {rounds} rounds\n\n| | s | CPU s | peak MB |\n|---|---|---|---|")
    for name, figures in found.items():
        wall, cpu, peak = (median(column) for column in zip(*figures, strict=True))
        print(f"| {name} | {wall:.1f} | {cpu:.1f} | {peak:.0f} |")


def run_part(words: Sequence[str]) -> None:
    """One contender, in this process."""
    match words:
        case ["shards", batch, dest]:
            by_shard_writer(Path(batch), Path(dest))
        case ["index", path, rows, duplicates]:
            write_index(Path(path), int(rows), DuplicateCheck(duplicates))
        case ["hashes", rows]:
            LookAlikes().meet(np.random.default_rng(7).integers(0, 2**64, int(rows), np.uint64))


def main() -> None:
    """Measure all, and print it as Markdown."""
    parser = argparse.ArgumentParser(description="Measure the index and the exports.")
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.part:
        run_part(wanted.part)
        return
    with tempfile.TemporaryDirectory(prefix="batchgen-dataset-") as folder:
        measure_index(Path(folder), wanted.rows, wanted.rounds)
        measure_exports(Path(folder), wanted.images, wanted.rounds)


if __name__ == "__main__":
    main()
