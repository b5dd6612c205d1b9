"""Each parameter, state, answer and error of the image APIs, played over real HTTP to whole runs.

`docs/api.md` names the test that shows each of them.
"""

from __future__ import annotations

import json
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from batchgen import AccountBlocked, ManifestError
from batchgen.checks import Checks, SizeCheck
from batchgen.errors import CreditExhausted, KeyRejected
from batchgen.model import InDoubt
from tests.campaigns.faults import impatient
from tests.scripted import IMAGES, KEY, Reply, Scripted, broken, cut_short, done, picture, ran, reply, row_of, rows_of

SIZE = "width: 16, height: 16"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEPIPELINE_API_KEY", KEY)


# --- Parameters

SENT: list[tuple[str, str, object]] = [
    ("sd3", "negative_prompt: blurry", "blurry"),
    ("sd3", "num_inference_steps: 41", 41),
    *(("sd3", f"samples: {n}", n) for n in (1, 2, 3, 4)),
    ("sd3", "guidance_scale: 20", 20.0),
    ("sd3", "height: 24", 24),
    ("sd3", "width: 24", 24),
    ("sd3", "webhook: 'https://me.test/hook'", "https://me.test/hook"),
    ("sd3", "direct_link: true", True),
    ("sd3", "queued_image_urls: true", True),
    ("sd3_5", "samples: 2", 2),
    ("sd3_5", "guidance_scale: 0", 0.0),
    ("flux", "seed: 42", 42),
    ("flux", "seed: -1", -1),
    ("flux", "num_inference_steps: 20", 20),
    ("sdxl", "model_id: m/1", "m/1"),
    ("sdxl", "clip_skip: 12", 12),
    ("sdxl", "lora_models: [a, b]", ["a", "b"]),
    ("sdxl", "lora_weights: [0.5, 1]", [0.5, 1.0]),
    ("sdxl", "embeddings: [e]", ["e"]),
    ("sdxl", "seed: 7", 7),
    ("sdxl", "safety_checker: false", False),
    ("sdxl", "scheduler: euler", "euler"),
    ("sd15", "style: fantasy_art", "fantasy_art"),
    ("sd15", "strength: 1", 1.0),
    ("sd15", "upscale: 2x", "2x"),
    ("image-v1", "num_inference_steps: 50", 50),
    ("image-v1", "guidance_scale: 0", 0.0),
    ("image-v1", "output_format: jpeg", "jpeg"),
    ("image-v1", "callback_url: 'https://me.test/hook'", "https://me.test/hook"),
    ("image-v1", "enhance_prompt: true", True),
    ("image-v1", "seed: 7", 7),
]


@pytest.mark.parametrize(("profile", "param", "value"), SENT, ids=lambda value: str(value)[:30])
async def test_a_parameter_arrives_as_it_was_meant(profile: str, param: str, value: object, tmp_path: Path) -> None:
    name, samples = param.partition(":")[0], 4 if "samples" in param else 1
    given = param if name == "samples" or profile == "image-v1" else f"{param}, samples: 1"
    async with Scripted(profile, posts=[_made(profile, samples)]) as api:
        await ran(api, tmp_path, params=given, checks=Checks(size=SizeCheck.OFF))
    assert api.bodies[0][name] == value
    assert type(api.bodies[0][name]) is type(value)


def _made(profile: str, samples: int) -> Reply:
    if profile == "image-v1":
        return {"job_id": "j", "status": "completed", "result_url": f"{IMAGES}/0"}
    return done(samples)


async def test_the_prompt_and_both_tags_arrive_beside_the_parameters(tmp_path: Path) -> None:
    async with Scripted(posts=[done()]) as api:
        row = await row_of(api, tmp_path, prompts=['狐 "fox"\n'])
    assert api.bodies[0]["prompt"] == row["prompt"] == '狐 "fox"\n'
    assert (api.bodies[0]["batch_id"], api.bodies[0]["file_prefix"]) == ("tag", "fox")
    assert set(api.bodies[0]) == {
        *("prompt", "negative_prompt", "num_inference_steps", "samples", "guidance_scale", "height", "width"),
        *("batch_id", "file_prefix"),
    }


