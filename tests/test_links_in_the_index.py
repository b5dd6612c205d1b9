"""What an index publishes of links: enough to say which file is meant, and nothing that opens it to others."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.app.checking import check
from batchgen.index.links import without_signatures, without_signatures_in_json
from tests.campaigns.leaks import leaks
from tests.scripted import IMAGES, KEY, Scripted, ran, rows_of

#: Where a batch folder keeps links whole.
PRIVATE = ("journal.sqlite", "manifest.yaml", "plan.parquet")
#: Links as they are signed in the world, the secret part of each, and what is published.
SIGNED = {
    "https://h.test/b2api/v2/b2_download_file_by_id?fileId=4_z1_f2&Authorization=3_2024_SECRET": (
        "https://h.test/b2api/v2/b2_download_file_by_id?fileId=4_z1_f2&Authorization=…"
    ),
    "https://b.s3.test/a.png?X-Amz-Credential=SECRET%2F2&X-Amz-Signature=SECRET": (
        "https://b.s3.test/a.png?X-Amz-Credential=…&X-Amz-Signature=…"
    ),
    "https://g.test/a.png?Expires=1&Signature=SECRET%3D%3D#SECRET": "https://g.test/a.png?Expires=…&Signature=…#…",
    "https://az.test/a.png?sv=1&sig=SECRET": "https://az.test/a.png?sv=…&sig=…",
    "https://c.test/a?token=SECRET": "https://c.test/a?token=…",
    "https://c.test/a?U0VDUkVUSECRET=": "https://c.test/a?…",
    "https://c.test/a?SECRET": "https://c.test/a?…",
    "https://c.test/a?fileId=1%26SECRET": "https://c.test/a?fileId=…",
    "https://me:SECRET@c.test/a": "https://…@c.test/a",
    "/img/a?sig=SECRET": "/img/a?sig=…",
    "img/a?sig=SECRET": "img/a?sig=…",
}


@pytest.mark.parametrize("link", SIGNED)
def test_what_signs_a_link_is_not_published(link: str) -> None:
    assert without_signatures(link) == SIGNED[link]
    assert without_signatures(f"No image at <{link}>, 404") == f"No image at <{SIGNED[link]}>, 404"


@pytest.mark.parametrize("link", SIGNED)
def test_nor_is_it_in_an_answer(link: str) -> None:
    answer = {"id": "j", "download_urls": [[link]], "n": 1.5, link: None, "note": json.dumps({"url": link})}
    told = without_signatures_in_json(json.dumps(answer))
    assert "SECRET" not in told
    assert json.loads(told)["download_urls"] == [[SIGNED[link]]]
    assert json.loads(told)["n"] == 1.5
    cut = json.dumps(json.dumps(answer)[:-30])  # an answer that was too long to be kept whole
    assert "SECRET" not in without_signatures_in_json(cut)


@pytest.mark.parametrize(
    "text",
    [
        "https://cdn.test/a/b.png",
        "Is it a fox? No.",
        "what?",
        "colour #ff00aa",
        "me@home",
        "a / b ? c",
        "",
        "#",
        "?=",
        "…",
    ],
)
def test_what_signs_nothing_stays_as_it_is(text: str) -> None:
    assert without_signatures(text) == text
    assert json.loads(without_signatures_in_json(json.dumps({"a": text}))) == {"a": text}


@given(st.text(), st.text(alphabet="abc123", min_size=8))
def test_whatever_stands_around_a_link_its_token_is_gone(text: str, token: str) -> None:
    told = without_signatures(f"{text} https://h.test/a?token=s3cr3t-{token} {text}")
    assert f"s3cr3t-{token}" not in told
    assert without_signatures(told) == told


def test_an_answer_that_is_nested_as_deep_as_can_be_is_cut_too() -> None:
    told = without_signatures_in_json('{"a": ' * 1900 + '"https://h.test/a?sig=SECRET"' + "}" * 1900)
    assert told == '{"a": ' * 1900 + '"https://h.test/a?sig=\\u2026"' + "}" * 1900


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda part: st.lists(part)))
def test_json_stays_json_of_the_same_form(value: object) -> None:
    told = json.loads(without_signatures_in_json(json.dumps(value)))
    assert type(told) is type(value)


async def test_a_signed_link_is_whole_where_it_is_needed_and_cut_where_it_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEPIPELINE_API_KEY", KEY)
    # A POST that is answered by the result names no job to ask: a repair has the first link alone.
    made = {"status": "SUCCESS", "download_urls": [f"{IMAGES}/0?Expires=9&Signature=s3cret"]}
    params = "width: 16, height: 16, webhook: 'https://me.test/hook?token=s3cret'"
    async with Scripted(posts=[made]) as api:
        result = await ran(api, tmp_path, params=params)
        [first] = result.images()
        first.unlink()
        assert (await asyncio.to_thread(check, result.out, repair=True)).exit_code == 6
        result = await ran(api, tmp_path, params=params)
        assert [one.raw_path for one in api.to_images()] == ["/images/0?Expires=9&Signature=s3cret"] * 2
        assert (result.exit_code, api.posts) == (0, 1)
    [row] = rows_of(result)
    assert row["source_url"] == f"{api.url}/images/0?Expires=…&Signature=…"
    assert json.loads(row["response_json"])["download_urls"] == [row["source_url"]]
    assert json.loads(row["params_json"])["webhook"] == "https://me.test/hook?token=…"
    assert api.bodies[0]["webhook"].endswith("s3cret")
    assert leaks(tmp_path, "", ["s3cret"]) == ["m.yaml", *(f"out/.batchgen/{name}" for name in PRIVATE)]
    assert (await asyncio.to_thread(check, result.out)).exit_code == 0
