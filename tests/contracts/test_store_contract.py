"""What `ports.ImageStore` promises."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from batchgen.adapters.file_store import FileStore
from batchgen.errors import StorageFailed
from batchgen.ports import ImageStore
from batchgen.testing import MemoryStore, tiny_png
from tests.factories import an_image

#: A store, and a way to read what it holds by its relative name.
Opened = tuple[ImageStore, Callable[[str], bytes]]


def _file_store(folder: Path) -> Opened:
    return FileStore(folder), lambda name: (folder / name).read_bytes()


def _memory_store(_: Path) -> Opened:
    store = MemoryStore()
    return store, lambda name: store.files[name]


#: A further store is added here.
STORES: list[Callable[[Path], Opened]] = [_file_store, _memory_store]


@pytest.fixture(params=STORES, ids=lambda opened: opened.__name__.strip("_"))
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    found: Opened = request.param(tmp_path)
    return found


def test_an_image_is_kept_byte_for_byte_under_its_stem_and_format(opened: Opened) -> None:
    store, read = opened
    image, content = an_image()
    name = store.keep("images/fox-0", image, content)
    assert name == "images/fox-0.png"
    assert read(name) == content


def test_the_extension_is_that_of_the_bytes(opened: Opened) -> None:
    store, _ = opened
    assert store.keep("images/a.b", *an_image(format="webp")) == "images/a.b.webp"


def test_folders_are_made_as_they_are_needed(opened: Opened) -> None:
    store, read = opened
    assert read(store.keep("images/0001/deep/fox-0", *an_image())) == tiny_png()


def test_keeping_a_name_again_replaces_the_image(opened: Opened) -> None:
    store, read = opened
    store.keep("images/fox-0", *an_image())
    again = tiny_png(9, 9)
    assert read(store.keep("images/fox-0", *an_image(again))) == again


def test_images_may_be_kept_from_several_threads(opened: Opened) -> None:
    store, read = opened
    contents = [tiny_png(1 + n, 1) for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        stems = [f"images/{n % 7:04}/{n}" for n in range(40)]
        names = list(pool.map(lambda stem, content: store.keep(stem, *an_image(content)), stems, contents))
    assert [read(name) for name in names] == contents


@pytest.mark.parametrize(
    "stem",
    [
        "",
        ".",
        "..",
        "../fox",
        "images/../../fox",
        "images/..",
        "images/",
        "images//fox",
        "./fox",
        "/etc/fox",
        "images\\fox",
        "C:fox",
        "C:/fox",
        "fox\0",
        "fox\n",
        "fox\udcff",
        "images/fox*",
    ],
)
def test_a_name_that_would_leave_the_folder_or_fit_no_disk_is_refused(opened: Opened, stem: str) -> None:
    store, _ = opened
    with pytest.raises(StorageFailed, match="not a file name inside the batch folder"):
        store.keep(stem, *an_image())


def test_a_name_in_any_script_is_taken(opened: Opened) -> None:
    store, read = opened
    assert read(store.keep("images/狐-лиса-0", *an_image())) == tiny_png()