@pytest.mark.parametrize(
    ("profile", "param"),
    [
        *(("sd3", param) for param in ("samples: 5", "samples: 0", "guidance_scale: 20.1", "seed: 1")),
        ("sd3_5", "samples: 3"),
        *(("flux", param) for param in ("width: 1537", "guidance_scale: 7", "samples: 5")),
        *(("sdxl", param) for param in ("clip_skip: 13", "height: 1537", "queued_image_urls: true", "base64: true")),
        *(("sd15", param) for param in ("strength: 1.1", "style: oil", "upscale: 4x")),
        *(("image-v1", param) for param in ("width: 1025", "num_inference_steps: 51", "output_format: gif")),
        *(("image-v1", param) for param in ("guidance_scale: 21", "negative_prompt: x", "webhook: x")),
    ],
)
async def test_what_the_api_does_not_take_is_refused_before_anything_is_sent(
    profile: str, param: str, tmp_path: Path
) -> None:
    async with Scripted(profile) as api:
        with pytest.raises(ManifestError, match=param.partition(":")[0]):
            await ran(api, tmp_path, params=param)
    assert api.seen == []


# --- States and results, of a POST and of a status call

MADE: dict[str, Reply] = {
    "SUCCESS": done(),
    "success in small letters": done(status="success"),
    "SUCCESS without an id": {"status": "SUCCESS", "download_urls": [f"{IMAGES}/0"]},
    "a nested list": done(download_urls=[[f"{IMAGES}/0"]]),
    "one text instead of a list": done(download_urls=f"{IMAGES}/0"),
    "image_url": {"id": "j", "status": "SUCCESS", "image_url": f"{IMAGES}/0"},
    "output_url": {"id": "j", "status": "SUCCESS", "output_url": f"{IMAGES}/0"},
    "a path alone": done(download_urls=["/images/0"]),
    "an object with a url": done(download_urls=[{"url": f"{IMAGES}/0"}]),
    "an envelope": {"data": done()},
    "numbered links": done(download_urls={"0": f"{IMAGES}/0"}),
}


@pytest.mark.parametrize("name", MADE)
async def test_a_result_is_understood_from_a_post_as_from_a_status_call(name: str, tmp_path: Path) -> None:
    for place, told in (("post", Scripted(posts=[MADE[name]])), ("status", Scripted(polls=[MADE[name]]))):
        (tmp_path / place).mkdir()
        async with told as api:
            row = await row_of(api, tmp_path / place)
        assert (row["status"], row["attempts"], api.posts) == ("stored", 1, 1)
        told = json.loads(row["response_json"])
        assert told.get("data", told)["status"].upper() == "SUCCESS"


@pytest.mark.parametrize("state", ["PENDING", "pending", "PROCESSING", "QUEUED_FOR_TEA"])
async def test_a_job_that_has_not_ended_is_asked_about_until_it_has(state: str, tmp_path: Path) -> None:
    accepted = reply(202, {"id": 17, "status": state})
    async with Scripted(posts=[accepted], polls=[{"status": state}, done()]) as api:
        row = await row_of(api, tmp_path)
    assert (row["status"], row["job_id"]) == ("stored", "17")
    assert api.paths() == ["/sd3/v1/status/17"] * 2


@pytest.mark.parametrize("error", ["out of memory", {"message": "out of memory"}, ["out of memory"], 42, None])
async def test_a_failure_is_tried_again_whether_a_post_or_a_status_call_tells_it(error: object, tmp_path: Path) -> None:
    failed = {"id": "j", "status": "FAILURE", "error": error}
    accepted = reply(202, {"id": "j", "status": "PENDING"})
    async with Scripted(posts=[failed, accepted], polls=[done()]) as api:
        row = await row_of(api, tmp_path)
    assert (row["status"], row["attempts"], api.posts) == ("stored", 2, 2)


