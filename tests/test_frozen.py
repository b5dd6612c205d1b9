"""A frozen plan is a manifest: the same requests again, whatever became of what it was made from."""

from __future__ import annotations

import json
import string
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.adapters.plan_file import PlanFile, freeze
from batchgen.adapters.profiles import find_profile
from batchgen.app.freezing import origin
from batchgen.checks import Checks, DuplicateCheck, SizeCheck
from batchgen.errors import UsageError
from batchgen.manifest import Overrides, read_manifest, safe_name
from batchgen.model import CardFacts, InDoubt, PlanHead, Request, Row
from batchgen.planning import Plan
from tests.factories import a_profile
from tests.test_planning import PARAMS, a_manifest, rows

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LABELS = st.dictionaries(
    st.sampled_from(["class", "n", "Größe"]),
    TEXT
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none(),
)


@st.composite
def some_rows(draw: st.DrawFn) -> list[Row]:
    count = draw(st.integers(0, 6))
    return [
        Row(
            index=draw(st.integers(0, 3)) + n,
            prompt=draw(TEXT),
            params={**PARAMS, "guidance_scale": draw(st.floats(0, 20)), "samples": draw(st.integers(1, 4))},
            file_prefix=safe_name(draw(TEXT), fallback="p"),
            labels=draw(LABELS),
            repeats=range(draw(st.integers(1, 3))),
            split=draw(st.sampled_from([None, "train", "test"])),
        )
        for n in range(count)
    ]


def frozen(path: Path, given: list[Row]) -> list[Request]:
    """Freeze a manifest of those rows, and give its requests."""
    manifest = replace(a_manifest(given), read_rows=lambda: iter(given), split={"a": 0.5, "b": 0.5}, rate=2.5)
    freeze(Plan(manifest), path, origin(manifest, fingerprint="f"))
    return list(Plan(manifest))


def again(path: Path, **overrides: object) -> list[Request]:
    return list(Plan(read_manifest(path, find_profile=find_profile, overrides=Overrides(**overrides))))  # type: ignore[arg-type]


@settings(deadline=None)
@given(some_rows())
def test_a_frozen_plan_gives_the_requests_that_were_frozen(
    tmp_path_factory: pytest.TempPathFactory, given: list[Row]
) -> None:
    path = tmp_path_factory.mktemp("frozen") / "plan.parquet"
    wanted = frozen(path, given)
    sha256 = read_manifest(path, find_profile=find_profile).sha256
    assert again(path) == [replace(request, manifest_sha256=sha256) for request in wanted]


def test_a_frozen_plan_keeps_what_its_manifest_said_of_the_run(tmp_path: Path) -> None:
    frozen(tmp_path / "plan.parquet", rows("ab"))
    manifest = read_manifest(tmp_path / "plan.parquet", find_profile=find_profile)
    assert (manifest.batch_id, manifest.profile.name, manifest.rate) == ("b", a_profile().name, 2.5)
    assert (manifest.concurrency, manifest.price_per_image, manifest.in_doubt) == (1, 0.5, InDoubt.HOLD)


def test_the_tags_of_a_frozen_plan_may_be_overridden_and_its_parameters_not(tmp_path: Path) -> None:
    path = tmp_path / "plan.parquet"
    wanted = frozen(path, rows("ab"))
    tagged = again(path, batch_id="other/one", file_prefix="x y")
    assert [request.key for request in tagged] == [request.key for request in wanted]
    assert {(request.batch_id, request.file_prefix) for request in tagged} == {("other-one", "x-y")}
    with pytest.raises(UsageError, match="no parameter of it can be set, and samples was"):
        again(path, params={"samples": 2})


def test_a_frozen_plan_is_refused_with_a_profile_that_would_change_its_requests(tmp_path: Path) -> None:
    path = tmp_path / "plan.parquet"
    frozen(path, rows("ab"))
    with pytest.raises(UsageError, match="not the one it was frozen with"):
        read_manifest(path, find_profile=lambda name: a_profile(submit_path="/other"))


def test_tags_in_a_frozen_plan_are_made_safe_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "plan.parquet"
    frozen(path, [replace(row, file_prefix="../../etc") for row in rows("ab")])
    assert {request.file_prefix for request in again(path)} == {"etc"}


def older(path: Path) -> None:
    """The file as an earlier version wrote it: without the newer fields and the newer column."""
    table = pq.read_table(path)
    known = ("fingerprint", "endpoint", "keys_sha256", "requests", "samples", "label_types")
    head = json.loads(pq.read_metadata(path).metadata[PlanHead.METADATA])
    kept = {PlanHead.METADATA: json.dumps({name: head[name] for name in known}).encode()}
    pq.write_table(table.drop_columns(["kept"]).replace_schema_metadata(kept), path)


def test_a_plan_frozen_by_an_earlier_version_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "plan.parquet"
    wanted = frozen(path, rows("ab"))
    older(path)
    assert list(PlanFile(path)) == wanted
    assert PlanFile(path).head.includes == {}
    with pytest.raises(UsageError, match="--profile"):
        again(path)
    assert [request.key for request in again(path, profile=a_profile().name)] == [request.key for request in wanted]


def test_a_damaged_frozen_plan_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "plan.parquet"
    frozen(path, rows([f"{n}" for n in range(500)]))
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    path.write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read"):
        again(path)
    pq.write_table(pa.table({"x": [1]}).replace_schema_metadata({PlanHead.METADATA: b"{}"}), path)
    with pytest.raises(UsageError, match="cannot be read"):
        again(path)


@given(
    st.builds(
        PlanHead,
        fingerprint=TEXT,
        endpoint=TEXT,
        words=st.dictionaries(TEXT, TEXT),
        includes=st.dictionaries(TEXT, st.text(string.hexdigits)),
        image_parameters=st.lists(TEXT).map(tuple),
        rate=st.none() | st.floats(0, 9),
        in_doubt=st.sampled_from(InDoubt),
        checks=st.builds(Checks, duplicates=st.sampled_from(DuplicateCheck), size=st.sampled_from(SizeCheck)),
        card=st.builds(CardFacts, title=st.none() | TEXT),
    )
)
def test_a_head_goes_through_its_text(head: PlanHead) -> None:
    assert PlanHead.from_json(head.to_json()) == head
    assert asdict(PlanHead.from_json(head.to_json())) == asdict(head)
