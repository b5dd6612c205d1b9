"""What `ports.ImageFetcher` promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from aiohttp import web

from batchgen.adapters.file_store import FileStore
from batchgen.adapters.http_api.addresses import AddressRule
from batchgen.adapters.http_api.image_hosts import ImageHosts
from batchgen.adapters.image_check import PillowCheck
from batchgen.adapters.image_process.fetching import ImageProcesses
from batchgen.app import image_worker
from batchgen.app.image_worker import Setup
from batchgen.checks import Checks
from batchgen.errors import Came, ResultUnavailable, StorageFailed
from batchgen.intake import Intake
from batchgen.ports import ImageFetcher, SampleLink, Wanted
from batchgen.testing import DirectFetcher, tiny_png
from tests.factories import a_request

#: A fetcher that keeps images in the folder.
Opened = Callable[[Path, Checks], AbstractAsyncContextManager[ImageFetcher]]
NEAR = AddressRule(loopback=True)
PAGE = b"<html>502 Bad Gateway, key hunter2</html>"


def image_processes(folder: Path, checks: Checks) -> AbstractAsyncContextManager[ImageFetcher]:
    setup = Setup(folder=folder, rule=NEAR, checks=checks, embeds=None)
    clean: Callable[[str], str] = lambda text: text.replace("hunter2", "…")  # noqa: E731
    return ImageProcesses(image_worker.__name__, setup, most=2, clean=clean)


@asynccontextmanager
async def direct_fetcher(folder: Path, checks: Checks) -> AsyncIterator[ImageFetcher]:
    async with ImageHosts(NEAR) as hosts:
        yield DirectFetcher(hosts.download, Intake(PillowCheck(), checks), FileStore(folder))


@pytest.fixture(params=[image_processes, direct_fetcher], ids=lambda opened: opened.__name__)
def opened(request: pytest.FixtureRequest) -> Opened:
    found: Opened = request.param
    return found


@asynccontextmanager
async def host(content: bytes, *, status: int = 200) -> AsyncIterator[str]:
    """A link to that content."""

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(body=content, status=status)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/image"
    finally:
        await runner.cleanup()


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def link(url: str, wanted: Wanted = Wanted.ANY, **params: int) -> SampleLink:
    return SampleLink(request=a_request(params=params), sample=1, url=url, wanted=wanted)


async def test_an_image_is_kept_byte_for_byte_and_said_to_be_what_it_is(opened: Opened, tmp_path: Path) -> None:
    content = tiny_png(9, 7)
    async with host(content) as url, opened(tmp_path, Checks()) as fetcher:
        stored = await fetcher.fetch(link(url))
    assert (tmp_path / stored.file_name).read_bytes() == content
    assert stored.file_name == "images/fox-0123456789-1.png"
    assert (stored.sample, stored.source_url) == (1, url)
    assert (stored.image.width, stored.image.height, stored.image.bytes) == (9, 7, len(content))
    assert stored.image.sha256 == sha256(content).hexdigest()


async def test_what_is_only_looked_at_is_not_kept(opened: Opened, tmp_path: Path) -> None:
    async with host(tiny_png(9, 7)) as url, opened(tmp_path, Checks()) as fetcher:
        assert (await fetcher.look(url)).width == 9
    assert files(tmp_path) == []


async def test_an_image_that_a_check_rejects_is_kept_aside(opened: Opened, tmp_path: Path) -> None:
    async with host(tiny_png(9, 7)) as url, opened(tmp_path, Checks.of({"size": "exact"})) as fetcher:
        stored = await fetcher.fetch(link(url, width=16, height=16))
    assert stored.file_name == ".batchgen/rejected/fox-0123456789-1.png"
    assert stored.rejected is not None


async def test_what_is_no_image_is_told_with_how_it_begins(opened: Opened, tmp_path: Path) -> None:
    async with host(PAGE) as url, opened(tmp_path, Checks()) as fetcher:
        with pytest.raises(ResultUnavailable, match="neither PNG, WEBP nor JPEG") as caught:
            await fetcher.fetch(link(url))
    assert (caught.value.permanent, caught.value.came) == (True, Came.SPOILT)


@pytest.mark.parametrize(("status", "permanent"), [(404, False), (410, True)])
async def test_what_the_host_says_instead_is_passed_on(
    opened: Opened, tmp_path: Path, status: int, permanent: bool
) -> None:
    async with host(b"", status=status) as url, opened(tmp_path, Checks()) as fetcher:
        with pytest.raises(ResultUnavailable) as caught:
            await fetcher.look(url)
    assert (caught.value.http_status, caught.value.permanent) == (status, permanent)


@pytest.mark.parametrize("wanted", [Wanted.OF_SIZE, Wanted.PROVEN])
async def test_a_picture_of_another_size_is_refused_where_none_is_wanted(
    opened: Opened, tmp_path: Path, wanted: Wanted
) -> None:
    async with host(tiny_png(9, 7)) as url, opened(tmp_path, Checks()) as fetcher:
        with pytest.raises(ResultUnavailable) as caught:
            await fetcher.fetch(link(url, wanted, width=16, height=16))
    assert caught.value.came is Came.OTHER
    assert files(tmp_path) == []


async def test_a_disk_that_does_not_take_an_image_is_named(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "images").write_text("no folder")
    async with host(tiny_png()) as url, opened(tmp_path, Checks()) as fetcher:
        with pytest.raises(StorageFailed, match="run the same command again"):
            await fetcher.fetch(link(url))
