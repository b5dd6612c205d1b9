"""Image processes may be killed, may crash, and outlive nobody."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from batchgen.adapters.image_process.fetching import ImageProcesses, ProcessDied, _Process
from batchgen.adapters.image_process.frames import Unpacking, packed
from batchgen.app.event_loop import run_in_loop
from batchgen.checks import Checks
from batchgen.errors import Came, ResultUnavailable, StorageFailed
from batchgen.testing import tiny_png
from tests import dying_worker
from tests.contracts.test_fetcher_contract import PAGE, files, host, image_processes, link

ROOT = Path(__file__).parents[1]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"


@contextmanager
def listener() -> Iterator[tuple[socket.socket, str]]:
    """An image host that answers by hand."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server, f"http://127.0.0.1:{server.getsockname()[1]}/image"


async def asked(server: socket.socket) -> socket.socket:
    """The connection on which somebody has asked for the image."""
    connection, _ = await asyncio.to_thread(server.accept)
    connection.settimeout(60)
    await asyncio.to_thread(connection.recv, 65536)
    return connection


def owner(connection: socket.socket) -> int:
    """The process at the other end."""
    port, ours = connection.getpeername()[1], connection.getsockname()[1]
    socket_name = f"socket:[{_inode(port, to=ours)}]"
    for handle in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):  # closed in the meantime
            if str(handle.readlink()) == socket_name:
                return int(handle.parts[2])
    raise AssertionError("nobody")


def environment_of(process: int) -> bytes:
    return Path(f"/proc/{process}/environ").read_bytes()


def _inode(port: int, *, to: int) -> str:
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = [[int(place.rpartition(":")[2], 16) for place in row[1:3]] for row in rows]
    return next(row[9] for row, end in zip(rows, ends, strict=True) if end == [port, to])


async def test_an_image_whose_process_is_killed_is_fetched_by_another(tmp_path: Path) -> None:
    with listener() as (server, url):
        async with image_processes(tmp_path, Checks()) as images:
            stored = asyncio.ensure_future(images.fetch(link(url)))
            with await asked(server) as first:
                os.kill(owner(first), signal.SIGKILL)
            with await asked(server) as second:
                second.sendall(ANSWER % len(tiny_png()) + tiny_png())
                assert (tmp_path / (await stored).file_name).read_bytes() == tiny_png()


def test_a_process_that_ends_as_soon_as_it_was_started_has_died_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))

    async def try_often() -> list[object]:
        told: list[object] = []
        for _ in range(30):
            process = await _Process.started("no module", "setup" * 2_000, {})
            told += await asyncio.gather(process.do("https://image.host/image"), return_exceptions=True)
            await process.close()
        return told

    assert [type(one) for one in run_in_loop(try_often())] == [ProcessDied] * 30


