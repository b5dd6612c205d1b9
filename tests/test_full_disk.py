"""A disk without room at any write of a run: a sentence, exit code 5, and the next run costs nothing more."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import batchgen
from batchgen.adapters.profiles import find_profile
from batchgen.app.checking import check
from batchgen.simulator import Simulator, background

REQUESTS = 12
MANIFEST = f"""\
profile: simulator
params: {{samples: 2, width: 192, height: 192}}
concurrency: 4
prompts: {[f"prompt number {n}" for n in range(REQUESTS)]}
"""
#: Bytes: what a run keeps free beside the journal; less than a journal takes; what journal and plan take; enough.
BALLAST, SMALL, PLANNED, LARGE = 8 * 2**20, 40 * 2**10, 160 * 2**10, 64 * 2**20

#: Gives the disk a new size, in bytes.
Resize = Callable[[int], None]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Resize]]:
    """A file system of its own; only root can make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(_mount(folder, "size=64m"), capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder, lambda size: _remount(folder, size)
    subprocess.run(["umount", str(folder)], check=True)


def _remount(folder: Path, size: int) -> None:
    subprocess.run(_mount(folder, f"remount,size={size}"), check=True)


def _mount(folder: Path, options: str) -> list[str]:
    return ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]


def used(folder: Path) -> int:
    """Bytes that are taken on the folder's disk."""
    system = os.statvfs(folder)
    return (system.f_blocks - system.f_bfree) * system.f_frsize


def run_and_mend(size: int, disk: tuple[Path, Resize], folder: Path) -> tuple[str | None, int]:
    """Run on a disk of that size, then on a large one.

    Returns:
        What the first run said, if it did not end well; and the bytes that the finished batch takes.
    """
    mounted, resize = disk
    out = mounted / f"out-{size}"
    simulator = Simulator(find_profile("simulator"), latency=(0, 0.02))
    (folder / "m.yaml").write_text(MANIFEST)
    resize(size)
    said = None
    with background(simulator) as url:
        settings = batchgen.Settings(base_url=url, grace=3)
        try:
            batchgen.run(folder / "m.yaml", out=out, settings=settings)
        except batchgen.StorageFailed as failed:
            said = str(failed)
        resize(LARGE)
        ended = batchgen.run(folder / "m.yaml", out=out, settings=settings)
    assert ended.exit_code == 0, (size, said)
    assert simulator.audit().accepted == REQUESTS, (size, said)
    assert check(out).exit_code == 0, (size, said)
    taken = used(mounted)
    shutil.rmtree(out)
    return said, taken


def fill_everywhere(disk: tuple[Path, Resize], folder: Path, *, places: int) -> list[str]:
    """What runs say on disks of so many sizes, from nearly nothing to nearly enough."""
    said, whole = run_and_mend(LARGE, disk, folder)
    assert said is None
    first = places // 3  # while planning, before anything is sent; the others once the ballast is there
    sizes = [SMALL + n * (PLANNED - SMALL) // first for n in range(first)]
    sizes += [BALLAST + PLANNED + n * (whole - PLANNED) // (places - first) for n in range(places - first)]
    return [said for size in sizes if (said := run_and_mend(size, disk, folder)[0]) is not None]


def test_a_disk_that_is_full_at_some_write_is_told_and_costs_nothing(disk: tuple[Path, Resize], tmp_path: Path) -> None:
    said = fill_everywhere(disk, tmp_path, places=6)
    assert len(said) >= 5
    assert all(re.search("room|full|space", words) and "run" in words for words in said)


@pytest.mark.campaign
def test_a_disk_that_is_full_at_any_of_fifty_writes_is_told_and_costs_nothing(
    disk: tuple[Path, Resize], tmp_path: Path
) -> None:
    said = fill_everywhere(disk, tmp_path, places=60)
    assert len(said) >= 50
    assert all(re.search("room|full|space", words) and "run" in words for words in said)
