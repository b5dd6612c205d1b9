"""Images that are rejected once they are stored: the same as another, or looking it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchgen
from batchgen import Settings
from batchgen.adapters.file_store import FileStore
from batchgen.adapters.profiles import find_profile
from batchgen.app.checking import check
from batchgen.app.verdicts import Verdicts
from batchgen.checks import Checks, DuplicateCheck, Finding
from batchgen.firsts import FirstsInMemory
from batchgen.model import REJECTED_FOLDER, StoredImage
from batchgen.policy import Verdict
from batchgen.simulator import Behaviour, Fixed, Simulator, background
from tests.factories import an_image


def run(folder: Path, url: str, checks: str, prompts: int = 4) -> pd.DataFrame:
    manifest = folder / "m.yaml"
    named = json.dumps([f"prompt {n}" for n in range(prompts)])
    manifest.write_text(
        f"profile: simulator\nparams: {{samples: 2, width: 32, height: 32}}\nchecks: {checks}\nprompts: {named}\n"
    )
    made = batchgen.run(manifest, out=folder / "out", settings=Settings(base_url=url, report=False))
    assert check(folder / "out").flaws == ()
    return made.frame()


def simulator(**behaviour: object) -> Simulator:
    return Simulator(find_profile("simulator"), behaviour=Behaviour(latency=Fixed(0), **behaviour))


BLANK = {"image": {"blank": 1.0}}


@pytest.fixture
def blank(tmp_path: Path) -> Simulator:
    """Gives the same black picture whatever is asked."""
    return simulator(faults=BLANK)


def test_the_first_of_the_same_images_stays_and_the_others_are_kept_aside(tmp_path: Path, blank: Simulator) -> None:
    with background(blank) as url:
        frame = run(tmp_path, url, "{duplicates: reject}")
        assert list(frame.status) == ["stored"] + ["rejected"] * 7
        assert set(frame.error_message[1:]) == {
            f"The image was made and is kept aside: it is the same as {frame.file_name[0]}."
        }
        assert set(frame.checks[1:]) == {"blank,duplicate"}
        assert [path.name for path in (tmp_path / "out/images").iterdir()] == [Path(frame.file_name[0]).name]
        assert len(list((tmp_path / "out" / REJECTED_FOLDER).iterdir())) == 7
        again = (tmp_path / "out/metadata.parquet").read_bytes()
        run(tmp_path, url, "{duplicates: reject}")
        assert (tmp_path / "out/metadata.parquet").read_bytes() == again
        assert blank.audit().accepted == 4


def test_images_that_only_look_the_same_are_rejected_where_that_is_said(tmp_path: Path) -> None:
    with background(simulator(pictures="tiny")) as url:
        frame = run(tmp_path, url, "{duplicates: reject}")
        assert list(frame.status) == ["stored"] * 8
        assert frame.near_duplicate_of.notna().sum() == 7
        frame = run(tmp_path, url, "{duplicates: reject-near}")
        assert list(frame.status) == ["stored"] + ["rejected"] * 7
        assert "it looks the same as" in frame.error_message[1]
        assert "near_duplicate" in frame.checks[1]


def test_the_same_images_stay_in_the_dataset_where_that_is_wanted(tmp_path: Path, blank: Simulator) -> None:
    with background(blank) as url:
        frame = run(tmp_path, url, "{duplicates: reject, on_reject: keep, blank: reject}")
    assert list(frame.status) == ["stored"] * 8
    assert list(frame.checks) == ["blank"] + ["blank,duplicate"] * 7


def test_an_image_that_a_killed_run_had_moved_and_not_noted_is_found_where_it_is(
    tmp_path: Path, blank: Simulator
) -> None:
    with background(blank) as url:
        frame = run(tmp_path, url, "{}")
        moved = FileStore(tmp_path / "out").set_aside(frame.file_name[3])
        assert moved is not None
        frame = run(tmp_path, url, "{duplicates: reject}")
    assert list(frame.status) == ["stored"] + ["rejected"] * 7
    assert frame.rejected_file[3] == moved


def test_an_image_that_is_gone_is_left_to_the_check_of_the_folder(tmp_path: Path, blank: Simulator) -> None:
    with background(blank) as url:
        frame = run(tmp_path, url, "{}")
        (tmp_path / "out" / frame.file_name[3]).unlink()
        manifest = tmp_path / "m.yaml"
        manifest.write_text(manifest.read_text().replace("checks: {}", "checks: {duplicates: reject}"))
        settings = Settings(base_url=url, report=False)
        assert list(batchgen.run(manifest, out=tmp_path / "out", settings=settings).frame().status)[3] == "stored"
        assert [flaw.kind for flaw in check(tmp_path / "out", repair=True).reopened] == ["image_missing"]
        ended = batchgen.run(manifest, out=tmp_path / "out", settings=settings).frame()
        assert list(ended.status) == ["stored"] + ["rejected"] * 7
        assert blank.audit().accepted == 4


HASHES = st.integers(0, 3).map(lambda bits: f"{(1 << 4 * bits) - 1:016x}")
IMAGES = st.lists(st.tuples(st.sampled_from("abcd"), HASHES, st.booleans()), max_size=12)


def images_of(told: Sequence[tuple[str, str, bool]]) -> list[StoredImage]:
    return [
        StoredImage(
            sample=n,
            file_name=f"images/{n}.png",
            source_url="https://a",
            image=replace(an_image()[0], sha256=sha256, phash=phash),
            rejected="before" if rejected else None,
        )
        for n, (sha256, phash, rejected) in enumerate(told)
    ]


@given(IMAGES, st.integers(1, 5))
def test_what_stays_holds_each_image_once_however_they_are_told(
    told: Sequence[tuple[str, str, bool]], at_once: int
) -> None:
    images = images_of(told)
    verdicts = Verdicts(Checks(duplicates=DuplicateCheck.REJECT), FirstsInMemory())
    found: dict[str, tuple[StoredImage, Verdict]] = {}
    for start in range(0, len(images), at_once):
        found |= verdicts.of(images[start : start + at_once])
    stay = [image.image.sha256 for image in images if image.rejected is None and image.file_name not in found]
    assert len(stay) == len(set(stay))
    assert set(stay) == {image.image.sha256 for image in images if image.rejected is None}
    assert all(verdict.findings == (Finding.DUPLICATE,) for _, verdict in found.values())


@given(IMAGES)
def test_no_two_that_stay_look_the_same(told: Sequence[tuple[str, str, bool]]) -> None:
    images = images_of(told)
    found = Verdicts(Checks(duplicates=DuplicateCheck.REJECT_NEAR), FirstsInMemory()).of(images)
    stay = [image for image in images if image.rejected is None and image.file_name not in found]
    hashes = [int(image.image.phash or "", 16) for image in stay]
    assert all((one ^ other).bit_count() > 6 for n, one in enumerate(hashes) for other in hashes[:n])