async def test_a_failure_that_a_status_call_tells_with_another_status_than_200_ends_the_job(tmp_path: Path) -> None:
    failed = {"id": "job-1", "status": "FAILURE", "error": {"code": "INPUT_INVALID", "message": "bad size"}}
    async with Scripted(polls=[reply(500, failed)]) as api:
        row = await row_of(api, tmp_path)
    assert (row["status"], row["error_class"], row["http_status"], len(api.paths())) == ("failed", "refused", 500, 1)


@pytest.mark.parametrize("envelope", [False, True])
async def test_a_failure_that_has_no_hope_is_not_paid_for_again_and_keeps_the_apis_answer(
    envelope: bool, tmp_path: Path
) -> None:
    failed: Any = {"id": "j", "status": "FAILURE", "error": {"code": "INPUT_INVALID", "message": "bad size"}}
    failed = {"data": failed} if envelope else failed
    async with Scripted(polls=[failed]) as api:
        row = await row_of(api, tmp_path)
    assert (row["status"], row["error_class"], row["error_message"]) == ("failed", "refused", "bad size")
    assert (row["http_status"], json.loads(row["response_json"])) == (200, failed)
    assert api.posts == 1


async def test_an_unknown_word_beside_links_is_an_end_at_the_deadline(tmp_path: Path) -> None:
    told = done(status="COMPLETED")
    with impatient(0.2, calls=2.0):
        async with Scripted(polls=[told]) as api:
            row = await row_of(api, tmp_path)
    assert (row["status"], json.loads(row["response_json"])["status"], api.posts) == ("stored", "COMPLETED", 1)
    assert len(api.paths()) > 1


async def test_an_unknown_word_beside_links_that_show_the_images_for_a_while_is_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchgen.runner.unknown_words.UNSURE_SECONDS", 0.1)
    async with Scripted(polls=[done(status="FINISHED")]) as api:
        rows = rows_of(await ran(api, tmp_path, prompts=["a", "b", "c"], concurrency=1))
    assert [row["status"] for row in rows] == ["stored"] * 3
    assert (api.posts, api.paths().count("/sd3/v1/status/job-3")) == (3, 1)  # the word has been learned by then


async def test_previews_beside_an_unknown_word_are_not_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchgen.runner.unknown_words.UNSURE_SECONDS", 0.0)
    shown = [picture(colour=colour) for colour in ("red", "green", "blue")]
    previews, images = [done(status="DRAWING")] * 7, [reply(200, one) for one in shown]
    async with Scripted(polls=[*previews, done()], images=images) as api:
        row = await row_of(api, tmp_path)
    assert (row["status"], json.loads(row["response_json"])["status"]) == ("stored", "SUCCESS")
    assert (tmp_path / "out" / row["file_name"]).read_bytes() == shown[-1]
    assert len(api.paths()) == 8


NAMED: dict[str, Reply] = {
    "the other generation's name": reply(202, {"job_id": "j7", "status": "PENDING"}),
    "409": reply(409, {"id": "j7", "detail": "exists"}),
    "500 with a state": reply(500, {"id": "j7", "status": "PENDING"}),
}


@pytest.mark.parametrize("name", NAMED)
async def test_a_job_that_any_answer_names_is_collected(name: str, tmp_path: Path) -> None:
    async with Scripted(posts=[NAMED[name]], polls=[done()]) as api:
        row = await row_of(api, tmp_path)
    assert (row["status"], row["job_id"], api.posts) == ("stored", "j7", 1)


# --- Partial results


