"""Jobs that fail and name links all the same, over real HTTP: what they had made is paid for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batchgen import Completion
from batchgen.model import FailureKind
from tests.campaigns.faults import impatient
from tests.scripted import IMAGES, KEY, Reply, Scripted, done, picture, ran, reply, row_of, rows_of

SIZE = "width: 16, height: 16"
ERROR = "CUDA out of memory"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEPIPELINE_API_KEY", KEY)


def failed(links: int = 1, **more: Any) -> Reply:
    return done(links, **{"status": "FAILURE", "error": ERROR} | more)


@pytest.mark.parametrize("place", ["post", "status", "a post without an id"])
async def test_what_a_failed_job_had_made_is_a_partial_result_and_is_not_paid_for_again(
    place: str, tmp_path: Path
) -> None:
    told = failed(2, id=None) if place == "a post without an id" else failed(2)
    async with Scripted(polls=[told]) if place == "status" else Scripted(posts=[told]) as api:
        result = await ran(api, tmp_path, params=f"samples: 3, {SIZE}")
    rows = rows_of(result)
    assert [row["status"] for row in rows] == ["stored", "stored", "failed"]
    assert [row["error_class"] for row in rows] == [None, None, "missing"]
    assert rows[2]["error_message"].startswith(f"The job made 2 of 3 images, and failed: {ERROR}")
    assert f"The answer names links all the same: {api.url}/images/0" in rows[2]["error_message"]
    assert json.loads(rows[0]["response_json"])["status"] == "FAILURE"
    assert (result.exit_code, api.posts) == (3, 1)


async def test_a_failed_job_that_names_all_of_its_images_has_made_them(tmp_path: Path) -> None:
    async with Scripted(polls=[failed(2)]) as api:
        result = await ran(api, tmp_path, params=f"samples: 2, {SIZE}")
    assert {row["status"] for row in rows_of(result)} == {"stored"}
    assert (result.exit_code, api.posts) == (0, 1)


#: What links of failed jobs give that is no image of theirs.
NOTHING: dict[str, Reply] = {
    "404": reply(404),
    "403": reply(403, b"<Error/>"),
    "410": reply(410),
    "an empty body": reply(200),
    "a page": reply(200, b"<html>failed</html>"),
    "half an image": reply(200, picture(64, 64)[:-20]),
    "a smaller picture": reply(200, picture(8, 8)),
    "a black picture of the size asked for": reply(200, picture(colour="black", mark="black")),
}


@pytest.mark.parametrize("name", NOTHING)
async def test_a_failed_job_whose_links_give_no_image_of_the_size_asked_for_is_tried_again(
    name: str, tmp_path: Path
) -> None:
    images = [NOTHING[name]] * (4 if name in ("404", "403", "an empty body") else 1) + [reply(200, picture())]
    with impatient(0.1, calls=2.0):
        async with Scripted(polls=[failed(), done()], images=images) as api:
            row = await row_of(api, tmp_path)
    assert (row["status"], row["attempts"], api.posts, row["width"]) == ("stored", 2, 2, 16)


async def test_a_failure_that_has_no_hope_says_what_its_links_gave(tmp_path: Path) -> None:
    told = failed(error={"code": "INPUT_INVALID", "message": "bad size"})
    async with Scripted(polls=[told], images=[reply(410)]) as api:
        row = await row_of(api, tmp_path)
    assert (row["status"], row["error_class"], api.posts) == ("failed", "refused", 1)
    for words in ("bad size", "/images/0", "They gave no image", "HTTP 410"):
        assert words in row["error_message"]
    assert json.loads(row["response_json"])["download_urls"]


async def test_links_that_came_early_prove_nothing_of_a_job_that_failed(tmp_path: Path) -> None:
    early = reply(202, {"id": "j", "status": "PENDING", "download_urls": [f"{IMAGES}/0?sig=1"]})
    told = failed(error={"code": "INPUT_INVALID"}, download_urls=[f"{IMAGES}/0?sig=2"])
    async with Scripted(posts=[early], polls=[told]) as api:
        row = await row_of(api, tmp_path, params=f"queued_image_urls: true, {SIZE}")
    assert (row["status"], row["error_class"], row["file_name"]) == ("failed", "refused", None)
    assert row["error_message"].endswith("/images/0?sig=…")  # as an index publishes links
    assert api.to_images() == []


async def test_a_post_that_asks_for_early_links_and_fails_names_none_that_are_believed(tmp_path: Path) -> None:
    async with Scripted(posts=[failed(error="INPUT_INVALID: no")]) as api:
        row = await row_of(api, tmp_path, completion=Completion.EARLY_URLS)
    assert (row["status"], row["job_id"], api.to_images()) == ("failed", "j", [])
    assert "/images/0" in row["error_message"]


async def test_what_the_api_will_not_draw_is_not_fetched_from_a_failed_job(tmp_path: Path) -> None:
    async with Scripted(polls=[failed(error="Blocked by the safety filter")]) as api:
        row = await row_of(api, tmp_path)
    assert (row["error_class"], api.to_images()) == (FailureKind.CONTENT_POLICY, [])


@pytest.mark.parametrize("outage", [reply(500), reply(429), reply(503)], ids=["500", "429", "503"])
async def test_while_the_image_host_is_out_of_order_a_failed_job_with_links_is_not_paid_for_again(
    outage: Reply, tmp_path: Path
) -> None:
    images = [*[outage] * 4, reply(200, picture())]
    with impatient(0.1, calls=2.0):
        async with Scripted(polls=[failed()], images=images) as api:
            first = await ran(api, tmp_path)
            assert (rows_of(first)[0]["status"], first.exit_code, api.posts) == ("pending", 6, 1)
            row = await row_of(api, tmp_path)
    assert (row["status"], row["attempts"], api.posts) == ("stored", 1, 1)
