"""The index and what is made from it: types, order, and what a row says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from batchgen import index
from batchgen.adapters.plan_file import PlanFile, freeze
from batchgen.checks import DuplicateCheck
from batchgen.errors import StorageFailed, UsageError
from batchgen.index import COLUMNS, schema
from batchgen.index.columns import LABEL_TYPES
from batchgen.lifecycle import Record, State
from batchgen.manifest import RESERVED
from batchgen.model import (
    BatchFacts,
    CardFacts,
    Failure,
    FailureKind,
    JobId,
    LabelValue,
    MissingImage,
    PlanHead,
    Request,
    RequestKey,
    RunId,
    Status,
    StoredImage,
)
from batchgen.review import card, contact_sheet
from batchgen.testing import tiny_png
from tests.factories import a_request, an_image

FACTS = BatchFacts(
    batch_id="animals",
    profile="sd3",
    provider="imagepipeline.io",
    model="stable-diffusion-3",
    endpoint="imagepipeline.io/sd3/v1",
    price_per_image=0.25,
)
FAILURE = Failure(kind=FailureKind.RESULT_LOST, message="gone", http_status=410)


def requests(*labels: Mapping[str, LabelValue], samples: int = 1) -> list[Request]:
    params = dict(a_request().params) | {"samples": samples}
    return [a_request(key=RequestKey(f"k{n}"), row_index=n, labels=own, params=params) for n, own in enumerate(labels)]


def stored(sample: int = 0) -> StoredImage:
    image, _ = an_image()
    return StoredImage(sample=sample, file_name=f"images/a-{sample}.png", source_url="https://host/a", image=image)


def written(
    folder: Path, wanted: Sequence[Request], records: Mapping[str, Record], facts: BatchFacts = FACTS
) -> pa.Table:
    """The index of a plan that went through its file, as in a run."""
    freeze(wanted, folder / "plan.parquet", PlanHead(fingerprint="x", endpoint="e"))
    plan = PlanFile(folder / "plan.parquet")
    index.write(
        folder / "metadata.parquet",
        plan,
        lambda keys: {key: records[key] for key in keys if key in records},
        facts=facts,
        label_types=plan.head.label_types,
        stamp="1",
    )
    return pq.read_table(folder / "metadata.parquet")


def test_a_batch_without_a_single_row_has_the_same_types_as_any_other(tmp_path: Path) -> None:
    table = written(tmp_path, [], {})
    assert table.num_rows == 0
    assert table.schema.equals(schema({}))


def test_no_column_is_without_a_type_or_a_description() -> None:
    assert all(kind != pa.null() and text for kind, text in COLUMNS.values())


def test_the_names_that_a_manifest_may_not_give_a_label_are_those_of_the_columns() -> None:
    assert set(COLUMNS) <= RESERVED


def test_each_sample_has_its_row_whatever_became_of_it(tmp_path: Path) -> None:
    wanted = requests({}, {}, {}, {}, {}, samples=2)
    image_and_gap = Record(
        state=State.STORED,
        run_id=RunId("r"),
        job_id=JobId("7"),
        images=(stored(0),),
        missing=(MissingImage(sample=1, failure=FAILURE),),
        attempts=2,
        submitted_at=100.0,
        completed_at=107.5,
        downloaded_at=108.0,
    )
    records = {
        "k0": image_and_gap,
        "k1": Record(state=State.FAILED, failure=FAILURE),
        "k2": Record(state=State.IN_DOUBT, failure=replace(FAILURE, kind=FailureKind.ANSWER_LOST)),
        "k3": Record(state=State.SUBMITTED, job_id=JobId("8")),
    }
    rows = written(tmp_path, wanted, records).to_pylist()
    assert [row["status"] for row in rows] == ["stored", "failed", *["failed"] * 2, *["in_doubt"] * 2, *["pending"] * 4]
    assert [row["sample_index"] for row in rows] == [0, 1] * 5
    assert (rows[0]["file_name"], rows[0]["cost"], rows[0]["latency_s"]) == ("images/a-0.png", 0.25, 7.5)
    assert (rows[1]["file_name"], rows[1]["cost"], rows[1]["error_class"]) == (None, None, "result_lost")
    assert rows[0]["submitted_at"].isoformat() == "1970-01-01T00:01:40+00:00"
    assert [row["http_status"] for row in rows[:3]] == [None, 410, 410]
    assert index.failed_requests(tmp_path / "metadata.parquet") == 1
    assert index.counts(tmp_path / "metadata.parquet") == {
        Status.STORED: 1, Status.REJECTED: 0, Status.FAILED: 3, Status.IN_DOUBT: 2, Status.PENDING: 4,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "kind", "column"),
    [
        ((1, 2), "int", [1, 2]),
        ((1, 2.5), "float", [1.0, 2.5]),
        ((True, None), "bool", [True, None]),
        ((None, None), "null", [None, None]),
        ((1, "a"), "str", ["1", "a"]),
        ((True, 1), "str", ["true", "1"]),
        ((None, 3), "int", [None, 3]),
        ((2**60 + 1, 1), "int", [2**60 + 1, 1]),
        ((2**60 + 1, 0.5), "str", [str(2**60 + 1), "0.5"]),
    ],
)
def test_a_label_keeps_its_type_and_a_mixed_one_is_text(
    tmp_path: Path, values: tuple[LabelValue, ...], kind: str, column: list[Any]
) -> None:
    table = written(tmp_path, requests(*({"x": value} for value in values)), {})
    assert PlanFile(tmp_path / "plan.parquet").head.label_types == {"x": kind}
    assert table.schema.field("x").type == LABEL_TYPES[kind]
    assert table["x"].to_pylist() == column


def test_labels_that_differ_only_in_case_are_one_column(tmp_path: Path) -> None:
    assert written(tmp_path, requests({"Class": "a"}, {"class": "b"}), {})["Class"].to_pylist() == ["a", "b"]


def test_a_label_that_only_some_rows_have_is_null_elsewhere(tmp_path: Path) -> None:
    assert written(tmp_path, requests({"a": 1}, {"b": "x"}), {})["a"].to_pylist() == [1, None]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    wanted = requests({"a": 1}, {"a": 2})
    records = {"k0": Record(state=State.STORED, images=(stored(),))}
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        written(tmp_path / name, wanted, records)
        contents.append((tmp_path / name / "metadata.parquet").read_bytes())
    assert contents[0] == contents[1]


def test_the_file_says_what_it_was_made_from_and_by_what(tmp_path: Path) -> None:
    written(tmp_path, [], {}, replace(FACTS, manifest_sha256="a" * 64))
    told = pq.read_metadata(tmp_path / "metadata.parquet").metadata
    assert told[b"batchgen.schema_version"] == str(index.SCHEMA_VERSION).encode()
    assert told[b"batchgen.manifest_sha256"] == b"a" * 64
    assert told[b"batchgen.version"] == version("batchgen").encode()


def test_an_index_is_written_in_row_groups_of_some_megabytes_each(tmp_path: Path) -> None:
    prompt = "A red fox " * 200
    written(tmp_path, [replace(one, prompt=f"{one.key} {prompt}") for one in requests(*[{}] * 10_100)], {})
    told = pq.read_metadata(tmp_path / "metadata.parquet")
    assert [told.row_group(n).num_rows for n in range(told.num_row_groups)] == [2_000, 2_000, 2_000, 2_000, 2_000, 100]


def test_rows_that_take_little_memory_share_a_row_group(tmp_path: Path) -> None:
    written(tmp_path, requests(*[{}] * 4_100), {})
    assert pq.read_metadata(tmp_path / "metadata.parquet").num_row_groups == 1


def test_an_index_that_cannot_be_finished_leaves_the_one_that_was_there(tmp_path: Path) -> None:
    written(tmp_path, requests({}), {})
    before = (tmp_path / "metadata.parquet").read_bytes()

    def lost(_: object) -> Mapping[RequestKey, Record]:
        raise OSError("the disk is gone")

    with pytest.raises(StorageFailed, match="the disk is gone"):
        index.write(tmp_path / "metadata.parquet", requests({}), lost, facts=FACTS, label_types={}, stamp="2")
    assert (tmp_path / "metadata.parquet").read_bytes() == before
    assert not list(tmp_path.glob(".*.part"))


def test_images_that_are_or_look_the_same_as_an_earlier_one_are_marked(tmp_path: Path) -> None:
    hashes = ["00000000000000ff", "00000000000000fe", "f0f0f0f0f0f0f0f0", "00000000000000ff", "00000000000000ff"]
    contents = ["a", "b", "c", "a", "d"]
    records = {
        f"k{n}": Record(state=State.STORED, images=(named(f"images/{n}.png", sha256=content, phash=phash),))
        for n, (phash, content) in enumerate(zip(hashes, contents, strict=True))
    }
    wanted = requests(*[{}] * 6)
    table = written(tmp_path, wanted, records)
    first = "images/0.png"
    assert table["duplicate_of"].to_pylist() == [None, None, None, first, None, None]
    assert table["near_duplicate_of"].to_pylist() == [None, first, None, first, first, None]
    off = written(tmp_path, wanted, records, replace(FACTS, duplicates=DuplicateCheck.OFF))
    assert off["duplicate_of"].null_count == off["near_duplicate_of"].null_count == 6
    assert off.schema.equals(table.schema)


def named(name: str, **changes: Any) -> StoredImage:
    image, _ = an_image(**changes)
    return StoredImage(sample=0, file_name=name, source_url="https://host/a", image=image)


def test_the_tables_of_splits_hold_each_row_once_in_order(tmp_path: Path) -> None:
    parts = ["train", "test", None, "test", "train"]
    wanted = [replace(one, split=split) for one, split in zip(requests(*[{"n": 1}] * 5), parts, strict=True)]
    whole = written(tmp_path, wanted, {})
    (tmp_path / "split+gone.parquet").touch()
    index.write_splits(tmp_path / "metadata.parquet")
    tables = {path.name: pq.read_table(path) for path in tmp_path.glob("split+*")}
    assert index.splits(tmp_path / "metadata.parquet") == ["test", "train"]
    assert {name: table["row_index"].to_pylist() for name, table in tables.items()} == {
        "split+train.parquet": [0, 2, 4],
        "split+test.parquet": [1, 3],
    }
    assert all(table.schema.equals(whole.schema) for table in tables.values())


def test_a_batch_without_splits_has_no_tables_of_them(tmp_path: Path) -> None:
    written(tmp_path, requests({}, {}), {})
    (tmp_path / "split+train.parquet").touch()
    index.write_splits(tmp_path / "metadata.parquet")
    assert not list(tmp_path.glob("split+*"))


@given(
    st.builds(
        BatchFacts,
        batch_id=st.text(), profile=st.text(), provider=st.text(), model=st.text(), endpoint=st.text(),
        price_per_image=st.none() | st.floats(0, 9), manifest_sha256=st.text(),
        duplicates=st.sampled_from(DuplicateCheck), card=st.builds(CardFacts, license=st.none() | st.text()),
    )
)  # fmt: skip
def test_facts_go_through_their_text(facts: BatchFacts) -> None:
    assert BatchFacts.from_json(facts.to_json()) == facts


def test_facts_of_an_earlier_version_are_read() -> None:
    earlier = '{"batch_id": "b", "profile": "p", "provider": "p", "model": "m", "endpoint": "e", "price_per_image": 1}'
    assert BatchFacts.from_json(earlier).card == CardFacts()


def test_an_index_is_current_only_for_what_it_was_made_from(tmp_path: Path) -> None:
    path = tmp_path / "metadata.parquet"
    assert not index.is_current(path, "1")
    written(tmp_path, [], {})
    assert index.is_current(path, "1")
    assert not index.is_current(path, "2")


def test_a_plan_file_gives_back_the_requests_that_were_frozen(tmp_path: Path) -> None:
    wanted = requests({"a": 1, "b": None}, {"a": 2, "b": "ü"})
    freeze(wanted, tmp_path / "plan.parquet", PlanHead(fingerprint="x", endpoint="e"))
    plan = PlanFile(tmp_path / "plan.parquet")
    assert list(plan) == list(plan) == wanted
    assert list(plan.keys()) == [request.key for request in wanted]
    assert (plan.head.requests, plan.head.samples) == (2, 2)


@pytest.mark.parametrize("read", [PlanFile, index.read_facts, lambda path: list(index.read(path))])
def test_what_is_not_parquet_is_refused_with_a_sentence(tmp_path: Path, read: Any) -> None:
    (tmp_path / "x").write_bytes(b"not parquet")
    for name in ("x", "nowhere"):
        with pytest.raises(StorageFailed, match=r"[Rr]un the manifest again|run of the manifest"):
            read(tmp_path / name)


def test_the_card_tells_loaders_what_to_load_and_people_what_is_there(tmp_path: Path) -> None:
    records = {
        "k0": Record(state=State.STORED, images=(stored(),), downloaded_at=0.0),
        "k1": Record(state=State.FAILED, failure=FAILURE),
    }
    written(tmp_path, requests({"class": "fox"}, {"class": "owl"}), records)
    text = card.write(tmp_path / "metadata.parquet")
    header = yaml.safe_load(text.split("---")[1])
    assert header["configs"][0]["data_files"] == [{"split": "train", "path": ["metadata.parquet", "images/**"]}]
    assert "1 image of 1 prompt" in text
    assert "on 1970-01-01" in text
    assert "| result_lost | 1 |" in text
    assert "`class`" in text


def test_the_card_says_what_the_user_and_the_batch_say(tmp_path: Path) -> None:
    facts = replace(
        FACTS, card=CardFacts(title="Foxes", license="cc-by-4.0", intended_use="To look at.", creator="Lab")
    )
    records = {f"k{n}": Record(state=State.STORED, images=(stored(),)) for n in range(3)}
    labels = [{"axis_scale": scale} for scale in (4.0, 7.0, 4.0)]
    written(tmp_path, [replace(one, split="test") for one in requests(*labels)], records, facts)
    text = card.write(tmp_path / "metadata.parquet")
    header = yaml.safe_load(text.split("---")[1])
    assert (header["license"], header["pretty_name"], header["size_categories"]) == ("cc-by-4.0", "Foxes", ["n<1K"])
    assert header["configs"][0]["metadata_filenames"] == ["split+test.parquet"]
    for line in (
        "# Foxes",
        "The images cost 0.75 at 0.25 each",
        "| `axis_scale` | 4.0, 7.0 |",
        "To look at.",
        "![A red fox](images/a-0.png)",
        "| `num_inference_steps` | 29 |",
        "2 images the same as an earlier one",
    ):
        assert line in text, line


@pytest.mark.parametrize(
    ("told", "header"),
    [
        ("cc0-1.0", {"license": "cc0-1.0"}),
        ("https://a.b/c", {"license": "other", "license_name": "https://a.b/c", "license_link": "https://a.b/c"}),
        ("Ask us: first", {"license": "other", "license_name": "Ask us: first"}),
        (None, {}),
    ],
)
def test_a_licence_is_told_as_loaders_read_it(tmp_path: Path, told: str | None, header: dict[str, str]) -> None:
    written(tmp_path, requests({}), {}, replace(FACTS, card=CardFacts(license=told)))
    text = card.write(tmp_path / "metadata.parquet")
    read = yaml.safe_load(text.split("---")[1])
    assert {name: value for name, value in read.items() if name.startswith("license")} == header
    assert f"## Licence\n\n{told or 'Not stated.'}" in text


def test_the_card_of_a_batch_without_a_row_is_a_card(tmp_path: Path) -> None:
    written(tmp_path, [], {})
    text = card.write(tmp_path / "metadata.parquet")
    data_files = yaml.safe_load(text.split("---")[1])["configs"][0]["data_files"]
    assert data_files == [{"split": "train", "path": ["metadata.parquet"]}]
    assert "0 images of 0 prompts" in text


def test_no_prompt_breaks_the_table_it_stands_in(tmp_path: Path) -> None:
    prompt = "a | b](x) <img> _c_ `d`\n# e " + "f" * 100
    records = {"k0": Record(state=State.STORED, images=(named("images/a b(1).png"),))}
    written(tmp_path, [replace(one, prompt=prompt) for one in requests({})], records)
    text = card.write(tmp_path / "metadata.parquet")
    assert r"![a \| b\](x) \<img\> \_c\_ \`d\` # e ff" in text
    assert "](images/a%20b%281%29.png)" in text


def test_a_contact_sheet_has_room_for_every_picture_it_shows(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a-0.png").write_bytes(tiny_png(colour=(255, 0, 0)))
    records = {f"k{n}": Record(state=State.STORED, images=(stored(),)) for n in range(5)}
    written(tmp_path, [replace(r, prompt="a very long prompt " * 20) for r in requests(*[{}] * 5)], records)
    sheet = contact_sheet.draw(tmp_path / "metadata.parquet", columns=2, cell=64).picture
    assert sheet.size[0] > 2 * 64
    assert sheet.size[1] > 3 * 64
    assert sum(n for n, colour in sheet.getcolors(2**24) or [] if colour == (255, 0, 0)) == 5 * 64 * 64


def test_a_batch_without_images_has_no_contact_sheet_but_a_sentence(tmp_path: Path) -> None:
    written(tmp_path, [], {})
    with pytest.raises(UsageError, match="no stored image yet"):
        contact_sheet.draw(tmp_path / "metadata.parquet")