async def test_an_end_without_a_link_is_kept_at_once_and_fails_as_a_lost_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"id": "job-1", "status": "SUCCESS", "download_urls": ["data:image/png;base64,iVBO"]}
    async with Scripted(polls=[told]) as api:
        first = await ran(api, tmp_path, max_runtime=0.5, grace=0.5)
        [row] = rows_of(first)
        assert (row["status"], json.loads(row["response_json"]), first.exit_code) == ("pending", told, 6)
        monkeypatch.setattr("batchgen.runner.polls.UNUSABLE_SECONDS", 0.0)
        monkeypatch.setattr("batchgen.runner.polls.UNUSABLE_ANSWERS", 2)
        row = await row_of(api, tmp_path)
    assert (row["status"], row["error_class"], json.loads(row["response_json"])) == ("failed", "result_lost", told)
    assert (api.posts, len(api.to_images())) == (1, 0)


async def test_fewer_links_than_samples_are_stored_and_the_missing_samples_say_why(tmp_path: Path) -> None:
    async with Scripted(posts=[done(2)]) as api:
        result = await ran(api, tmp_path, params=f"samples: 4, {SIZE}")
    rows = rows_of(result)
    assert [row["status"] for row in rows] == ["stored", "stored", "failed", "failed"]
    assert [row["sample_index"] for row in rows] == [0, 1, 2, 3]
    assert {row["error_message"] for row in rows[2:]} == {"The job made 2 of 4 images."}
    assert {row["error_class"] for row in rows[2:]} == {"missing"}
    assert (result.exit_code, api.posts) == (3, 1)


async def test_links_that_are_named_one_by_one_are_all_waited_for(tmp_path: Path) -> None:
    with impatient(0.1, calls=2.0):
        async with Scripted(polls=[done(1), reply(502), done(2)]) as api:
            rows = rows_of(await ran(api, tmp_path, params=f"samples: 2, {SIZE}"))
    assert [row["status"] for row in rows] == ["stored", "stored"]
    assert (api.posts, len(api.paths())) == (1, 3)


SPLIT: dict[str, Reply] = {
    "over two fields": done(download_urls=[f"{IMAGES}/0"], image_url=f"{IMAGES}/1"),
    "over two fields that share a link": done(2, image_url=f"{IMAGES}/0", output_url=f"{IMAGES}/1"),
}


@pytest.mark.parametrize("name", SPLIT)
async def test_links_that_are_split_over_two_fields_are_one_image_each(name: str, tmp_path: Path) -> None:
    async with Scripted(posts=[SPLIT[name]]) as api:
        rows = rows_of(await ran(api, tmp_path, params=f"samples: 2, {SIZE}"))
    assert [row["source_url"].rpartition("/")[2] for row in rows] == ["0", "1"]
    assert sorted(one.path for one in api.to_images()) == ["/images/0", "/images/1"]


async def test_a_link_that_is_given_for_two_samples_is_one_image_and_the_other_sample_is_missing(
    tmp_path: Path,
) -> None:
    async with Scripted(polls=[done(download_urls=[f"{IMAGES}/0", f"{IMAGES}/0"])]) as api:
        result = await ran(api, tmp_path, params=f"samples: 2, {SIZE}")
    rows = rows_of(result)
    assert [row["status"] for row in rows] == ["stored", "failed"]
    assert (rows[1]["error_class"], rows[1]["error_message"]) == ("missing", "The job made 1 of 2 images.")
    assert (len(list(result.images())), len(api.to_images()), api.posts, result.exit_code) == (1, 1, 1, 3)


async def test_two_links_to_the_same_bytes_are_told_as_duplicates(tmp_path: Path) -> None:
    async with Scripted(polls=[done(2)], images=[reply(200, picture())]) as api:
        rows = rows_of(await ran(api, tmp_path, params=f"samples: 2, {SIZE}"))
    assert [row["status"] for row in rows] == ["stored", "stored"]
    assert [row["duplicate_of"] for row in rows] == [None, rows[0]["file_name"]]


async def test_more_links_than_samples_are_no_more_images(tmp_path: Path) -> None:
    async with Scripted(posts=[done(3)]) as api:
        result = await ran(api, tmp_path)
    assert len(rows_of(result)) == len(list(result.images())) == len(api.to_images()) == 1


