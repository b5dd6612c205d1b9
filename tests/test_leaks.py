"""The search for secrets in what a run leaves: it finds them wherever, and however, they were planted."""

from __future__ import annotations

import base64
import html
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin

from tests.campaigns.leaks import leaks

KEY = "sk-campaign/5ecret+key=1"
WAYS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent-encoded": lambda text: quote(text, safe=""),
    "percent-encoded in lower case": lambda text: quote(text, safe="").lower(),
    "as a form": quote_plus,
    "JSON": json.dumps,
    "JSON in JSON": lambda text: json.dumps(json.dumps({"key": text})),
    "HTML": html.escape,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 of a header": lambda text: base64.b64encode(f"API-Key: {text}\r\n".encode()).decode(),
    "base64 of a name and a password": lambda text: base64.b64encode(f"me:{text}".encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(f"x{text}".encode()).decode(),
    "hex": lambda text: text.encode().hex(),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_key_is_found_however_it_is_spelled(way: str, tmp_path: Path) -> None:
    (tmp_path / ".batchgen").mkdir()
    (tmp_path / ".batchgen/run.jsonl").write_text(f"before {WAYS[way](KEY)} after")
    assert leaks(tmp_path, "nothing", [KEY]) == [".batchgen/run.jsonl"]
    assert leaks(tmp_path / "none", WAYS[way](KEY), [KEY]) == ["what was said"]


def _parquet(path: Path, text: str) -> None:
    pq.write_table(pa.table({"error_message": [text] * 50}), path, compression="zstd")


def _parquet_head(path: Path, text: str) -> None:
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({"batchgen.batch": text}), path)


def _journal(path: Path, text: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE events (event TEXT)")
        connection.execute("INSERT INTO events VALUES (?)", ("x" * 4070 + text + "x" * 4000,))  # over two pages
    connection.close()


def _picture(path: Path, text: str) -> None:
    about = PngImagePlugin.PngInfo()
    about.add_text("Comment", text, zip=True)
    Image.new("L", (2, 2)).save(path, pnginfo=about)


@pytest.mark.parametrize(
    ("name", "plant"),
    [
        ("metadata.parquet", _parquet),
        ("head.parquet", _parquet_head),
        ("journal.sqlite", _journal),
        ("fox.png", _picture),
    ],
)
def test_a_key_is_found_in_what_a_format_hides(name: str, plant: Callable[[Path, str], None], tmp_path: Path) -> None:
    plant(tmp_path / name, KEY)
    assert leaks(tmp_path, "", [KEY]) == [name]


def test_a_key_is_found_in_a_name_and_in_where_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / quote(KEY, safe="")).touch()
    (tmp_path / "link").symlink_to(f"/tmp/{quote(KEY, safe='')}")
    assert leaks(tmp_path, "", [KEY]) == [f"the name {quote(KEY, safe='')!r}", "where link leads"]


def test_where_there_is_none_none_is_found(tmp_path: Path) -> None:
    _parquet(tmp_path / "metadata.parquet", "sk-campaign")
    _journal(tmp_path / "journal.sqlite", "5ecret+key")
    _picture(tmp_path / "fox.png", KEY[1:])
    assert leaks(tmp_path, KEY[:-1], [KEY]) == []
