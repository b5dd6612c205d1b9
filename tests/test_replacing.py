"""Other images in place of rejected ones: asked for in rounds, never twice, and never beyond what was allowed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchgen
from batchgen import InDoubt, RunResult, Settings, Status, status
from batchgen.adapters.journal import JournalView
from batchgen.adapters.plan_file import PlanFile
from batchgen.adapters.profiles import find_profile
from batchgen.app.checking import check
from batchgen.app.comparing import drift
from batchgen.cli import words
from batchgen.lifecycle import State
from batchgen.likeness import NEAR
from batchgen.model import Replacement, Request
from batchgen.planning import replacement, request_key
from batchgen.simulator import Behaviour, Fixed, Simulator, background
from tests.factories import a_request

ROOT = Path(__file__).parents[1]
REPLACE = "{blank: reject, on_reject: replace}"


class Place:
    """A manifest, a folder, and a simulator some of whose pictures are blank."""

    def __init__(
        self, folder: Path, *, blank: float, profile: str = "simulator", seed: int = 0, pictures: str = "tiny"
    ) -> None:
        self.folder, self.out, self.record = folder, folder / "out", folder / "accepted.jsonl"
        self.profile = profile
        behaviour = Behaviour(latency=Fixed(0), pictures=pictures, faults={"image": {"blank": blank}})
        self.simulator = Simulator(find_profile(profile), behaviour=behaviour, record=self.record, seed=seed)

    def manifest(self, checks: str = REPLACE, *, prompts: int = 6, params: str = "samples: 2", extra: str = "") -> Path:
        path = self.folder / "m.yaml"
        path.write_text(
            f"profile: {self.profile}\nparams: {{{params}, width: 16, height: 16}}\nchecks: {checks}\n{extra}"
            f"prompts: {json.dumps([f'prompt {n}' for n in range(prompts)])}\n"
        )
        return path

    def run(self, manifest: Path, **settings: Any) -> RunResult:
        with background(self.simulator) as url:
            ended = batchgen.run(manifest, out=self.out, settings=Settings(base_url=url, report=False, **settings))
        assert check(self.out).flaws == ()
        return ended

    def jobs(self) -> list[dict[str, Any]]:
        """What the simulator has accepted, by its own record."""
        return [json.loads(line)["body"] for line in self.record.read_text().splitlines()]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEPIPELINE_API_KEY", "simulator")


def stored_places(result: RunResult) -> Counter[tuple[int, int]]:
    """How many stored images each sample of each row has."""
    frame = result.frame()
    stored = frame[frame.status == "stored"]
    return Counter(zip(stored.row_index.tolist(), stored.sample_index.tolist(), strict=True))


def test_each_row_has_as_many_images_as_were_wanted_although_some_were_rejected(tmp_path: Path) -> None:
    place = Place(tmp_path, blank=0.4)
    result = place.run(place.manifest("{blank: reject, on_reject: replace, replacements: 20}"))
    rejected = result.samples[Status.REJECTED]
    assert rejected > 2
    assert (result.replaced, result.unreplaced, result.exit_code) == (
        len({(row, sample) for row, sample in stored_places(result)} & replaced_places(result)),
        0,
        0,
    )
    assert stored_places(result) == Counter({(row, sample): 1 for row in range(6) for sample in range(2)})
    assert len(place.jobs()) == 6 + rejected
    assert result.account.spending.total == 12 + rejected
    assert [body["samples"] for body in place.jobs()[6:]] == [1] * rejected
    assert words.result_text(result, again=["x"]).startswith(f"12 of 12 images stored in {place.out}")
    found = status(place.out)
    assert (found.wanted, found.stored) == (12, 12)
    assert f"{rejected} rejected by a check" in words.result_text(result, again=["x"])
    assert f"{result.replaced} replaced, 0 given up" in words.result_text(result, again=["x"])


def replaced_places(result: RunResult) -> set[tuple[int, int]]:
    frame = result.frame()
    told = frame[frame.replaces.notna()]
    return set(zip(told.row_index.tolist(), told.sample_index.tolist(), strict=True))


def test_a_replacement_says_in_whose_place_it_stands_and_shares_all_but_its_key(tmp_path: Path) -> None:
    place = Place(tmp_path, blank=0.4)
    frame = place.run(place.manifest(extra="labels: {class: fox}\nsplit: {train: 0.5, test: 0.5}\n")).frame()
    told = frame[frame.replaces.notna()]
    assert len(told) > 0
    for line in told.itertuples():
        first = frame[(frame.request_key == line.replaces) & (frame.sample_index == line.sample_index)].iloc[0]
        assert first.status == "rejected"
        shared = ["prompt", "row_index", "file_prefix", "split", "class", "guidance_scale", "manifest_sha256"]
        assert [getattr(first, name) for name in shared if name != "class"] == [
            getattr(line, name) for name in shared if name != "class"
        ]
    assert set(frame["class"]) == {"fox"}
    assert frame.request_key.nunique() == 6 + len(told)


def test_what_is_always_rejected_is_given_up_after_so_many_tries_and_never_asked_for_again(tmp_path: Path) -> None:
    place = Place(tmp_path, blank=1.0)
    manifest = place.manifest("{blank: reject, on_reject: replace, replacements: 2}", prompts=2)
    for _ in range(2):
        result = place.run(manifest)
        assert (result.replaced, result.unreplaced, result.exit_code) == (0, 4, 3)
        assert len(place.jobs()) == 2 + 4 * 2
    more = place.manifest("{blank: reject, on_reject: replace, replacements: 3}", prompts=2)
    assert place.run(more).unreplaced == 4
    assert len(place.jobs()) == 2 + 4 * 3


@pytest.mark.parametrize(
    ("limit", "settings"),
    [("budget: {images: 15}\n", {}), ("", {"max_images": 15})],
    ids=["budget", "max-images"],
)
def test_replacements_stop_where_the_budget_ends_and_go_on_with_more(
    tmp_path: Path, limit: str, settings: dict[str, Any]
) -> None:
    place = Place(tmp_path, blank=1.0)
    result = place.run(place.manifest(extra=limit), **settings)
    assert sum(body["samples"] for body in place.jobs()) == 15
    assert result.exit_code == 6
    assert result.samples[Status.PENDING] == 12 - 3
    assert place.run(place.manifest()).samples[Status.PENDING] == 0
    assert sum(body["samples"] for body in place.jobs()) == 12 + 3 * 12


def test_rejected_images_of_an_earlier_run_are_replaced_once_that_is_wanted(tmp_path: Path) -> None:
    place = Place(tmp_path, blank=0.4)
    before = place.run(place.manifest("{blank: reject}"))
    assert (before.exit_code, before.unreplaced) == (3, before.samples[Status.REJECTED])
    after = place.run(place.manifest("{blank: reject, on_reject: replace, replacements: 20}"))
    assert (after.exit_code, after.replaced) == (0, before.unreplaced)
    assert len(place.jobs()) == 6 + after.samples[Status.REJECTED]


def test_an_edit_of_the_manifest_keeps_replacements_and_pays_for_none_again(tmp_path: Path) -> None:
    place = Place(tmp_path, blank=0.4)
    first = place.run(place.manifest("{blank: reject, on_reject: replace, replacements: 20}"))
    paid = len(place.jobs())
    assert not drift(place.folder / "m.yaml", out=place.out)
    second = place.run(place.manifest("{blank: reject, on_reject: replace, replacements: 20}", extra="rate: 100/s\n"))
    assert len(place.jobs()) == paid
    assert second.frame().request_key.tolist() == first.frame().request_key.tolist()
    assert second.exit_code == 0
    again = place.run(place.out / ".batchgen/plan.parquet")
    assert len(place.jobs()) == paid
    assert again.frame().equals(second.frame())


def test_a_lost_plan_is_made_anew_with_the_replacements_that_were_paid_for(tmp_path: Path) -> None:
    place = Place(tmp_path, blank=0.6)
    manifest = place.manifest("{blank: reject, on_reject: replace, replacements: 20}")
    before, plan = place.run(manifest), place.out / ".batchgen/plan.parquet"
    paid, planned = len(place.jobs()), list(PlanFile(plan))
    assert max(request.replaces.number for request in planned if request.replaces) > 1
    plan.unlink()
    after = place.run(manifest)
    assert len(place.jobs()) == paid
    assert list(PlanFile(plan)) == planned
    assert after.frame().request_key.tolist() == before.frame().request_key.tolist()
    assert after.exit_code == 0


def test_what_looks_like_an_earlier_image_is_replaced_until_no_two_look_alike(tmp_path: Path) -> None:
    place = Place(tmp_path, blank=0.3, pictures="drawn")
    manifest = place.manifest("{duplicates: reject-near, on_reject: replace, replacements: 9}", prompts=20)
    result = place.run(manifest)
    frame = result.frame()
    hashes = [int(phash, 16) for phash in frame[frame.status == "stored"].phash]
    assert result.samples[Status.REJECTED] > 0
    assert min((one ^ other).bit_count() for one, other in combinations(hashes, 2)) > NEAR
    assert len(hashes) == 40 - result.unreplaced
    paid = len(place.jobs())
    assert paid == 20 + (frame.replaces.notna().sum())
    assert place.run(manifest).frame().equals(frame)
    assert len(place.jobs()) == paid


def test_each_fanned_out_sample_with_a_seed_is_replaced_by_another_seed(tmp_path: Path) -> None:
    place = Place(tmp_path, blank=0.5, profile="image-v1")
    checks = "{blank: reject, on_reject: replace, replacements: 20}"
    result = place.run(place.manifest(checks, params="samples: 3, seed: 7"))
    assert result.samples[Status.REJECTED] > 2
    assert stored_places(result) == Counter({(row, sample): 1 for row in range(6) for sample in range(3)})
    asked = Counter((body["prompt"], body["seed"]) for body in place.jobs())
    assert set(asked.values()) == {1}


def die_everywhere(place: Place, url: str, checks: str, samples: int) -> list[Path]:
    """Batches that died at every write of their journals, rounds of replacements included."""
    manifest = place.manifest(checks, prompts=1, params=f"samples: {samples}", extra="concurrency: 2\n")
    program = [sys.executable, "-m", "tests.crash_points", str(manifest), str(place.folder), url]
    died = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert died.returncode == 0, died.stderr
    return [Path(line) for line in died.stdout.splitlines()]


@pytest.mark.parametrize(
    ("checks", "samples", "replacements"),
    [
        ("blank: reject", 1, 1),
        pytest.param("blank: reject", 2, 2, marks=pytest.mark.campaign),
        pytest.param("duplicates: reject", 2, 2, marks=pytest.mark.campaign),
    ],
)
def test_a_run_that_dies_at_any_write_between_rounds_or_in_them_pays_for_no_replacement_twice(
    tmp_path: Path, checks: str, samples: int, replacements: int
) -> None:
    place = Place(tmp_path, blank=1.0)
    written = f"{{{checks}, on_reject: replace, replacements: {replacements}}}"
    ended = {}
    with background(place.simulator) as url:
        for out in die_everywhere(place, url, written, samples):
            doubts = doubted(out)
            settings = Settings(base_url=url, batch_id=out.name, in_doubt=InDoubt.RETRY, report=False)
            ended[out] = doubts, batchgen.run(place.folder / "m.yaml", out=out, settings=settings)
    assert len(ended) >= 16
    for out, (doubts, result) in ended.items():
        assert check(out, repair=True).exit_code == 0, out
        assert result.samples[Status.PENDING] + result.samples[Status.IN_DOUBT] == 0, out
        planned = list(PlanFile(out / ".batchgen/plan.parquet"))
        kept = 0 if checks == "blank: reject" else 1  # the first of the same images stays
        assert len(planned) == 1 + replacements * (samples - kept), out
        accepted = sum(body["batch_id"] == out.name for body in place.jobs())
        assert 0 <= accepted - len(planned) <= len(doubts), out


def doubted(out: Path) -> list[str]:
    """Keys of requests that may have been accepted although the batch does not know."""
    with JournalView(out / ".batchgen/journal.sqlite") as journal:
        return list(journal.keys(frozenset({State.SUBMITTING, State.IN_DOUBT})))


SDXL, SD3 = find_profile("sdxl"), find_profile("sd3")


@given(st.integers(0, 3), st.integers(1, 5), st.integers(-1, 2**31), st.integers(0, 3))
def test_a_replacement_is_always_the_same_and_none_is_another_ones(
    sample: int, number: int, seed: int, other: int
) -> None:
    original = a_request(params={**a_request().params, "samples": 4, "seed": seed})
    made = replacement(SDXL, original, sample, number=number, position=9)
    assert made == replacement(SDXL, original, sample, number=number, position=9)
    assert (made.samples, made.sample, made.replaces) == (1, sample, Replacement(of=original.key, number=number))
    assert made.params["seed"] != seed or seed == -1
    assert made.key != original.key
    assert (replacement(SDXL, original, other, number=number, position=9).key == made.key) == (other == sample)
    assert (replacement(SDXL, original, sample, number=other, position=9).key == made.key) == (other == number)
    assert made.key == key_again(made)


def key_again(made: Request) -> str:
    """As a frozen plan that is run as a manifest comes to it."""
    return request_key(SDXL, made.prompt, made.params, made.repeat, made.sample, made.replaces)