# --- Errors: those that stop the run

BLOCKING: list[tuple[int, object, type[AccountBlocked]]] = [
    (401, {"detail": "Invalid API key"}, KeyRejected),
    (403, {"message": "Forbidden"}, KeyRejected),
    (403, {"message": "Account banned for violations of our content policy"}, KeyRejected),
    (402, {"detail": "Payment required"}, CreditExhausted),
    (403, {"code": "INSUFFICIENT_CREDITS"}, CreditExhausted),
    (429, {"error": {"code": "INSUFFICIENT_QUOTA"}}, CreditExhausted),
]


@pytest.mark.parametrize(("status", "body", "kind"), BLOCKING)
async def test_a_blocked_account_stops_the_run_and_what_is_in_flight_still_ends(
    status: int, body: object, kind: type[AccountBlocked], tmp_path: Path
) -> None:
    accepted = reply(202, {"id": "j", "status": "PENDING"})
    async with Scripted(posts=[accepted, reply(status, body)], polls=[done()]) as api:
        with pytest.raises(kind):
            await ran(api, tmp_path, prompts=[f"{n}" for n in range(30)], concurrency=2)
    assert api.posts == 2
    assert len(list((tmp_path / "out/images").iterdir())) == 1


async def test_a_job_that_fails_for_lack_of_credit_stops_the_run_too(tmp_path: Path) -> None:
    failed = {"id": "j", "status": "FAILURE", "error": "INSUFFICIENT_CREDITS: top up"}
    async with Scripted(polls=[failed]) as api:
        with pytest.raises(CreditExhausted, match="top up"):
            await ran(api, tmp_path, prompts=["a", "b", "c"], concurrency=1)
    assert api.posts == 1


# --- Errors: those that fail one request

VALIDATION = {"detail": [{"loc": ["body", "samples"], "msg": "must be <= 4", "type": "value_error"}]}
REFUSALS: list[tuple[int, object, str, str]] = [
    (422, VALIDATION, "refused", "samples: must be <= 4"),
    (422, {"detail": "no such scheduler"}, "refused", "no such scheduler"),
    (400, {"code": "INPUT_INVALID", "message": "bad prompt"}, "refused", "bad prompt"),
    (400, {"code": "INPUT_INVALID", "message": "Violates our content policy"}, "content_policy", "content policy"),
    (400, {"error": "Rejected by moderation"}, "content_policy", "moderation"),
    (403, {"code": "content_policy_violation", "message": "No."}, "content_policy", "No."),
    (404, b"<html><h1>Not here</h1></html>", "refused", "Not here"),
    (413, b"too large", "refused", "too large"),
]


@pytest.mark.parametrize(("status", "body", "kind", "words"), REFUSALS)
async def test_a_refusal_fails_one_request_once_and_keeps_the_apis_status_and_body(
    status: int, body: object, kind: str, words: str, tmp_path: Path
) -> None:
    async with Scripted(posts=[reply(status, body), done()]) as api:
        rows = rows_of(await ran(api, tmp_path, prompts=["a", "b"], concurrency=1))
    assert [row["status"] for row in rows] == ["failed", "stored"]
    assert (rows[0]["error_class"], rows[0]["http_status"]) == (kind, status)
    assert words in rows[0]["error_message"]
    kept = json.loads(rows[0]["response_json"])
    assert kept == (body.decode() if isinstance(body, bytes) else body)
    assert api.posts == 2


# --- Errors: those that wait