async def test_a_system_that_starts_no_more_processes_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    async with image_processes(tmp_path, Checks()) as images:
        with pytest.raises(StorageFailed, match=r"starts no process to fetch images in: .*gone.*Nothing that was paid"):
            await images.fetch(link("https://image.host/image"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_stop_that_is_told_to_all_processes_interrupts_no_image(tmp_path: Path, number: signal.Signals) -> None:
    with listener() as (server, url):
        async with image_processes(tmp_path, Checks()) as images:
            stored = asyncio.ensure_future(images.fetch(link(url)))
            with await asked(server) as connection:
                os.kill(owner(connection), number)
                connection.sendall(ANSWER % len(tiny_png()) + tiny_png())
                assert (tmp_path / (await stored).file_name).read_bytes() == tiny_png()


async def test_an_image_that_kills_each_process_is_refused_and_the_run_goes_on(tmp_path: Path) -> None:
    async with ImageProcesses(dying_worker.__name__, "setup", most=1) as images:
        with pytest.raises(ResultUnavailable, match="makes the decoder crash") as caught:
            await images.fetch(link("https://images.test/a"))
    assert (caught.value.permanent, caught.value.came) == (True, Came.SPOILT)


async def test_a_process_that_ends_before_it_begins_is_no_images_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    async with ImageProcesses(dying_worker.__name__, "setup", most=1) as images:
        with pytest.raises(StorageFailed, match="ends before it begins"):
            await images.fetch(link("https://images.test/a"))


async def test_a_secret_is_not_quoted_from_what_is_no_image(tmp_path: Path) -> None:
    async with host(PAGE) as url, image_processes(tmp_path, Checks()) as images:
        with pytest.raises(ResultUnavailable) as caught:
            await images.fetch(link(url))
    assert "It begins: '<html>502 Bad Gateway, key …</html>'" in str(caught.value)


async def test_no_key_is_in_the_environment_of_an_image_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEPIPELINE_API_KEY", "hunter2")
    monkeypatch.setenv("BATCHGEN_KEY_API_TEST", "hunter2")
    monkeypatch.setenv("MY_CREDENTIAL", "as hunter2 is")  # known by what it holds
    with listener() as (server, url):
        async with image_processes(tmp_path, Checks()) as images:
            seen = asyncio.ensure_future(images.look(url))
            with await asked(server) as connection:
                environment = environment_of(owner(connection))
                connection.sendall(ANSWER % len(tiny_png()) + tiny_png())
            await seen
    assert b"PYTHONPATH" in environment
    assert b"hunter2" not in environment


async def test_a_process_ends_with_the_run_that_was_killed_and_keeps_nothing_any_more(tmp_path: Path) -> None:
    with listener() as (server, url):
        program = textwrap.dedent(f"""
            import asyncio
            from pathlib import Path
            from batchgen.checks import Checks
            from tests.contracts.test_fetcher_contract import image_processes, link
            async def main():
                async with image_processes(Path({str(tmp_path)!r}), Checks()) as images:
                    await images.fetch(link({url!r}))
            asyncio.run(main())
        """)
        run = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=ROOT)
        with await asked(server) as connection:
            run.kill()
            assert await asyncio.to_thread(connection.recv, 1) == b""
        await run.wait()
    assert files(tmp_path) == []


def started() -> set[int]:
    """The processes that this one has started, and that have not ended."""
    return {int(one) for task in Path("/proc/self/task").iterdir() for one in (task / "children").read_text().split()}


async def test_a_process_that_was_started_ahead_and_got_nothing_to_do_ends_with_the_run() -> None:
    before = started()
    async with ImageProcesses(dying_worker.__name__, "setup", most=2, ahead=True):
        pass
    assert started() == before


async def test_many_links_of_large_images_start_a_second_process_before_any_image_came(tmp_path: Path) -> None:
    before = started()
    with listener() as (server, url):
        async with image_processes(tmp_path, Checks()) as images:
            fetched = [asyncio.ensure_future(images.fetch(link(url, width=1024, height=1024))) for _ in range(16)]
            with await asked(server):
                assert len(started() - before) == 2
            for one in fetched:
                one.cancel()


async def test_many_links_of_small_images_are_left_to_one_process(tmp_path: Path) -> None:
    before = started()
    async with host(tiny_png()) as url, image_processes(tmp_path, Checks()) as images:
        await asyncio.gather(*(images.fetch(link(url, width=64, height=64)) for _ in range(60)))
        assert len(started() - before) == 1


@asynccontextmanager
async def several(tmp_path: Path, count: int) -> AsyncIterator[list[asyncio.Future[object]]]:
    async with host(tiny_png()) as url, image_processes(tmp_path, Checks()) as images:
        yield [asyncio.ensure_future(images.fetch(link(url))) for _ in range(count)]


async def test_many_images_at_once_are_all_kept(tmp_path: Path) -> None:
    async with several(tmp_path, 50) as fetched:
        assert len(await asyncio.gather(*fetched)) == 50
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["fox-0123456789-1.png"]


def test_values_come_out_of_a_pipe_as_they_went_in_however_they_are_cut() -> None:
    values = [("a", 1), None, {"b": b"x" * 3000}]
    stream = b"".join(packed(value) for value in values)
    for size in (1, 3, 7, 1000, len(stream)):
        unpacking = Unpacking()
        pieces = (stream[start : start + size] for start in range(0, len(stream), size))
        assert [value for piece in pieces for value in unpacking.feed(piece)] == values
