"""What answers mean: pure rules over status, headers and bytes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any, TypeVar
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.adapters.http_api.answers import LONGEST_WAIT, Answer, AnswerReader, retry_after
from batchgen.adapters.http_api.wording import MESSAGE_LENGTH, Wording, read_json
from batchgen.adapters.profiles import find_profile
from batchgen.errors import (
    AccountBlocked,
    AnswerInDoubt,
    APIError,
    BatchgenError,
    CreditExhausted,
    KeyRejected,
    RequestRefused,
    TryLater,
)
from batchgen.model import FailureKind, JobId
from batchgen.ports import Accepted, Completed, Failed, Unusable, Working
from tests.factories import a_profile

KEY = "sk-9f/8e7d+6c5b 4a=="
NOW = 1_700_000_000.0
READER = AnswerReader(a_profile(), host="api.test", wording=Wording(KEY))
URL = "https://host.test/1.png"

E = TypeVar("E", bound=BatchgenError)


def answer(status: int, body: object = b"", **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}, body=raw, at=NOW)


def submit_error(kind: type[E], status: int, body: object = b"", **headers: str) -> E:
    with pytest.raises(kind) as caught:
        READER.submission(answer(status, body, **headers))
    return caught.value


def status_error(kind: type[E], status: int, body: object = b"", **headers: str) -> E:
    with pytest.raises(kind) as caught:
        READER.job_status(answer(status, body, **headers))
    return caught.value


# --- A submission that was taken


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_success_that_names_a_job_is_accepted(status: int) -> None:
    assert READER.submission(answer(status, {"id": "j1", "status": "PENDING"})) == Accepted(job_id=JobId("j1"))


@pytest.mark.parametrize("state", ["PENDING", "processing", "SOMETHING_NEW", None])
def test_a_state_that_is_not_an_end_is_accepted_with_its_early_links(state: str | None) -> None:
    given = READER.submission(answer(202, {"id": 17, "status": state, "download_urls": [URL]}))
    assert given == Accepted(job_id=JobId("17"), early_urls=(URL,))


def test_a_finished_job_is_completed_at_once_and_keeps_its_answer() -> None:
    body = {"id": "j1", "status": " success ", "download_urls": [URL]}
    given = READER.submission(answer(200, body))
    assert isinstance(given, Completed)
    assert (given.urls, given.job_id) == ((URL,), "j1")
    assert json.loads(given.response or "") == body


def test_links_without_a_job_are_a_result() -> None:
    given = READER.submission(answer(200, {"image_url": URL}))
    assert isinstance(given, Completed)
    assert given.job_id is None


def test_a_finished_job_without_links_is_asked_about_again() -> None:
    assert READER.submission(answer(200, {"id": "j1", "status": "SUCCESS"})) == Accepted(job_id=JobId("j1"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"<html>ok</html>",
        b"null",
        b"[]",
        b'"j1"',
        b"{}",
        b'{"id": null}',
        b'{"id": ""}',
        b'{"id": true}',
        b'{"id": {}}',
        b'{"id": "\\ud800"}',
        b'{"status": "PENDING"}',
        b"[" * 100_000,
        b'{"id":' * 100_000,
    ],
)
def test_a_success_with_neither_job_nor_links_is_in_doubt(body: bytes) -> None:
    assert submit_error(AnswerInDoubt, 200, body).http_status == 200


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "j1", "cost": NaN}',
        b'\xef\xbb\xbf{"id": "j1"}',
        b'{"id": "j1", "note": "caf\xe9"}',
        b'{"id": "j1", "note": "\\ud800"}',
        b'  {"id": "j1", "n": 1e999}\n',
    ],
)
def test_a_paid_job_is_not_lost_to_sloppy_json(body: bytes) -> None:
    assert READER.submission(answer(202, body)) == Accepted(job_id=JobId("j1"))


# --- A job that failed


def failed(body: Mapping[str, object]) -> Failed:
    given = READER.submission(answer(200, {"id": "j1", "status": "FAILURE", **body}))
    again = READER.job_status(answer(200, {"status": "failure", **body}))
    assert isinstance(given, Failed)
    assert isinstance(again, Failed)
    assert (given.failure, given.retryable) == (again.failure, again.retryable)
    return given


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("out of memory", "out of memory"),
        ({"message": "boom", "x": 1}, "boom"),
        ({"x": [1]}, '{"x": [1]}'),
        ([1, "a"], '[1, "a"]'),
        (42, "42"),
        (True, "true"),
        ("  a\n\tb\x1b[31m  ", "a b [31m"),
    ],
)
def test_an_error_of_any_json_type_becomes_words(error: object, message: str) -> None:
    assert failed({"error": error}).failure.message == message


@pytest.mark.parametrize("body", [{}, {"error": None}, {"error": ""}, {"error": []}])
def test_a_failure_without_a_reason_says_so(body: dict[str, object]) -> None:
    given = failed(body)
    assert given.failure.message == "The job failed, and the API gave no reason."
    assert given.retryable


RETRYABLE = "RATE_LIMIT_EXCEEDED CONCURRENT_JOBS_EXCEEDED MODEL_ERROR MODEL_UNAVAILABLE STORAGE_ERROR TIMEOUT"


@pytest.mark.parametrize("code", [*RETRYABLE.split(), "INTERNAL_ERROR", "NEVER_HEARD_OF"])
@pytest.mark.parametrize("shape", ["code", "nested", "text"])
def test_failures_that_pass_may_be_tried_again(code: str, shape: str) -> None:
    nested = {"error": {"code": code, "message": "m"}}
    shapes: Mapping[str, Mapping[str, object]] = {
        "code": {"code": code},
        "nested": nested,
        "text": {"error": code},
    }
    body = shapes[shape]
    given = failed(body)
    assert given.retryable
    assert given.failure.code == code


@pytest.mark.parametrize("code", ["CREDIT_CHARGE_FAILED", "INPUT_INVALID"])
@pytest.mark.parametrize("template", [{"code": "{}"}, {"error": "{}: no"}, {"error": {"code": "{}"}}])
def test_failures_that_stay_are_not_tried_again(code: str, template: dict[str, Any]) -> None:
    body = json.loads(json.dumps(template).replace("{}", code, 1)) if template else {}
    assert not failed(body).retryable


def test_a_code_that_leaves_no_hope_is_not_tried_again_whatever_the_api_says_beside_it() -> None:
    assert not failed({"code": "INPUT_INVALID", "retryable": True}).retryable
    assert not failed({"code": "CONTENT_POLICY_VIOLATION", "retryable": True}).retryable
    assert not failed({"error": {"code": "MODEL_ERROR", "retryable": False}}).retryable


@pytest.mark.parametrize(
    "body",
    [
        {"error": "Blocked by our content policy"},
        {"error": "NSFW output"},
        {"error": "refused", "code": "content-policy-violation"},
        {"code": "INPUT_INVALID", "error": "safety system"},
    ],
)
def test_what_the_api_will_not_draw_is_not_tried_again(body: dict[str, object]) -> None:
    given = failed(body)
    assert given.failure.kind is FailureKind.CONTENT_POLICY
    assert not given.retryable


@pytest.mark.parametrize(
    "error",
    [
        "moderation service timed out, please try again",
        "CUDA out of memory for prompt 'a worker with a safety helmet'",
        "could not draw 'a safety helmet'",
    ],
)
def test_words_beside_a_failure_that_passes_are_no_policy(error: str) -> None:
    given = failed({"error": error})
    assert (given.failure.kind, given.retryable) == (FailureKind.JOB_FAILED, True)


def test_a_503_that_says_when_to_come_back_and_names_a_job_is_asked_about_first() -> None:
    doubt = submit_error(AnswerInDoubt, 503, {"id": "7", "error": "upstream busy"}, retry_after="1")
    assert doubt.job_id == "7"
    submit_error(TryLater, 503, {"error": "upstream busy"}, retry_after="1")


def test_a_failure_for_too_much_at_once_is_known_as_such() -> None:
    assert current_failure("CONCURRENT_JOBS_EXCEEDED").crowded
    assert not current_failure("CONCURRENT_JOBS_EXCEEDED", retryable=False).crowded
    assert not current_failure("MODEL_ERROR").crowded


@pytest.mark.parametrize("body", [[{"id": "7"}], {"data": {"id": "7"}}])
def test_a_job_is_known_by_its_id_wherever_that_is_wrapped(body: object) -> None:
    assert READER.submission(answer(202, body)) == Accepted(job_id=JobId("7"))


def test_a_safety_model_that_broke_down_is_a_failure_that_passes() -> None:
    given = failed({"code": "MODEL_ERROR", "error": "safety model crashed"})
    assert given.failure.kind is FailureKind.JOB_FAILED
    assert given.retryable


def test_a_failed_submission_without_credit_blocks_the_account() -> None:
    submit_error(CreditExhausted, 200, {"id": "j", "status": "FAILURE", "error": "INSUFFICIENT_CREDITS"})


def test_a_job_that_failed_without_credit_is_an_end_of_that_job() -> None:
    given = READER.job_status(answer(200, {"status": "FAILURE", "code": "INSUFFICIENT_CREDITS"}))
    assert isinstance(given, Failed)
    assert not given.retryable


# --- A submission that was not taken


@pytest.mark.parametrize("status", [400, 404, 405, 413, 415, 422, 451, 498])
def test_other_refusals_are_about_the_request(status: int) -> None:
    refused = submit_error(RequestRefused, status, {"detail": "no such size"})
    assert (refused.message, refused.http_status) == ("no such size", status)


def test_validation_errors_are_joined_with_their_fields() -> None:
    problems = [
        {"loc": ["body", "samples"], "msg": "must be <= 4", "type": "x"},
        {"loc": ["body", "lora", 0], "msg": "unknown"},
        {"loc": None, "msg": "and more"},
    ]
    refused = submit_error(RequestRefused, 422, {"detail": problems})
    assert refused.message == "samples: must be <= 4; lora.0: unknown; and more"


def test_a_message_is_preferred_to_the_name_of_the_status() -> None:
    refused = submit_error(RequestRefused, 400, {"error": "Bad Request", "message": "prompt is empty"})
    assert refused.message == "prompt is empty"


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_names_its_variable(status: int) -> None:
    error = submit_error(KeyRejected, status, {"detail": "Invalid API key"})
    assert f"IMAGEPIPELINE_API_KEY (HTTP {status}: Invalid API key)" in str(error)
    status_error(KeyRejected, status)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, {}),
        (403, {"code": "INSUFFICIENT_CREDITS"}),
        (429, {"error": {"code": "insufficient_quota"}}),
        (400, {"detail": "INSUFFICIENT_BALANCE: top up"}),
    ],
)
def test_no_credit_is_recognised_by_status_or_code(status: int, body: object) -> None:
    submit_error(CreditExhausted, status, body)
    status_error(CreditExhausted, status, body)


def test_insufficient_permissions_are_a_matter_of_the_key() -> None:
    submit_error(KeyRejected, 403, {"code": "INSUFFICIENT_PERMISSIONS"})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"message": "Prompt violates the content policy"}),
        (422, {"message": "Prompt violates the content policy"}),
        (403, {"message": "No.", "code": "content_policy_violation"}),
        (403, {"error": {"message": "No.", "code": "MODERATION_BLOCKED"}}),
    ],
)
def test_a_refusal_by_content_policy_is_about_the_request(status: int, body: object) -> None:
    refused = submit_error(RequestRefused, status, body)
    assert refused.code == "CONTENT_POLICY"


@pytest.mark.parametrize(
    "words",
    [
        "Your account was suspended by the safety team",
        "Account banned for violations of our content policy",
        "This key is under moderation",
    ],
)
def test_a_403_that_only_speaks_of_policy_is_about_the_account(words: str) -> None:
    submit_error(KeyRejected, 403, {"detail": words})
    status_error(KeyRejected, 403, {"detail": words})


def test_a_gateways_page_is_not_the_apis_policy() -> None:
    submit_error(KeyRejected, 403, b"<html>Blocked for your safety</html>")


def test_a_parameter_named_for_safety_is_not_a_policy() -> None:
    refused = submit_error(RequestRefused, 422, {"detail": [{"loc": ["body", "safety_checker"], "msg": "not boolean"}]})
    assert refused.code is None


@pytest.mark.parametrize(
    ("status", "body", "crowded"),
    [
        (429, {}, True),
        (429, {"code": "RATE_LIMIT_EXCEEDED"}, True),
        (400, {"code": "RATE_LIMIT_EXCEEDED"}, False),
        (409, {"code": "CONCURRENT_JOBS_EXCEEDED"}, True),
        (425, {}, False),
    ],
)
def test_too_much_at_once_is_for_later(status: int, body: object, crowded: bool) -> None:
    later = submit_error(TryLater, status, body, retry_after="7")
    assert (later.http_status, later.crowded, later.retry_after) == (status, crowded, 7.0)


def test_a_408_with_the_apis_own_code_for_too_much_at_once_was_not_accepted() -> None:
    assert submit_error(TryLater, 408, {"code": "CONCURRENT_JOBS_EXCEEDED"}).crowded


def test_the_wait_may_be_in_the_body() -> None:
    assert submit_error(TryLater, 429, {"retry_after": 12}).retry_after == 12
    assert submit_error(TryLater, 429, {"retry_after": "12"}).retry_after == 12
    assert submit_error(TryLater, 429, {"retry_after": 12}, retry_after="3").retry_after == 3
    assert submit_error(TryLater, 429, {"retry_after": [1]}).retry_after is None
    assert submit_error(TryLater, 429, b'{"retry_after": NaN}').retry_after is None
    assert submit_error(TryLater, 429, b'{"retry_after": 1' + b"0" * 400 + b"}").retry_after == LONGEST_WAIT


def test_an_overload_that_says_when_to_come_back_was_surely_not_accepted() -> None:
    assert submit_error(TryLater, 503, b"busy", retry_after="2").retry_after == 2


@pytest.mark.parametrize("headers", [{}, {"retry_after": "soon"}])
def test_a_bare_overload_is_in_doubt(headers: dict[str, str]) -> None:
    assert submit_error(AnswerInDoubt, 503, **headers).http_status == 503


@pytest.mark.parametrize(
    "status", [408, 499, 100, 199, 300, 301, 302, 303, 307, 308, 500, 501, 502, 504, 507, 520, 999]
)
def test_whatever_may_have_come_after_acceptance_is_in_doubt(status: int) -> None:
    assert submit_error(AnswerInDoubt, status, {"id": "j"}, retry_after="1").http_status == status


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (
            {"detail": [{"loc": ["body"], "msg": "no"}]},
            '{"detail": [{"loc": ["body"], "msg": "no"}]}',
        ),
        (b"<html>no</html>", '"<html>no</html>"'),
        (b"[1]", '"[1]"'),
        (b"", None),
        (b"a\0b", '"a b"'),
    ],
)
def test_the_body_of_a_refusal_is_kept_as_it_came(body: object, kept: str | None) -> None:
    for kind, status in ((RequestRefused, 422), (TryLater, 429), (AnswerInDoubt, 500)):
        assert submit_error(kind, status, body).response == kept
    assert status_error(RequestRefused, 404, body).response == kept


def test_a_body_that_is_long_is_cut_and_one_that_holds_the_key_is_scrubbed_first() -> None:
    kept = submit_error(AnswerInDoubt, 502, (KEY * 400 + "x" * 9_000).encode()).response or ""
    assert len(kept) < 5_000
    assert KEY not in json.loads(kept)
    assert "xxx" in kept


# --- The current API

CURRENT = AnswerReader(find_profile("image-v1"), host="api.test", wording=Wording(KEY))


def test_the_current_apis_words_are_understood() -> None:
    assert CURRENT.submission(answer(202, {"job_id": "j", "status": "queued"})) == Accepted(job_id=JobId("j"))
    for state in ("queued", "pending", "processing", "warming-up"):
        assert CURRENT.job_status(answer(200, {"job_id": "j", "status": state})) == Working(state=state)
    done = CURRENT.job_status(answer(200, {"job_id": "j", "status": "completed", "result_url": URL}))
    assert isinstance(done, Completed)
    assert done.urls == (URL,)


def current_failure(code: str, **more: object) -> Failed:
    body = {"job_id": "j", "status": "failed", "error": {"code": code, "message": "no luck", **more}}
    given = CURRENT.job_status(answer(200, body))
    assert isinstance(given, Failed)
    return given


@pytest.mark.parametrize(
    ("code", "retryable"),
    [
        *((code, True) for code in ("RATE_LIMIT_EXCEEDED", "CONCURRENT_JOBS_EXCEEDED", "MODEL_ERROR")),
        *((code, True) for code in ("MODEL_UNAVAILABLE", "STORAGE_ERROR", "TIMEOUT", "INTERNAL_ERROR")),
        *((code, False) for code in ("INSUFFICIENT_CREDITS", "CREDIT_CHARGE_FAILED", "INPUT_INVALID")),
    ],
)
def test_a_failure_code_says_whether_another_try_has_hope(code: str, retryable: bool) -> None:
    given = current_failure(code)
    assert (given.retryable, given.failure.code, given.failure.message) == (retryable, code, "no luck")
    assert (given.blocked is not None) == code.startswith("INSUFFICIENT_")


def test_the_apis_own_word_on_another_try_goes_before_a_code_that_leaves_hope() -> None:
    assert not current_failure("MODEL_ERROR", retryable=False).retryable
    assert not current_failure("INPUT_INVALID", retryable=True).retryable


def test_an_invalid_input_is_a_refusal_and_a_content_policy_a_kind_of_its_own() -> None:
    assert current_failure("INPUT_INVALID").failure.kind is FailureKind.REFUSED
    policy = current_failure("INPUT_INVALID", message="Violates our content policy")
    assert (policy.failure.kind, policy.retryable) == (FailureKind.CONTENT_POLICY, False)
    assert current_failure("MODEL_ERROR").failure.kind is FailureKind.JOB_FAILED


def test_a_cancelled_job_has_ended_and_is_not_begun_again() -> None:
    given = CURRENT.job_status(answer(200, {"job_id": "j", "status": "Cancelled"}))
    assert isinstance(given, Failed)
    assert not given.retryable
    assert given.failure.message == "The job was cancelled, and the API gave no reason."


def test_a_failure_keeps_the_status_and_the_body_of_its_answer() -> None:
    given = current_failure("MODEL_ERROR")
    assert given.failure.http_status == 200
    assert json.loads(given.response or "")["error"]["code"] == "MODEL_ERROR"


@pytest.mark.parametrize("code", ["RATE_LIMIT_EXCEEDED", "CONCURRENT_JOBS_EXCEEDED"])
def test_a_post_that_is_told_that_too_much_is_going_on_and_gets_no_job_is_for_later(code: str) -> None:
    body = {"status": "failed", "error": {"code": code}, "retry_after": 3}
    with pytest.raises(TryLater) as caught:
        CURRENT.submission(answer(200, body))
    assert (caught.value.retry_after, caught.value.crowded) == (3, code.startswith("CONC"))


# --- Status


@pytest.mark.parametrize("state", ["PENDING", "Processing"])
def test_a_state_that_is_not_an_end_is_working_even_beside_early_links(state: str) -> None:
    assert READER.job_status(answer(200, {"status": state, "download_urls": [URL]})) == Working(state=state.lower())


def test_links_beside_a_word_that_is_not_known_are_kept_for_it_may_mean_the_end() -> None:
    body = {"status": "COMPLETED", "download_urls": [URL]}
    assert READER.job_status(answer(200, body)) == Working(state="completed", urls=(URL,), response=json.dumps(body))


def test_success_need_not_repeat_the_id() -> None:
    given = READER.job_status(answer(200, {"status": "Success", "download_urls": [URL]}))
    assert isinstance(given, Completed)
    assert given.urls == (URL,)


@pytest.mark.parametrize("urls", [None, [], [None, ""], "", {"a": URL}, ["ftp://x", 5, "relative/path"], "data:,x"])
def test_success_without_a_usable_link_is_told_with_its_answer(urls: object) -> None:
    body = {"status": "SUCCESS", "download_urls": urls}
    given = READER.job_status(answer(200, body))
    assert isinstance(given, Unusable)
    assert json.loads(given.response or "") == body


@pytest.mark.parametrize("urls", [["/img/a"], "/img/a", [{"url": "/img/a"}], {"0": "/img/a"}, {"url": "/img/a"}])
def test_a_path_alone_is_joined_to_where_it_came_from_and_objects_are_looked_into(urls: object) -> None:
    body = json.dumps({"status": "SUCCESS", "download_urls": urls}).encode()
    got = Answer(status=200, headers={}, body=body, at=NOW, url="https://api.test/sd3/v1/status/1")
    given = READER.job_status(got)
    assert isinstance(given, Completed)
    assert given.urls == ("https://api.test/img/a",)


def test_numbered_links_come_in_the_order_of_their_numbers() -> None:
    numbered = {str(n): f"https://a/{n}" for n in (10, 9, 0)}
    assert urls(download_urls=numbered) == ("https://a/0", "https://a/9", "https://a/10")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (202, {"job_id": "7", "status": "PENDING"}),  # what the other generation calls it
        (202, {"job_id": 7}),
        (500, {"id": "7", "status": "PENDING"}),
        (503, {"id": "7", "status": "PENDING"}),
        (409, {"id": "7"}),
    ],
)
def test_a_job_that_an_answer_names_is_asked_about_and_not_left_in_doubt(status: int, body: object) -> None:
    assert READER.submission(answer(status, body)) == Accepted(job_id=JobId("7"))


@pytest.mark.parametrize("body", [{"id": "trace-7"}, {"id": "7", "status": "FAILURE"}, {"status": "PENDING"}])
def test_a_broken_answer_that_names_no_job_that_goes_on_leaves_a_doubt(body: dict[str, object]) -> None:
    doubt = submit_error(AnswerInDoubt, 500, body)
    assert isinstance(doubt, AnswerInDoubt)
    assert doubt.job_id == body.get("id")


@pytest.mark.parametrize("status", [400, 401, 403, 422, 429])
def test_a_plain_refusal_is_none_the_less_so_for_an_id(status: int) -> None:
    assert not isinstance(outcome(READER.submission, answer(status, {"id": "7", "status": "PENDING"})), Accepted)


@pytest.mark.parametrize("status", [404, 410])
def test_a_job_that_the_api_does_not_know_is_refused(status: int) -> None:
    assert status_error(RequestRefused, status, {"detail": "Not found"}).http_status == status


@pytest.mark.parametrize("status", [301, 400, 408, 422, 429, 500, 502, 503, 504, 520])
def test_any_other_answer_to_a_question_says_nothing_about_the_job(status: int) -> None:
    later = status_error(TryLater, status, b"oops", retry_after="4")
    assert (later.http_status, later.retry_after, later.message) == (status, 4.0, "oops")


@pytest.mark.parametrize("status", [400, 409, 422, 500, 502])
def test_a_failure_of_the_job_is_one_whatever_the_status_of_its_answer(status: int) -> None:
    given = READER.job_status(answer(status, {"id": "7", "status": "FAILURE", "error": "out of memory"}))
    assert isinstance(given, Failed)
    assert (given.failure.message, given.failure.http_status) == ("out of memory", status)
    status_error(TryLater, status, {"status": "FAILURE", "error": "database timeout"})  # of the question, perhaps


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"[]", b"{}", b'{"status": 7}', b'{"status": ""}'])
def test_an_answer_without_a_state_says_nothing_about_the_job(body: bytes) -> None:
    status_error(TryLater, 200, body)


def test_a_job_refused_by_content_policy_does_not_block_the_account() -> None:
    given = READER.job_status(answer(403, {"detail": "No.", "code": "CONTENT_POLICY"}))
    assert isinstance(given, Failed)
    assert given.failure.kind is FailureKind.CONTENT_POLICY


# --- Links


def urls(**body: object) -> tuple[str, ...]:
    given = READER.job_status(answer(200, {"status": "SUCCESS", **body}))
    assert isinstance(given, Completed)
    return given.urls


def test_nested_lists_of_links_are_flattened_in_order() -> None:
    assert urls(download_urls=[["https://a/1", ["https://a/2"]], [], "https://a/3"]) == tuple(
        f"https://a/{n}" for n in (1, 2, 3)
    )


def test_what_is_no_link_among_links_is_skipped() -> None:
    assert urls(download_urls=[None, "", 7, {"name": "https://a/0"}, " HTTPS://a/1\n", "data:image/png;base64,AA"]) == (
        "HTTPS://a/1",
    )


@pytest.mark.parametrize("name", ["download_urls", "image_url", "output_url"])
def test_a_plain_string_is_one_link_and_other_fields_may_stand_in(name: str) -> None:
    assert urls(**{name: URL}) == (URL,)


def test_the_state_in_an_envelope_is_the_jobs_and_that_of_the_envelope_is_the_calls() -> None:
    told = READER.job_status(answer(200, {"status": "success", "data": {"id": "7", "status": "PENDING"}}))
    assert told == Working(state="pending")
    assert isinstance(READER.job_status(answer(200, {"data": {"status": "FAILURE", "error": "no"}})), Failed)


@pytest.mark.parametrize(
    ("pieces", "job_id"),
    [
        (b'{"status": "PENDING", "id": "j7", "pos', "j7"),
        (b'{"data": {"job_id": "j\\u0037", "id', "j7"),
        (b'{"id": 17, "eta"', "17"),
        (b'{"status": "PENDING", "id": "j7', None),
        (b'{"id": 17', None),
        (b'{"id": "\\q", "job_id": "j7", "', "j7"),
        (b'<html id="j7">', None),
        (b"", None),
        (b'"' * 100_000, None),
    ],
)
def test_an_id_that_is_whole_in_the_pieces_of_an_answer_may_be_asked_about(pieces: bytes, job_id: str | None) -> None:
    assert READER.named_in(pieces) == job_id
    assert submit_error(AnswerInDoubt, 200, pieces).job_id == job_id


def test_links_in_several_fields_are_one_list_in_order() -> None:
    assert urls(download_urls=[None, URL], image_url="https://a/2", output_url=["https://a/3"]) == (
        *(URL, "https://a/2", "https://a/3"),
    )


def test_a_link_that_is_named_twice_is_one_link() -> None:
    assert urls(download_urls=[URL, "https://a/2", URL], image_url=URL) == (URL, "https://a/2")


def test_a_link_nested_a_thousand_deep_is_found_or_not_but_harms_nothing() -> None:
    body = b'{"status": "SUCCESS", "download_urls": ' + b"[" * 900 + b'"https://a/1"' + b"]" * 900 + b"}"
    with contextlib.suppress(TryLater):
        READER.job_status(answer(200, body))


# --- Retry-After


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), ("7", 7), (" 1.5 ", 1.5), ("-3", 0), ("86401", LONGEST_WAIT), ("9" * 500, LONGEST_WAIT)],
)
def test_seconds_are_taken_within_a_day(value: str, seconds: float) -> None:
    assert retry_after(value, now=NOW) == seconds


@pytest.mark.parametrize("value", [None, "", "soon", "nan", "inf", "1e3", "1_0", "٣", "0x1", "1,5", "Wed, 99 Foo"])
def test_what_is_neither_seconds_nor_a_date_is_no_wait(value: str | None) -> None:
    assert retry_after(value, now=NOW) is None


@given(st.integers(-10_000, 200_000))
def test_a_date_is_a_wait_from_now(ahead: int) -> None:
    value = formatdate(NOW + ahead, usegmt=True)
    assert retry_after(value, now=NOW) == min(max(ahead, 0), LONGEST_WAIT)


def test_a_date_of_another_zone_or_without_one_is_understood() -> None:
    assert retry_after("Tue, 14 Nov 2023 23:13:21 +0100", now=NOW) == 1
    assert retry_after("Tue, 14 Nov 2023 22:13:21 -0000", now=NOW) == 1


@given(st.text())
def test_no_header_breaks_the_parser(value: str) -> None:
    wait = retry_after(value, now=NOW)
    assert wait is None or 0 <= wait <= LONGEST_WAIT


# --- Messages and secrets


def test_a_gateways_page_becomes_its_words() -> None:
    page = b"<html><head><style>b{x}</style><title>502 Bad&nbsp;Gateway</title></head>\n<body><h1>nginx</h1></body>"
    assert submit_error(AnswerInDoubt, 502, page).message == "502 Bad Gateway nginx"


def test_an_empty_answer_says_that_it_is_empty() -> None:
    assert submit_error(AnswerInDoubt, 500).message == "HTTP 500 without a message"


def test_a_long_message_is_cut() -> None:
    message = submit_error(RequestRefused, 400, {"detail": "word " * 1000}).message
    assert len(message) == MESSAGE_LENGTH
    assert message.endswith("…")


def test_a_body_of_nothing_but_brackets_takes_no_time() -> None:
    submit_error(AnswerInDoubt, 500, b"<" * 4_000_000)
    submit_error(AnswerInDoubt, 500, b"<script" * 500_000)


SPELLINGS = [KEY, quote(KEY), quote(KEY, safe=""), quote(KEY, safe="").lower(), KEY.replace(" ", "\n"), KEY.upper()]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    "template",
    [
        {"detail": "key {} is bad"},
        {"error": {"message": "{}"}},
        {"error": {"{}": ["{}"]}},
        {"code": "{}"},
        {"status": "FAILURE", "error": "{}", "code": "{}"},
        {"status": "SUCCESS", "image_url": URL, "echo": "{}"},
        {"status": "{}"},
        {"id": "j", "status": "{}"},
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401, 402, 403, 404, 429, 500])
def test_the_key_is_in_nothing_that_comes_out(status: int, template: dict[str, object], spelling: str) -> None:
    body = json.dumps(template).replace("{}", json.dumps(spelling)[1:-1]).encode()
    for read in (READER.submission, READER.job_status):
        try:
            shown = repr(read(answer(status, body)))
        except BatchgenError as error:
            shown = f"{error!r} {error} {vars(error)}"
        for secret in (KEY, quote(KEY), quote(KEY, safe="")):
            assert secret.lower() not in shown.lower()


@pytest.mark.parametrize("status", [400, 401, 500])
def test_the_key_is_not_in_the_words_of_a_page(status: int) -> None:
    with pytest.raises(BatchgenError) as caught:
        READER.submission(answer(status, f"<p>{KEY}</p><b>{quote(KEY)}</b>".encode()))
    assert "9f" not in str(caught.value)


def test_a_key_of_digits_never_breaks_the_kept_answer() -> None:
    reader = AnswerReader(a_profile(), host="api.test", wording=Wording("12345678"))
    for echo in (12345678, "12345678", {"12345678": 1}):
        given = reader.job_status(answer(200, {"status": "SUCCESS", "image_url": URL, "echo": echo}))
        assert isinstance(given, Completed)
        assert "12345678" not in (given.response or "")
        assert given.response is None or json.loads(given.response)


def test_a_long_answer_is_kept_as_the_beginning_of_its_text() -> None:
    given = READER.job_status(answer(200, {"status": "SUCCESS", "image_url": URL, "log": "x" * 100_000}))
    assert isinstance(given, Completed)
    assert isinstance(json.loads(given.response or ""), str)
    assert len(given.response or "") < 10_000


def test_the_secret_is_not_in_the_repr_of_what_keeps_it() -> None:
    assert KEY not in repr(Wording(KEY))


# --- Anything at all

#: Whole numbers of 64 bits: beyond them, orjson and json differ.
WHOLE = st.integers(-(2**63), 2**64 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | WHOLE | st.floats() | st.text(max_size=8) | st.just(URL),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
NAMES = ["id", "status", "download_urls", "image_url", "error", "detail", "message", "code", "retryable", "retry_after"]
STATES = st.sampled_from(["PENDING", "SUCCESS", "FAILURE"])
BODIES = st.binary(max_size=40) | st.dictionaries(st.sampled_from(NAMES), JSON | STATES, max_size=6).map(
    lambda content: json.dumps(content).encode()
)
ANSWERS = st.builds(
    Answer,
    status=st.integers(100, 999) | st.sampled_from([200, 202, 400, 401, 403, 404, 422, 429, 500, 503]),
    headers=st.dictionaries(st.just("retry-after"), st.text(max_size=10)),
    body=BODIES,
    at=st.just(NOW),
)


def outcome(read: Callable[[Answer], object], got: Answer) -> object:
    """What comes of an answer: a value, or one of our errors."""
    try:
        return read(got)
    except BatchgenError as error:
        return error


@given(ANSWERS)
def test_no_answer_to_a_submission_raises_a_foreign_error(got: Answer) -> None:
    match outcome(READER.submission, got):
        case AccountBlocked():
            assert 400 <= got.status < 500 or got.status < 300
        case APIError() as error:
            assert error.message.isprintable()
            assert len(error.message) <= MESSAGE_LENGTH + 100
            assert isinstance(error, AnswerInDoubt) or got.status >= 400
        case Completed(urls=links):
            assert links
        case given:
            assert isinstance(given, Accepted | Failed)
            assert 200 <= got.status < 300 or (isinstance(given, Accepted) and (got.status == 409 or got.status >= 500))


@given(ANSWERS)
def test_no_answer_to_a_question_raises_a_foreign_error_or_leaves_a_doubt(got: Answer) -> None:
    match outcome(READER.job_status, got):
        case AccountBlocked():
            assert 400 <= got.status < 500
        case RequestRefused(http_status=status):  # an unknown job
            assert status in (404, 410)
        case TryLater(retry_after=wait):
            assert wait is None or 0 <= wait <= LONGEST_WAIT
        case Completed(urls=links):
            assert links
        case given:
            assert isinstance(given, Working | Failed | Unusable)


@given(JSON)
def test_any_json_is_read_as_it_was_written(value: object) -> None:
    assert repr(read_json(json.dumps(value).encode())) == repr(json.loads(json.dumps(value)))


SLASHED = "sk/ab+cd9876=="


@pytest.mark.parametrize(
    "spelled",
    [
        SLASHED,
        "sk%2Fab%2Bcd9876%3D%3D",
        "sk%2fab%2bcd9876==",
        r"sk\/ab+cd9876==",
        r"sk\\/ab+cd9876\u003d\u003d",
        "sk&#x2F;ab&#43;cd9876&#x3D;&#061;",
    ],
)
def test_a_key_is_kept_out_however_a_server_spells_it(spelled: str) -> None:
    wording = Wording(SLASHED)
    assert wording.without_secret(f"key {spelled} end") == "key … end"
    body = f"<html><pre>X-Key: {spelled}</pre>{{".encode()
    assert "9876" not in wording.said(body, fields=()).message + (wording.kept(body) or "")


@pytest.mark.parametrize("before", range(7_960, 8_000, 3))
def test_no_half_of_a_key_is_left_where_a_page_is_cut(before: int) -> None:
    page = b"<style>" + b"x" * before + b"</style>X-Key: " + SLASHED.encode() + b" was wrong"
    assert "cd98" not in Wording(SLASHED).said(page, fields=()).message


def test_an_outages_own_word_and_id_leave_a_doubt_and_a_job_at_work_none() -> None:
    error = submit_error(AnswerInDoubt, 500, {"status": "error", "id": "req-7", "message": "Internal Server Error"})
    assert error.job_id == "req-7"
    assert READER.submission(answer(500, {"status": "PENDING", "id": "j"})) == Accepted(job_id=JobId("j"))


@pytest.mark.parametrize("message", ["Insufficient credits. Please top up.", "Error: not enough balance left"])
def test_an_account_without_credit_is_known_by_words_too(message: str) -> None:
    submit_error(CreditExhausted, 400, {"detail": message})
    submit_error(CreditExhausted, 200, {"id": "j", "status": "FAILURE", "error": message})
    failed = READER.job_status(answer(200, {"status": "FAILURE", "error": message}))
    assert isinstance(failed, Failed)
    assert failed.blocked is not None
    assert not failed.retryable


@pytest.mark.parametrize("quoted", ["INSUFFICIENT_FUNDS", "insufficient funds"])
def test_what_a_422_quotes_of_the_input_is_no_word_about_the_account(quoted: str) -> None:
    submit_error(RequestRefused, 422, {"detail": f"prompt: 'a neon sign saying {quoted}' is not allowed"})
    submit_error(RequestRefused, 422, {"detail": f"{quoted} is not allowed in a prompt"})


@pytest.mark.parametrize("body", [{"status": "PENDING"}, {}])
def test_links_of_a_job_without_an_id_that_is_still_at_work_are_no_images(body: dict[str, str]) -> None:
    given = answer(202, body | {"download_urls": ["https://images.test/a"]})
    with pytest.raises(AnswerInDoubt, match="links to images that are yet to be made"):
        READER.submission(given, early=True)


@pytest.mark.parametrize("quote", ["'", "", "`", '"'])
def test_a_code_within_words_that_an_answer_repeats_is_none_of_its_own(quote: str) -> None:
    words = f"The prompt {quote}a neon sign saying INSUFFICIENT_FUNDS{quote} cannot be drawn"
    submit_error(RequestRefused, 400, {"detail": words})
    failed = READER.job_status(answer(200, {"status": "FAILURE", "error": words}))
    assert isinstance(failed, Failed)
    assert failed.blocked is None
    submit_error(CreditExhausted, 400, {"detail": "Error: INSUFFICIENT_CREDITS. You can't go on, don't try."})