WAITS: dict[str, Reply] = {
    "429 without a word": reply(429),
    "429 with seconds": reply(429, {"detail": "slow"}, Retry_After="0"),
    "429 with a date": reply(429, {"detail": "slow"}, Retry_After=formatdate(0, usegmt=True)),
    "429 that says it in the body": reply(429, {"retry_after": 0}),
    "RATE_LIMIT_EXCEEDED": reply(400, {"code": "RATE_LIMIT_EXCEEDED"}, Retry_After="0"),
    "CONCURRENT_JOBS_EXCEEDED": reply(409, {"code": "CONCURRENT_JOBS_EXCEEDED"}, Retry_After="0"),
    "503 with Retry-After": reply(503, b"<html>busy</html>", Retry_After="0"),
    "425": reply(425, b"", Retry_After="0"),
}


@pytest.mark.parametrize("name", WAITS)
async def test_too_much_at_once_is_waited_out_and_is_no_attempt(name: str, tmp_path: Path) -> None:
    async with Scripted(posts=[WAITS[name], done()]) as api:
        row = await row_of(api, tmp_path)
    assert (row["status"], row["attempts"], api.posts) == ("stored", 1, 2)


# --- Errors: those that are in doubt

DOUBTS: dict[str, Reply] = {
    "500": reply(500, {"detail": "Internal Server Error"}),
    "502 with a page": reply(502, b"<html><h1>Bad Gateway</h1></html>"),
    "504": reply(504),
    "503 without Retry-After": reply(503, b"busy"),
    "408, which a gateway may send after the API took it": reply(408, b"", Retry_After="0"),
    "a connection that is cut": broken,
    "a success that is no JSON": reply(200, b"{"),
    "a success that names neither job nor image": reply(200, {"status": "PENDING"}),
    "a redirect": reply(307, Location="/elsewhere"),
}


@pytest.mark.parametrize("body", [{"id": "j7", "error": "db timeout"}, {"job_id": "j7", "status": "FAILURE"}])
async def test_a_job_that_a_broken_answer_names_is_asked_about_before_anything_else(
    body: object, tmp_path: Path
) -> None:
    async with Scripted(posts=[reply(500, body)], polls=[reply(502), done()]) as api:
        row = await row_of(api, tmp_path, in_doubt=InDoubt.RETRY)
    assert (row["status"], row["job_id"], row["attempts"], api.posts) == ("stored", "j7", 1, 1)
    assert set(api.paths()) == {"/sd3/v1/status/j7"}


def _cut_short(request: web.BaseRequest) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.write(b'HTTP/1.1 202 OK\r\nContent-Length: 99\r\n\r\n{"status": "PENDING", "id": "j7", "eta')
    request.transport.close()
    return web.Response()


@pytest.mark.parametrize(
    "pieces", [_cut_short, reply(200, b'{"status": "PENDING", "id": "j7", "eta')], ids=["cut off", "half of the JSON"]
)
async def test_a_job_that_half_an_answer_names_is_asked_about_and_collected(pieces: Reply, tmp_path: Path) -> None:
    async with Scripted(posts=[pieces], polls=[done()]) as api:
        row = await row_of(api, tmp_path)
    assert (row["status"], row["job_id"], row["attempts"], api.posts) == ("stored", "j7", 1, 1)


@pytest.mark.parametrize(("choice", "status", "posts"), [(InDoubt.HOLD, "in_doubt", 1), (InDoubt.RETRY, "stored", 2)])
async def test_an_id_that_names_no_job_leaves_a_doubt(choice: InDoubt, status: str, posts: int, tmp_path: Path) -> None:
    unknown = reply(404, {"detail": "No such job"})
    async with Scripted(posts=[reply(500, {"id": "trace-7"}), done()], polls=[unknown]) as api:
        row = await row_of(api, tmp_path, in_doubt=choice)
    assert (row["status"], api.posts, api.paths()) == (status, posts, ["/sd3/v1/status/trace-7"] * 3)


@pytest.mark.parametrize("name", DOUBTS)
async def test_what_may_have_been_accepted_is_held_in_doubt_and_not_paid_for_again(name: str, tmp_path: Path) -> None:
    async with Scripted(posts=[DOUBTS[name]]) as api:
        result = await ran(api, tmp_path)
        (row,) = rows_of(result)
        assert (row["status"], row["error_class"], result.exit_code) == ("in_doubt", "answer_lost", 6)
        assert rows_of(await ran(api, tmp_path))[0]["status"] == "in_doubt"
    assert api.posts == 1


