"""What is held in memory, and what is given back."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import batchgen
from batchgen.adapters.memory import give_back
from batchgen.streaming import streamed

#: Bytes of a table of texts that do not compress.
_BYTES = 24_000_000
_PIECE, _PIECES = 100_000, 600


@pytest.mark.parametrize("rows_in_a_group", [1_000, 120_000], ids=["many row groups", "one row group"])
def test_of_a_table_that_is_read_in_a_stream_a_fraction_is_in_memory(tmp_path: Path, rows_in_a_group: int) -> None:
    path, rows = tmp_path / "table.parquet", 120_000
    texts = [f"{number * 0x9E3779B97F4A7C15 % 2**64:0{_BYTES // rows}d}" for number in range(rows)]
    table = pa.table({"text": texts})
    pq.write_table(table, path, row_group_size=rows_in_a_group, compression="none", use_dictionary=False)
    before, held, seen = pa.total_allocated_bytes(), 0, 0
    with streamed(path) as file:
        for batch in file.iter_batches(batch_size=500):
            held = max(held, pa.total_allocated_bytes() - before)
            seen += batch.num_rows
    assert seen == rows
    assert held < _BYTES / 10


def test_a_damaged_page_is_noticed_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"n": list(range(1_000))}), path, compression="none", write_page_checksum=True)
    damaged = bytearray(path.read_bytes())
    damaged[200] ^= 1
    path.write_bytes(damaged)
    assert sum(batch.num_rows for batch in streamed(path).iter_batches()) == 1_000
    with pytest.raises(OSError, match="CRC"):
        list(streamed(path, verified=True).iter_batches())


def _own() -> int:
    """Bytes of memory that are no file's."""
    found = re.search(r"^Anonymous: +(\d+) kB", Path("/proc/self/smaps_rollup").read_text(), flags=re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another C library")
def test_what_was_freed_between_things_that_stay_is_given_back() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    pieces = [libc.malloc(_PIECE) for _ in range(_PIECES)]
    for piece in pieces:
        ctypes.memset(piece, 1, _PIECE)
    for piece in pieces[:-1]:
        libc.free(piece)
    held = _own()
    give_back()
    assert held - _own() > _PIECE * _PIECES / 2
    libc.free(pieces[-1])


@pytest.mark.parametrize("own_process", [False, True])
def test_a_run_in_a_process_that_is_somebody_elses_leaves_its_memory_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_process: bool
) -> None:
    libraries: list[object] = []
    real = ctypes.CDLL

    def opened(*name: Any) -> ctypes.CDLL:
        libraries.append(name)
        return real(*name)

    monkeypatch.setattr(ctypes, "CDLL", opened)
    manifest = tmp_path / "m.yaml"
    manifest.write_text("profile: simulator\nparams: {width: 16, height: 16}\nprompts: [A fox]\n")
    batchgen.run(manifest, out=tmp_path / "out", settings=batchgen.Settings(own_process=own_process))
    assert bool(libraries) is own_process
