"""What a batch may cost, over all its runs."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchgen
from batchgen import index
from batchgen.adapters.journal import JournalView
from batchgen.adapters.profiles import find_profile
from batchgen.app import accounting
from batchgen.app.comparing import against, explain
from batchgen.app.settings import Settings
from batchgen.budget import Account, Allowance, Spending, in_words, most_images
from batchgen.cli import flags, words
from batchgen.lifecycle import (
    TABLE,
    AnswerLost,
    Event,
    GaveUp,
    ImagesKept,
    ImagesLost,
    ImagesStored,
    JobCompleted,
    JobFailed,
    Record,
    Reopened,
    Resubmitted,
    ResultLost,
    State,
    SubmitAccepted,
    SubmitRefused,
    SubmitStarted,
    advance,
)
from batchgen.model import Budget, Failure, FailureKind, JobId, RunId, Status, cost_of
from batchgen.policy import Brakes
from batchgen.simulator import Behaviour, Fault, Faults, Fixed, Simulator, background
from tests.campaigns.budget import batch
from tests.test_lifecycle import IMAGE

PRICES = st.decimals("0.0001", 10, places=4).map(float)
COSTS = st.decimals(0, 100_000, places=2).map(float)
FAILURE = Failure(kind=FailureKind.JOB_FAILED, message="no")


# The rules


@given(st.integers(0, 10**7), PRICES)
def test_a_cost_is_that_of_the_images_as_prices_are_written(images: int, price: float) -> None:
    cost = cost_of(images, price)
    assert cost == float(Fraction(repr(price)) * images)
    assert cost_of(images, None) is None


@given(COSTS, PRICES)
def test_a_budget_of_money_pays_for_its_images_and_for_no_more(cost: float, price: float) -> None:
    most = most_images(Budget(cost=cost), price)
    assert most is not None
    assert Fraction(repr(price)) * most <= Fraction(repr(cost)) < Fraction(repr(price)) * (most + 1)


@given(st.none() | st.integers(0, 10_000), st.none() | COSTS, PRICES)
def test_of_two_limits_the_one_that_comes_first_holds(images: int | None, cost: float | None, price: float) -> None:
    each = [most_images(Budget(images=images), price), most_images(Budget(cost=cost), price)]
    assert most_images(Budget(images=images, cost=cost), price) == min(
        (one for one in each if one is not None), default=None
    )


def test_images_that_cost_nothing_are_not_limited_by_money() -> None:
    assert most_images(Budget(cost=1.0), 0.0) is None
    assert Account(budget=Budget(cost=1.0), price_per_image=0.0).allowance() is None
    assert Account().allowance() is None


@pytest.mark.parametrize(
    ("budget", "price", "told"),
    [
        (Budget(images=5_000), None, "5,000 images"),
        (Budget(images=5_000, cost=40.0), 0.008, "5,000 images"),
        (Budget(images=6_000, cost=40.0), 0.008, "40.0 (5,000 images at 0.008)"),
        (Budget(cost=1_000_000.0), 0.5, "1,000,000.0 (2,000,000 images at 0.5)"),
    ],
)
def test_a_budget_is_told_by_the_limit_that_comes_first(budget: Budget, price: float | None, told: str) -> None:
    assert in_words(budget, price) == told


@pytest.mark.parametrize("text", ["images", "images=", "images=1.5", "images=-1", "cost=much", "cost=inf", "samples=4"])
def test_a_flag_that_is_no_budget_is_refused(text: str) -> None:
    assert flags.budget("images=5") == ("images", 5)
    assert flags.budget("cost=2.5") == ("cost", 2.5)
    with pytest.raises(click.BadParameter, match=r"images=5000 or cost=40|name=value"):
        flags.budget(text)


@given(
    st.integers(0, 100),
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["refused", "taken", "open"])), max_size=60),
)
def test_however_answers_come_no_more_is_asked_for_than_is_left(left: int, asked: list[tuple[int, str]]) -> None:
    brakes = Brakes(max_images=None, max_wait=1.0, allowance=Allowance(images=left, budget=Budget(images=left)))
    may_be_paid = 0
    for samples, answer in asked:
        reason = brakes.ask_for(samples)
        assert (reason is None) == (may_be_paid + samples <= left)
        if reason is not None:
            continue
        may_be_paid += 0 if answer == "refused" else samples
        if answer != "open":
            brakes.decided(samples, refused=answer == "refused")


def test_a_refusal_says_which_budget_what_is_left_and_what_to_do() -> None:
    brakes = Brakes(max_images=None, max_wait=1.0, allowance=Allowance(images=5, budget=Budget(images=20)))
    assert brakes.ask_for(3) is None
    assert brakes.ask_for(4) == (
        "the budget of 20 images has 2 left, and the next request asks for 4; raise it to go on"
    )
    assert brakes.ask_for(2) is None
    assert brakes.ask_for(1) == "the budget of 20 images is spent; raise it to go on"


# What was spent

STEPS = st.one_of(
    st.integers(1, 4).map(lambda samples: SubmitStarted(samples=samples)),
    st.sampled_from(
        (
            SubmitAccepted(job_id=JobId("j")),
            SubmitRefused(failure=FAILURE),
            SubmitRefused(failure=Failure(kind=FailureKind.BUSY, message="429")),
            AnswerLost(failure=FAILURE),
            Resubmitted(),
            JobCompleted(urls=("https://host/a",)),
            JobFailed(failure=FAILURE, again=True),
            JobFailed(failure=FAILURE, again=False),
            ImagesStored(images=(IMAGE,)),
            ImagesKept(images=(IMAGE,)),
            ResultLost(failure=FAILURE),
            ResultLost(failure=FAILURE, again=True),
            GaveUp(failure=FAILURE),
            Reopened(),
            Reopened(ask=True),
            ImagesLost(samples=(0,)),
        )
    ),
)


@given(st.lists(STEPS, max_size=60))
def test_whatever_happens_each_image_that_may_be_paid_for_is_counted_once(steps: list[Event]) -> None:
    record, may_be_paid = Record(), 0
    for step in steps:
        asks_a_job_that_is_not = isinstance(step, Reopened) and step.ask and record.job_id is None
        if (record.state, type(step)) not in TABLE or asks_a_job_that_is_not:
            continue
        record = advance(record, step, at=0.0, run_id=RunId("run"))
        may_be_paid += step.samples if isinstance(step, SubmitStarted) else 0
        may_be_paid -= record.samples if isinstance(step, SubmitRefused) else 0
        for running in (True, False):
            spending = of(record, running=running)
            assert spending.total == record.spent == may_be_paid
            assert min(spending.made, spending.under_way, spending.wasted, spending.in_doubt) >= 0


def of(record: Record, *, running: bool = False) -> Spending:
    return Spending.of(
        record.state,
        spent=record.spent,
        wasted=record.wasted,
        doubted=record.doubted,
        stored=record.stored,
        running=running,
    )


ASKED, TAKEN = SubmitStarted(samples=2), SubmitAccepted(job_id=JobId("j"))
DONE = JobCompleted(urls=("https://host/a",))


@pytest.mark.parametrize(
    ("steps", "spending"),
    [
        ([ASKED], Spending(in_doubt=2)),
        ([ASKED, TAKEN], Spending(under_way=2)),
        ([ASKED, TAKEN, DONE, ImagesKept(images=(IMAGE,))], Spending(made=1, under_way=1)),
        ([ASKED, TAKEN, DONE, ImagesStored(images=(IMAGE,))], Spending(made=1, wasted=1)),
        ([ASKED, SubmitRefused(failure=FAILURE)], Spending()),
        ([ASKED, TAKEN, JobFailed(failure=FAILURE, again=True), ASKED, TAKEN], Spending(wasted=2, under_way=2)),
        ([ASKED, AnswerLost(failure=FAILURE), Resubmitted(), ASKED, TAKEN], Spending(in_doubt=2, under_way=2)),
        ([ASKED, AnswerLost(failure=FAILURE), GaveUp(failure=FAILURE)], Spending(in_doubt=2)),
        ([ASKED, TAKEN, DONE, GaveUp(failure=FAILURE)], Spending(wasted=2)),
    ],
    ids=lambda value: " ".join(step.kind for step in value) if isinstance(value, list) else "",
)
def test_what_was_asked_for_is_made_under_way_wasted_or_in_doubt(steps: list[Event], spending: Spending) -> None:
    record = Record()
    for step in steps:
        record = advance(record, step, at=0.0, run_id=RunId("run"))
    assert of(record) == spending


def test_while_a_run_works_a_submission_without_an_answer_is_under_way() -> None:
    assert of(advance(Record(), ASKED, at=0.0, run_id=RunId("run")), running=True) == Spending(under_way=2)


# Whole runs

MANIFEST = """\
profile: simulator
batch_id: animals
params: {samples: 2, width: 16, height: 16}
price_per_image: 0.5
budget: {images: 7, cost: 100}
prompts: ["A fox {a|b|c|d|e|f}"]
"""


class Place:
    """A manifest, and a simulator to run it against."""

    def __init__(self, folder: Path, simulator: Simulator, url: str) -> None:
        self.simulator, self._url = simulator, url
        self.manifest, self.out = folder / "m.yaml", folder / "out"
        self.manifest.write_text(MANIFEST)

    def run(self, **settings: Any) -> batchgen.RunResult:
        return batchgen.run(self.manifest, out=self.out, settings=Settings(base_url=self._url, **settings))


def place(folder: Path, **faults: Any) -> Any:
    told = Behaviour(latency=Fixed(0), pictures="tiny", faults=Faults.model_validate(faults))
    simulator = Simulator(find_profile("simulator"), behaviour=told)
    return simulator, background(simulator)


def test_a_budget_holds_over_all_runs_of_a_batch_until_it_is_raised(tmp_path: Path) -> None:
    simulator, server = place(tmp_path)
    with server as url:
        there = Place(tmp_path, simulator, url)
        first = there.run(limit=2)
        assert (first.exit_code, first.account.left) == (0, 3)
        second = there.run()
        assert (second.exit_code, second.account.left, simulator.audit().accepted) == (6, 1, 3)
        assert second.stopped == "the budget of 7 images has 1 left, and the next request asks for 2; raise it to go on"
        third = there.run()
        assert (third.exit_code, simulator.audit().accepted) == (6, 3)
        fourth = there.run(budget=Budget(images=12))
        assert (fourth.exit_code, fourth.account.left, simulator.audit().accepted) == (0, 0, 6)


def test_failed_jobs_and_lost_answers_count_as_spent_and_are_told(tmp_path: Path) -> None:
    simulator, server = place(tmp_path, submit=[Fault.RESET_AFTER, None, None], job=[None, Fault.FAILURE])
    with server as url:
        there = Place(tmp_path, simulator, url)
        result = there.run(concurrency=1)
    spent = result.account.spending
    assert simulator.audit().accepted == 3
    assert (spent.total, spent.made, spent.wasted, spent.in_doubt) == (6, 2, 2, 2)
    told = words.result_text(result, again=["batchgen", "run", "m.yaml"])
    assert "spent: at most 6 images (3.00): 2 made, 2 wasted on failures, 2 in doubt" in told
    assert "budget: 7 images; left are 1 image (0.50)" in told
    assert "Next: raise the budget, which covers 1 of the 8 images still to make, and go on with `batchgen" in told
    assert words.result_json(result)["account"] == {
        "price_per_image": 0.5,
        "budget": {"images": 7, "cost": 100.0},
        "spent": {"images": 6, "cost": 3.0},
        "wasted": {"images": 2, "cost": 1.0},
        "in_doubt": {"images": 2, "cost": 1.0},
        "left": {"images": 1, "cost": 0.5},
    }
    found = batchgen.status(there.out)
    assert found.account == result.account
    facts, _ = index.read_facts(there.out / "metadata.parquet")
    assert facts.spending == {"made": 2, "under_way": 0, "wasted": 2, "in_doubt": 2}
    assert words.status_json(found)["account"] == words.result_json(result)["account"]
    assert "2 wasted on failures" in words.status_text(found)
    page = (there.out / "report.html").read_text()
    assert re.search(r"<dt>spend, at most</dt>\s*<dd>3.00</dd>", page)
    assert "Spent: at most 6 images (3.00): 2 made, 2 wasted on failures, 2 in doubt." in page
    card = (there.out / "README.md").read_text()
    assert (
        "The images cost 1.00 at 0.5 each. With all that failed, the batch asked for at most 6 images (3.00): " in card
    )
    many = replace(found, requests={**found.requests, State.IN_DOUBT: 21})
    assert len(found.doubts) == 1
    assert "… and 20 more" in words.status_text(many)


def test_a_refused_submission_takes_nothing_from_the_budget(tmp_path: Path) -> None:
    simulator, server = place(tmp_path, submit=[Fault.REFUSED, Fault.REFUSED, Fault.RATE_LIMITED])
    with server as url:
        there = Place(tmp_path, simulator, url)
        result = there.run(concurrency=1, budget=Budget(images=8))
    assert (simulator.audit().accepted, result.account.left) == (4, 0)
    assert (result.exit_code, result.samples[Status.FAILED]) == (3, 4)


def test_what_the_manifest_no_longer_asks_for_is_spent_all_the_same(tmp_path: Path) -> None:
    simulator, server = place(tmp_path, job=[Fault.INVALID_INPUT] * 6)
    with server as url:
        there = Place(tmp_path, simulator, url)
        there.run(limit=3, budget=Budget(images=100))
        there.manifest.write_text(MANIFEST.replace("fox", "owl"))
        result = there.run()
    assert (simulator.audit().accepted, result.account.spending.total, result.account.left) == (3, 6, 1)


def test_a_frozen_plan_keeps_the_budget(tmp_path: Path) -> None:
    simulator, server = place(tmp_path)
    with server as url:
        there = Place(tmp_path, simulator, url)
        there.run()
        there.manifest = there.out / ".batchgen/plan.parquet"
        assert there.run().stopped is not None
        assert simulator.audit().accepted == 3


def test_a_plan_larger_than_its_budget_is_warned_of(tmp_path: Path) -> None:
    manifest = tmp_path / "m.yaml"
    manifest.write_text(MANIFEST)
    preview = batchgen.plan(manifest)
    warning = "the plan asks for 12 images, and the budget is 7 images: a run stops there."
    assert preview.warnings == (warning,)
    assert words.preview_json(preview)["warnings"] == [warning]
    assert words.preview_json(preview)["budget"] == {"images": 7, "cost": 100.0}
    assert "budget      7 images" in words.preview_text(preview)
    assert batchgen.plan(manifest, settings=Settings(budget=Budget(images=12))).warnings == ()
    tight = batchgen.plan(manifest, settings=Settings(budget=Budget(images=12, cost=5.5)))
    assert tight.warnings == (
        "the plan asks for 12 images, and the budget is 5.5 (11 images at 0.5): a run stops there.",
    )


def test_a_budget_that_stops_a_retry_stops_the_run(tmp_path: Path) -> None:
    simulator, server = place(tmp_path, job=[Fault.INVALID_INPUT] * 6)
    with server as url:
        there = Place(tmp_path, simulator, url)
        first = there.run(budget=Budget(images=12))
        assert (first.exit_code, first.cut_short) == (3, False)
        retry = frozenset(FailureKind)
        second = there.run(budget=Budget(images=16), retry=retry)
        assert (second.exit_code, second.cut_short, simulator.audit().accepted) == (6, True, 8)
        told = words.result_text(second, again=["batchgen", "run", "m.yaml", "--budget", "images=16", "-q"])
        assert "stopped: the budget of 16 images is spent" in told
        assert "Next: raise the budget, which covers 0 of the 8 images still to make, and `batchgen run m.yaml" in told
        assert "`batchgen run m.yaml --budget … -q --retry failed`" in told
        # What a cap on the run alone keeps from being tried again stays failed: no later run pays for it unasked.
        third = there.run(budget=Budget(images=100), retry=retry, max_images=2)
        assert (third.exit_code, simulator.audit().accepted) == (6, 9)
        fourth = there.run(budget=Budget(images=100))
        assert (fourth.exit_code, fourth.cut_short, simulator.audit().accepted) == (3, False, 9)
        last = there.run(budget=Budget(images=100), retry=retry)
        assert (last.exit_code, last.cut_short, simulator.audit().accepted) == (0, False, 12)


def test_what_a_batch_has_spent_already_is_taken_off_its_budget_by_whoever_looks_ahead(tmp_path: Path) -> None:
    simulator, server = place(tmp_path)
    with server as url:
        there = Place(tmp_path, simulator, url)
        there.run(limit=2)
    preview = batchgen.plan(there.manifest, out=there.out)
    warning = "a run would ask for 8 images more, and the budget of 7 images has 3 left: it stops there."
    assert preview.warnings == (warning,)
    assert "budget      7 images, 3 left" in words.preview_text(preview)
    explained, compared = explain(there.manifest, out=there.out), against(there.manifest, there.out)
    for text in (words.explanation_text(explained), words.comparison_text(compared)):
        assert warning in " ".join(text.split())
    for told in (words.explanation_json(explained), words.comparison_json(compared)):
        assert told["account"]["left"] == {"images": 3, "cost": 1.5}
    enough = Settings(budget=Budget(images=12))
    assert batchgen.plan(there.manifest, out=there.out, settings=enough).warnings == ()
    assert "warning" not in words.comparison_text(against(there.manifest, there.out, settings=enough))
    spent = Settings(budget=Budget(images=4))
    told_spent = "a run would ask for 8 images more, and the budget of 4 images is spent: it stops there."
    assert batchgen.plan(there.manifest, out=there.out, settings=spent).warnings == (told_spent,)


def test_a_budget_of_money_without_a_price_is_refused(tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("prompt\nA fox\n")
    with pytest.raises(batchgen.ManifestError, match="override: budget: a cost needs the price of an image"):
        batchgen.plan(manifest, settings=Settings(budget=Budget(cost=1.0)))


def test_whatever_goes_wrong_not_one_image_is_paid_for_beyond_the_budget(tmp_path: Path) -> None:
    passes = list(batch(tmp_path, 6))
    assert [one.line() for one in passes if one.problems] == []
    assert any(one.left < 4 for one in passes)
    with JournalView(tmp_path / "out/.batchgen/journal.sqlite") as journal:
        assert accounting.spending(journal.tallies()).total == passes[-1].counted