# --- Images


async def test_links_that_have_expired_are_fetched_anew_from_the_job_and_nothing_is_paid_again(tmp_path: Path) -> None:
    polls = [done(download_urls=[f"{IMAGES}/old"]), done(download_urls=[f"{IMAGES}/new"])]
    async with Scripted(polls=polls, images=[reply(410), reply(200, picture())]) as api:
        row = await row_of(api, tmp_path)
    assert (row["status"], api.posts) == ("stored", 1)
    assert [one.path for one in api.to_images()] == ["/images/old", "/images/new"]
    assert row["source_url"].endswith("/images/new")


SPOILT: dict[str, Reply] = {
    "a redirect loop": reply(302, Location="/images/again"),
    "a redirect into a private network": reply(302, Location="https://10.0.0.1/a"),
    "a redirect to a cloud's metadata": reply(302, Location="https://169.254.169.254/latest/meta-data"),
    "a redirect that leaves TLS": reply(302, Location="http://images.test/a"),
    "a redirect to a file": reply(302, Location="file:///etc/passwd"),
    "410": reply(410),
}


@pytest.mark.parametrize("name", SPOILT)
async def test_a_link_that_gives_no_image_for_good_is_refreshed_twice_and_then_lost_and_never_paid_again(
    name: str, tmp_path: Path
) -> None:
    async with Scripted(polls=[done()], images=[SPOILT[name]]) as api:
        row = await row_of(api, tmp_path)
    assert (row["status"], row["error_class"], api.posts) == ("failed", "result_lost", 1)
    assert (len(api.paths()), row["file_name"]) == (3, None)


PASSING: dict[str, Reply] = {
    "a truncated image": reply(200, picture(64, 64)[:-20]),
    "a page instead of an image": reply(200, b"<html>Come back</html>", Content_Type="image/png"),
    "404": reply(404),
    "403": reply(403, b"not yet"),
    "500": reply(500),
    "an empty body": reply(200),
    "fewer bytes than it says": cut_short,
    "a connection that is cut": broken,
}


@pytest.mark.parametrize("name", PASSING)
async def test_a_link_whose_trouble_may_pass_is_tried_again(name: str, tmp_path: Path) -> None:
    async with Scripted(posts=[done()], images=[PASSING[name], reply(200, picture())]) as api:
        row = await row_of(api, tmp_path)
    assert (row["status"], len(api.to_images()), api.posts) == ("stored", 2, 1)


async def test_an_image_of_another_size_is_told_and_where_it_is_not_wanted_kept_aside(tmp_path: Path) -> None:
    for place, size, status in (("w", SizeCheck.WARN, "stored"), ("e", SizeCheck.EXACT, "rejected")):
        (tmp_path / place).mkdir()
        with impatient(0.1, calls=2.0):
            async with Scripted(posts=[done()], images=[reply(200, picture(24, 16))]) as api:
                row = await row_of(api, tmp_path / place, checks=Checks(size=size))
        assert (row["status"], row["checks"], row["width"], row["requested_width"]) == (status, "size", 24, 16)
        assert api.posts == 1


async def test_a_small_picture_in_place_of_an_image_that_is_yet_to_come_is_not_believed(tmp_path: Path) -> None:
    small = reply(200, picture(4, 4))
    for place, size in (("w", SizeCheck.WARN), ("e", SizeCheck.EXACT), ("o", SizeCheck.OFF)):
        (tmp_path / place).mkdir()
        with impatient(0.1, calls=2.0):
            async with Scripted(posts=[done()], images=[small, reply(404), small, reply(200, picture())]) as api:
                row = await row_of(api, tmp_path / place, checks=Checks(size=size))
        assert (row["status"], row["checks"], row["width"], api.posts) == ("stored", None, 16, 1)
        assert len(api.to_images()) == 4


