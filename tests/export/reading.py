"""The readers of datasets, in a process of their own: a JSON object a line in, what was read out.

Their imports are slow and their warnings are not ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]


class Readers:
    """Reads in the other process.

    Args:
        home: where the readers keep what they keep.
        environment: what is said to them besides.
    """

    def __init__(self, home: Path, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.export.reading"],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home), **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self, reader: str, path: Path | str, **options: Any) -> dict[str, Rows]:
        """Split -> rows; an image is its first pixel and its size.

        Raises:
            ValueError: in the reader's words, what it did not like.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"reader": reader, "path": str(path), "options": options}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        found: dict[str, Rows] = answer
        return found

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def _by_datasets(path: str, **options: Any) -> dict[str, Rows]:
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache:
        loaded = datasets.load_dataset(path, cache_dir=None if options.get("streaming") else cache, **options)
        return {str(split): [_seen(row) for row in rows] for split, rows in loaded.items()}


def _by_webdataset(path: str, only: str | None = None) -> dict[str, Rows]:
    import webdataset

    found: dict[str, Rows] = {}
    for shard in sorted(Path(path).glob("*.tar")):
        samples = webdataset.WebDataset(str(shard), shardshuffle=False).decode("pil")
        if only is not None:
            samples = samples.to_tuple(only).map(lambda pictures: {only: pictures[0]})
        found.setdefault(shard.name.split("-")[0], []).extend(map(_seen, samples))
    return found


def _by_dali(path: str, only: str) -> dict[str, Rows]:
    """As NeMo Curator reads, but for the GPU."""
    from nvidia.dali import fn, pipeline_def, types

    @pipeline_def(batch_size=1, num_threads=1, device_id=None)  # type: ignore[untyped-decorator]
    def pipeline(shard: str) -> Any:
        files = fn.readers.webdataset(paths=[shard], ext=[only], missing_component_behavior="skip", name="shard")
        return fn.decoders.image(files, device="cpu", output_type=types.RGB)

    found: dict[str, Rows] = {}
    for shard in sorted(Path(path).glob("*.tar")):
        made = pipeline(str(shard))
        rows = [{only: {"pixel": made.run()[0].at(0)[0, 0].tolist()}} for _ in range(made.epoch_size("shard"))]
        found.setdefault(shard.name.split("-")[0], []).extend(rows)
    return found


def _by_duckdb(path: str) -> dict[str, Rows]:
    import duckdb

    with duckdb.connect() as connection:
        listed = connection.execute(f"SELECT to_json(list(t)) FROM '{path}' t").fetchall()
    return {"": json.loads(listed[0][0])}


def _by_polars(path: str) -> dict[str, Rows]:
    import polars

    read: dict[str, Callable[..., Any]] = {
        ".parquet": polars.read_parquet, ".csv": polars.read_csv, ".jsonl": polars.read_ndjson,
    }  # fmt: skip
    return {"": read[Path(path).suffix](path).to_dicts()}


def _by_pandas(path: str) -> dict[str, Rows]:
    import pandas

    read: dict[str, Callable[..., Any]] = {
        ".parquet": pandas.read_parquet, ".csv": pandas.read_csv,
        ".jsonl": lambda path: pandas.read_json(path, lines=True),
    }  # fmt: skip
    return {"": json.loads(read[Path(path).suffix](path).to_json(orient="records"))}


def _by_mlcroissant(path: str) -> dict[str, Rows]:
    import mlcroissant

    dataset = mlcroissant.Dataset(jsonld=path)
    if told := dataset.metadata.issues.report():
        raise ValueError(told)
    names = [record_set.uuid for record_set in dataset.metadata.record_sets]
    return {name: [_seen(row) for row in dataset.records(record_set=name)] for name in names}


_READERS: dict[str, Callable[..., dict[str, Rows]]] = {
    "datasets": _by_datasets,
    "webdataset": _by_webdataset,
    "dali": _by_dali,
    "duckdb": _by_duckdb,
    "polars": _by_polars,
    "pandas": _by_pandas,
    "mlcroissant": _by_mlcroissant,
}


def _seen(row: dict[str, Any]) -> dict[str, Any]:
    from PIL import Image

    def seen(value: Any) -> Any:
        if isinstance(value, Image.Image):
            return {"pixel": value.convert("RGB").getpixel((0, 0)), "size": value.size}
        return value.decode() if isinstance(value, bytes) else value

    return {name: seen(value) for name, value in row.items()}


def _answers(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        asked = json.loads(line)
        try:
            yield _READERS[asked["reader"]](asked["path"], **asked["options"])
        except Exception as error:  # noqa: BLE001  # any refusal of any reader is an answer
            yield {"error": f"{type(error).__name__}: {error} {error.__cause__ or ''}"}


if __name__ == "__main__":
    answers_to = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        for answer in _answers(sys.stdin):
            answers_to.write(json.dumps(answer, default=str) + "\n")
            answers_to.flush()
