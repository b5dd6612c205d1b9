"""The index as tables are read: one batch, and several whose labels differ."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest

from batchgen import index
from tests.export.batches import Rows, make_batch

DOCUMENT = Path(__file__).parents[1] / "docs/index-schema.md"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three batches: labels of one type, of another, and none; in one, every request failed."""
    folder = tmp_path_factory.mktemp("outputs")
    make_batch(folder / "a", 3, Rows(labels=lambda _: {"class": "fox"}, label_types={"class": "str"}))
    make_batch(
        folder / "b",
        4,
        Rows(labels=lambda n: {"class": n, "style": "oil"}, label_types={"class": "int", "style": "str"}),
    )
    make_batch(folder / "c", 2, Rows(fails=lambda _: True))
    return folder


def blocks(language: str) -> str:
    """What the document shows in a language."""
    return "\n".join(re.findall(rf"```{language}\n(.*?)\n```", DOCUMENT.read_text(), flags=re.DOTALL))


def test_the_document_lists_the_columns_there_are() -> None:
    assert DOCUMENT.read_text().split("<!-- columns -->\n")[1] == index.describe() + "\n"


def test_duckdb_reads_several_batches_whatever_their_labels(outputs: Path) -> None:
    common, labels = re.findall(r"SELECT.*?;", blocks("sql"))
    with duckdb.connect() as connection:
        found = connection.execute(common.replace("outputs", str(outputs))).fetchall()
        assert len(found) == 7
        classes = connection.execute(labels.replace("outputs", str(outputs))).fetchall()
        assert {(name, number) for _, name, number in classes} == {
            ("fox", 3),
            *((str(n), 1) for n in range(4)),
            (None, 2),
        }


def test_polars_reads_several_batches_whatever_their_labels(outputs: Path) -> None:
    columns = {"missing_columns": "insert", "extra_columns": "ignore"}
    scanned = pl.scan_parquet(outputs / "*/metadata.parquet", **columns)  # type: ignore[arg-type]
    assert scanned.select("batch_id", "prompt", "status").collect().height == 9


def test_pandas_reads_several_batches_and_keeps_nulls_apart_from_zeros(outputs: Path) -> None:
    frames = [pd.read_parquet(path) for path in sorted(outputs.glob("*/metadata.parquet"))]
    everything = pd.concat(frames)
    assert len(everything) == 9
    assert everything["file_name"].isna().sum() == 2
    assert {str(frame["submitted_at"].dtype) for frame in frames} == {"datetime64[us, UTC]"}


def test_every_reader_finds_the_same_types_in_a_batch_without_an_image(outputs: Path) -> None:
    schemas = [pl.read_parquet_schema(outputs / batch / "metadata.parquet") for batch in ("a", "c")]
    assert {name: schemas[0][name] for name in index.COLUMNS} == dict(schemas[1])
    with duckdb.connect() as connection:
        types = [
            connection.execute(f"DESCRIBE SELECT * FROM '{outputs / batch / 'metadata.parquet'}'").fetchall()[
                : len(index.COLUMNS)
            ]
            for batch in ("a", "c")
        ]
    assert types[0] == types[1]