async def test_a_redirect_to_the_image_is_followed(tmp_path: Path) -> None:
    images = [reply(302, Location="/images/real"), reply(200, picture())]
    async with Scripted(posts=[done()], images=images) as api:
        assert (await row_of(api, tmp_path))["status"] == "stored"
    assert [one.path for one in api.to_images()] == ["/images/0", "/images/real"]


# --- The current API


async def test_a_row_of_the_current_api_becomes_as_many_jobs_as_it_has_samples(tmp_path: Path) -> None:
    async with Scripted("image-v1") as api:
        rows = rows_of(await ran(api, tmp_path, params=f"samples: 3, {SIZE}"))
    assert [row["sample_index"] for row in rows] == [0, 1, 2]
    assert [row["file_name"].rpartition("-")[2] for row in rows] == ["0.png", "1.png", "2.png"]
    assert {row["batch_id"] for row in rows} == {"tag"}
    assert {row["file_prefix"] for row in rows} == {"fox"}
    assert api.posts == 3
    sent = {"prompt", "num_inference_steps", "height", "width", "seed", "output_format"}
    assert {frozenset(body) for body in api.bodies} == {frozenset(sent)}


async def test_one_sample_more_of_the_current_api_is_one_job_more(tmp_path: Path) -> None:
    async with Scripted("image-v1") as api:
        await ran(api, tmp_path, params=f"samples: 2, {SIZE}")
        result = await ran(api, tmp_path, params=f"samples: 3, {SIZE}")
    assert (api.posts, len(list(result.images()))) == (3, 3)


@pytest.mark.parametrize(
    ("code", "posts", "kind"),
    [
        *((code, 2, None) for code in ("MODEL_ERROR", "MODEL_UNAVAILABLE", "STORAGE_ERROR")),
        *((code, 2, None) for code in ("TIMEOUT", "INTERNAL_ERROR", "RATE_LIMIT_EXCEEDED")),
        ("CREDIT_CHARGE_FAILED", 1, "job_failed"),
        ("INPUT_INVALID", 1, "refused"),
    ],
)
async def test_a_failure_code_of_the_current_api_says_whether_it_is_tried_again(
    code: str, posts: int, kind: str | None, tmp_path: Path
) -> None:
    failed: Any = {"job_id": "j", "status": "failed", "error": {"code": code, "message": "no luck"}}
    completed = {"job_id": "j", "status": "completed", "result_url": f"{IMAGES}/0"}
    async with Scripted("image-v1", posts=[failed, completed]) as api:
        row = await row_of(api, tmp_path, params=SIZE)
    assert (api.posts, row["error_class"]) == (posts, kind)


# --- An API of one's own


async def test_an_api_that_a_file_describes_is_spoken_to_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHGEN_KEY_127_0_0_1", "my-key")
    (tmp_path / "mine.yaml").write_text(
        "extends: sd3\nbase_url: http://127.0.0.1\nsubmit_path: /make\nstatus_path: /jobs/{id}/state\n"
        "key: {header: X-Token, variable: BATCHGEN_KEY_127_0_0_1}\nparameters: {batch_id: null}\n"
        "states: {working: [waiting], completed: [ready], failed: [broken]}\nfields: {job_id: [n], urls: [pictures]}\n"
    )
    posts = [reply(202, {"n": 5, "status": "waiting"})]
    async with Scripted(posts=posts, polls=[{"status": "ready", "pictures": [f"{IMAGES}/0"]}]) as api:
        row = await row_of(api, tmp_path, profile="mine.yaml")
    assert (row["status"], row["endpoint"]) == ("stored", "imagepipeline.io/make")
    assert (api.paths("POST"), api.paths()) == (["/make"], ["/jobs/5/state"])
    assert api.seen[0].headers["X-Token"] == "my-key"
    assert "batch_id" not in api.bodies[0]
