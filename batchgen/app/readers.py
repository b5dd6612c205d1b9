"""The programs that people read a dataset with, as far as they are installed. Imported only when they are to read."""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from pathlib import Path
from typing import Any

#: A row as a reader gave it: its prompt, and whether there is an image.
Row = tuple[str, bool]
#: Rows by split; all are under "" where a reader knows no splits.
Loaded = Mapping[str, list[Row]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A program that reads datasets."""

    package: str
    load: Callable[[Path], Loaded]

    @property
    def version(self) -> str | None:
        """The version installed; None if there is none."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None


@contextlib.contextmanager
def in_quiet() -> Iterator[None]:
    """Readers print, log and warn; none of it is ours."""
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(StringIO()), contextlib.redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        os.environ.pop("HF_HUB_OFFLINE")
        if before is not None:
            os.environ["HF_HUB_OFFLINE"] = before


def _by_pandas(path: Path) -> Loaded:
    import pandas as pd

    read: Mapping[str, Callable[..., pd.DataFrame]] = {
        ".parquet": pd.read_parquet, ".csv": pd.read_csv, ".jsonl": lambda path: pd.read_json(path, lines=True),
    }  # fmt: skip
    frame = read[path.suffix](path)
    return {"": list(zip(frame["prompt"].tolist(), frame[_image(frame.columns)].notna().tolist(), strict=True))}


def _by_polars(path: Path) -> Loaded:
    import polars as pl

    read: Mapping[str, Callable[..., Any]] = {
        ".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson,
    }  # fmt: skip
    frame = read[path.suffix](path)
    images = frame[_image(frame.columns)].is_not_null().to_list()
    return {"": list(zip(frame["prompt"].to_list(), images, strict=True))}


def _by_duckdb(path: Path) -> Loaded:
    import duckdb

    with duckdb.connect() as connection:
        place = str(path).replace("'", "''")
        columns = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM '{place}'").fetchall()]
        sql = f"SELECT prompt, {_image(columns)} IS NOT NULL FROM '{place}'"
        return {"": [(prompt, image) for prompt, image in connection.execute(sql).fetchall()]}


def _image(columns: Any) -> str:
    return "image" if "image" in columns else "file_name"


def _by_datasets(path: Path) -> Loaded:
    import datasets

    datasets.disable_progress_bars()
    found: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory(prefix="batchgen-") as cache:
        for split, rows in datasets.load_dataset(str(path), cache_dir=cache).items():
            shards = "__key__" in rows.column_names
            known = ("png", "jpg", "webp") if shards else ("image",)
            image = next((name for name in known if name in rows.column_names), "file_name")
            table = rows.data.table
            told = table["json"].to_pylist() if shards else table.select(["prompt"]).to_pylist()
            there = table[image].is_valid().to_pylist()
            found[str(split)] = [(row["prompt"], is_there) for row, is_there in zip(told, there, strict=True)]
            if any(there) and image != "file_name":
                rows[there.index(True)][image].load()
    return found


def _by_webdataset(path: Path) -> Loaded:
    import webdataset

    found: dict[str, list[Row]] = {}
    for shard in sorted(path.glob("*.tar")):
        samples = webdataset.WebDataset(str(shard), shardshuffle=False).decode("pil")
        for sample in samples:
            image = any(kind in sample for kind in ("png", "jpg", "webp"))
            found.setdefault(shard.name.rsplit("-", 1)[0], []).append((sample["json"]["prompt"], image))
    return found


def _by_mlcroissant(path: Path) -> Loaded:
    import mlcroissant
    from absl import logging

    logging.set_verbosity(logging.FATAL)
    dataset = mlcroissant.Dataset(jsonld=str(path / "croissant.json"))
    if told := dataset.metadata.issues.report():
        raise ValueError(told)
    found: list[Row] = []
    for record in dataset.records(record_set="samples"):
        found.append((record["samples/prompt"].decode(), record["samples/image"] is not None))
    return {"": found}


PANDAS = Reader(package="pandas", load=_by_pandas)
POLARS = Reader(package="polars", load=_by_polars)
DUCKDB = Reader(package="duckdb", load=_by_duckdb)
DATASETS = Reader(package="datasets", load=_by_datasets)
WEBDATASET = Reader(package="webdataset", load=_by_webdataset)
MLCROISSANT = Reader(package="mlcroissant", load=_by_mlcroissant)
