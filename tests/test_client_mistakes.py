"""The mistakes that were seen in public clients of these APIs, each shown not to be made, over real HTTP."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from email.utils import formatdate
from pathlib import Path
from time import time
from urllib.parse import quote

import pytest

from batchgen import AccountBlocked, Status
from batchgen.checks import BlankCheck, Checks
from batchgen.testing import tiny_png
from tests.scripted import IMAGES, KEY, Reply, Scripted, broken, done, picture, ran, reply, row_of, rows_of


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEPIPELINE_API_KEY", KEY)


async def test_the_classic_api_never_says_completed_and_is_not_waited_for_to_say_it(tmp_path: Path) -> None:
    async with Scripted(polls=[done()]) as api:
        assert (await ran(api, tmp_path)).exit_code == 0
    assert api.posts == 1


async def test_processing_is_not_an_end(tmp_path: Path) -> None:
    async with Scripted(polls=[{"status": "PROCESSING"}, {"status": "PROCESSING"}, done()]) as api:
        assert (await ran(api, tmp_path)).exit_code == 0
    assert len(api.paths()) == 3


async def test_a_job_that_never_ends_does_not_keep_the_run_from_ending(tmp_path: Path) -> None:
    (tmp_path / "hasty.yaml").write_text("extends: sd3\nname: sd3\njob_deadline: 0.5\n")
    async with Scripted(polls=[{"status": "PENDING"}]) as api:
        result = await ran(api, tmp_path, profile="hasty.yaml")
        assert (result.exit_code, result.samples[Status.PENDING]) == (6, 1)
    async with Scripted(polls=[done()]) as later:
        assert (await ran(later, tmp_path, profile="hasty.yaml")).exit_code == 0
    assert (api.posts, later.posts) == (1, 0)


@pytest.mark.parametrize("name", ["sd3", "sd3_5", "flux", "sdxl", "sd15", "image-v1"])
async def test_a_job_is_asked_about_at_its_own_endpoint(name: str, tmp_path: Path) -> None:
    async with Scripted(name) as api:
        assert (await ran(api, tmp_path, params="samples: 1")).exit_code == 0
    assert api.paths("POST") == [api.profile.submit_path]
    assert api.paths() == [f"{api.profile.submit_path}/status/job-1"]
    assert all(one.headers[api.profile.key.header] == KEY for one in api.seen if one not in api.to_images())


async def test_a_network_error_while_polling_does_not_end_a_job_that_goes_on_and_is_paid(tmp_path: Path) -> None:
    polls: list[Reply] = [broken, reply(502, b"<html>Bad Gateway</html>"), reply(200, b"{"), done()]
    async with Scripted(polls=polls) as api:
        assert (await ran(api, tmp_path)).exit_code == 0
    assert (api.posts, len(api.paths())) == (1, 4)


async def test_no_two_samples_have_one_name_and_a_name_comes_from_no_clock(tmp_path: Path) -> None:
    names = []
    for place in ("first", "second"):
        (tmp_path / place).mkdir()
        async with Scripted(posts=[done(4)]) as api:
            result = await ran(api, tmp_path / place, params="samples: 4, width: 16, height: 16")
        names.append([path.name for path in result.images()])
        assert all(path.is_file() for path in result.images())
    assert len(set(names[0])) == 4
    assert names[0] == names[1]


@pytest.mark.parametrize(("kind", "extension"), [("WEBP", "webp"), ("JPEG", "jpg"), ("PNG", "png")])
async def test_the_bytes_decide_the_extension_and_not_the_link_or_the_header(
    kind: str, extension: str, tmp_path: Path
) -> None:
    post = done() | {"download_urls": [f"{IMAGES}/b2_download_file_by_id.png?fileId=4_z.png"]}
    image = reply(200, picture(kind=kind), Content_Type="image/png")
    async with Scripted(posts=[post], images=[image]) as api:
        row = await row_of(api, tmp_path)
    assert row["file_name"].endswith(f".{extension}")
    assert row["format"] == extension


@pytest.mark.parametrize("name", ["flux", "sdxl", "sd15", "image-v1"])
async def test_a_seed_of_nought_is_sent_as_nought(name: str, tmp_path: Path) -> None:
    async with Scripted(name) as api:
        row = await row_of(api, tmp_path, params="seed: 0, samples: 1")
    assert api.bodies[0]["seed"] == 0
    assert row["seed"] == 0


async def test_the_key_is_not_sent_to_the_image_host(tmp_path: Path) -> None:
    async with Scripted(posts=[done(2)]) as api:
        await ran(api, tmp_path, params="samples: 2, width: 16, height: 16")
    assert len(api.to_images()) == 2
    for request in api.to_images():
        assert "API-Key" not in request.headers
        assert KEY not in str(request.headers)


async def test_the_key_is_in_no_file_and_no_message_even_where_the_api_repeats_it(tmp_path: Path) -> None:
    said = {"error": f"bad key {KEY}", "echo": [KEY, quote(KEY, safe="")]}
    posts: list[Reply] = [reply(400, said), {"id": "j", "status": "FAILURE", **said}, reply(500, said)]
    async with Scripted(posts=[*posts, done(echo=KEY)], polls=[reply(404, said)]) as api:
        await ran(api, tmp_path, prompts=["a", "b", "c", "d"], concurrency=1)
        command = ["run", "m.yaml", "-o", "out", "--base-url", api.url, "--retry", "failed", "-v", "-v"]
        # In a thread, for the API answers in this loop.
        shown = await _output([sys.executable, "-m", "batchgen", *command], tmp_path)
    assert api.posts > 4
    assert _spellings(shown) == []
    assert _files_with_the_key(tmp_path) == []


async def _output(command: list[str], folder: Path) -> bytes:
    done = await asyncio.to_thread(subprocess.run, command, cwd=folder, capture_output=True, check=False)
    return done.stdout + done.stderr


def _files_with_the_key(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and _spellings(path.read_bytes())]


def _spellings(content: bytes) -> list[str]:
    return [one for one in (KEY, quote(KEY), quote(KEY, safe="")) if one.encode() in content]


async def test_cancelled_is_an_end_and_is_not_paid_for_again(tmp_path: Path) -> None:
    polls = [{"job_id": "j", "status": "processing"}, {"job_id": "j", "status": "cancelled"}]
    async with Scripted("image-v1", polls=polls) as api:
        row = await row_of(api, tmp_path)
    assert (row["status"], row["error_class"]) == ("failed", "job_failed")
    assert api.posts == 1


async def test_a_retry_after_that_is_a_date_is_waited_for(tmp_path: Path) -> None:
    busy = reply(429, {"detail": "slow down"}, Retry_After=formatdate(time() + 1, usegmt=True))
    async with Scripted(posts=[busy, done()]) as api:
        row = await row_of(api, tmp_path)
    assert (row["status"], row["attempts"]) == ("stored", 1)
    assert api.posts == 2


async def test_a_key_that_is_refused_is_not_tried_again(tmp_path: Path) -> None:
    async with Scripted(posts=[reply(401, {"detail": "Invalid API key"})]) as api:
        with pytest.raises(AccountBlocked, match="Invalid API key"):
            await ran(api, tmp_path, prompts=[f"prompt {n}" for n in range(20)], concurrency=1)
    assert api.posts == 1


async def test_a_black_picture_of_a_safety_filter_is_told_and_where_it_is_not_wanted_kept_out_of_the_data(
    tmp_path: Path,
) -> None:
    black = reply(200, tiny_png(16, 16, (0, 0, 0)))
    for place, checks in (("told", None), ("kept out", Checks(blank=BlankCheck.REJECT))):
        (tmp_path / place).mkdir()
        async with Scripted(posts=[done()], images=[black]) as api:
            result = await ran(api, tmp_path / place, checks=checks)
        (row,) = rows_of(result)
        assert row["checks"] == "blank"
        if checks is None:
            assert (result.exit_code, row["status"]) == (0, "stored")
            assert result.findings == {"blank": 1}
        else:
            assert (result.exit_code, row["status"], row["file_name"]) == (3, "rejected", None)
            assert (result.out / row["rejected_file"]).is_file()
            assert list(result.images()) == []
        assert api.posts == 1
