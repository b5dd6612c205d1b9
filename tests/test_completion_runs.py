"""Whole runs by each way to completion, over real HTTP: the simulator calls back, and its links come early."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import batchgen
from batchgen import Completion, Settings
from batchgen.adapters.profiles import find_profile
from batchgen.app.completion import arranged
from batchgen.app.preview import read
from batchgen.cli import cli
from batchgen.cli.running import command_line
from batchgen.simulator import Behaviour, Early, Links, Simulator, background
from tests.test_run import MANIFEST, Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    simulator = Simulator(find_profile("simulator"), latency=(0.05, 0.3))
    with background(simulator) as url:
        yield Place(tmp_path, simulator, url)


def test_a_webhook_takes_the_place_of_asking(place: Place) -> None:
    place.many(60)
    result = place.run(completion=Completion.WEBHOOK)
    audit = place.simulator.audit()
    assert result.exit_code == 0
    assert audit.accepted == 60
    assert audit.status_calls <= 1.2 * 60
    assert sum(audit.webhooks.values()) == 60


def test_no_trace_of_a_webhooks_address_is_left_in_the_folder(place: Place) -> None:
    place.run(completion=Completion.WEBHOOK)
    addresses = [str(job.webhook) for job in place.simulator._book.jobs()]
    secrets = {address.split("/")[-2] for address in addresses}
    assert len(addresses) == 3
    assert len(secrets) == 1
    left = b"".join(path.read_bytes() for path in place.out.rglob("*") if path.is_file())
    assert secrets.pop().encode() not in left


def test_early_links_make_one_question_a_job_enough(place: Place) -> None:
    place.many(60, samples=2)
    result = place.run(completion=Completion.EARLY_URLS)
    audit = place.simulator.audit()
    assert result.exit_code == 0
    assert audit.accepted == 60
    assert audit.status_calls <= 90  # one a job, and a few while it is unknown how long jobs take


@pytest.mark.parametrize("early", Early)
def test_whatever_an_early_link_gives_before_its_job_has_ended_is_not_stored(tmp_path: Path, early: Early) -> None:
    behaviour = Behaviour(links=Links(early=early))
    simulator = Simulator(find_profile("simulator"), latency=(0.05, 0.3), behaviour=behaviour)
    with background(simulator) as url:
        place = Place(tmp_path, simulator, url)
        place.many(12)
        frame = place.run(completion=Completion.EARLY_URLS).frame()
    assert set(frame.status) == {"stored"}
    assert set(frame.width) == {16}
    assert len(list((place.out / "images").iterdir())) == 12


def test_detached_a_run_submits_and_ends_and_a_later_one_collects(place: Place) -> None:
    place.many(30)
    first = place.run(completion=Completion.DETACH)
    audit = place.simulator.audit()
    assert (first.exit_code, first.under_way, audit.accepted, audit.status_calls) == (6, 30, 30, 0)
    assert first.samples[batchgen.Status.PENDING] == 30
    second = place.run()
    assert (second.exit_code, second.under_way) == (0, 0)
    assert place.simulator.audit().accepted == 30


def test_the_way_may_change_from_run_to_run_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    simulator = Simulator(find_profile("simulator"), latency=(0.05, 0.6))
    with background(simulator) as url:
        place = Place(tmp_path, simulator, url)
        place.many(40)
        for completion in (Completion.WEBHOOK, Completion.EARLY_URLS):
            place.run(completion=completion, max_images=10, grace=0.0)
        place.run(completion=Completion.DETACH, max_images=10)
        assert place.run(completion=Completion.EARLY_URLS).exit_code == 0
    assert simulator.audit().accepted == 40


def test_a_manifest_says_how_and_a_flag_says_over_it(place: Place) -> None:
    place.manifest.write_text("completion: detach\n" + MANIFEST)
    assert place.run().exit_code == 6
    assert place.run(completion=Completion.POLL).exit_code == 0


def test_a_webhook_of_the_users_own_is_sent_as_it_is_and_the_run_asks(place: Place) -> None:
    result = place.run(completion=Completion.WEBHOOK, params={"webhook": "http://127.0.0.1:9/theirs"})
    assert result.exit_code == 0
    assert {job.webhook for job in place.simulator._book.jobs()} == {"http://127.0.0.1:9/theirs"}


def test_an_api_that_cannot_call_this_machine_is_not_asked_to(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEPIPELINE_API_KEY", "k")
    settings = Settings(profile="sd3", completion=Completion.WEBHOOK)
    with pytest.raises(batchgen.UsageError, match=r"api.imagepipeline.io cannot call 127.0.0.1.*--webhook-url"):
        batchgen.run(place.manifest, out=place.out, settings=settings)
    assert not place.out.exists()


@pytest.mark.parametrize(
    "url", ["hooks.test", "ftp://hooks.test", "https://hooks.test/?a=b", "https://", "http://[bad", "http://h:99999"]
)
def test_a_public_address_that_is_none_is_refused(place: Place, url: str) -> None:
    with pytest.raises(batchgen.UsageError, match=r"--webhook-url .* cannot be used"):
        place.run(completion=Completion.WEBHOOK, webhook_url=url)


def test_the_command_detaches_says_so_and_says_how_to_collect(place: Place) -> None:
    done = subprocess.run(place.command("--completion", "detach"), capture_output=True, text=True, check=False)
    assert done.returncode == 6
    assert "3 submitted jobs left at the API; the next run collects the images, at no further cost" in done.stdout
    assert f"Next: go on with `batchgen run {place.manifest} --out {place.out} --base-url {place.url}`" in done.stdout
    told = subprocess.run(place.command("--json"), capture_output=True, text=True, check=False)
    assert (told.returncode, json.loads(told.stdout)["under_way"]) == (0, 0)


def test_the_command_listens_where_it_is_told(place: Place) -> None:
    command = place.command("--completion=webhook", "--webhook-listen", "[::1]:0", "-q")
    assert subprocess.run(command, check=False).returncode == 0
    assert all("http://[::1]:" in str(job.webhook) for job in place.simulator._book.jobs())


@pytest.mark.parametrize("address", ["8080", "host", "host:", "a b:1", "host:70000", "http://host:1", "::1:5"])
def test_an_address_to_listen_on_that_is_none_is_refused(address: str, place: Place) -> None:
    outcome = CliRunner().invoke(cli, ["run", str(place.manifest), "--webhook-listen", address])
    assert outcome.exit_code == 2
    assert "write HOST:PORT" in outcome.output


@pytest.mark.parametrize("typed", [["--completion", "detach"], ["--completion=detach"]])
def test_who_goes_on_after_detaching_wants_the_images(typed: list[str]) -> None:
    assert command_line(["batchgen", "run", "m.yaml", *typed, "-o", "x"]) == ["batchgen", "run", "m.yaml", "-o", "x"]
    kept = ["batchgen", "run", "m.yaml", "--completion", "webhook"]
    assert command_line(kept) == kept


@pytest.mark.parametrize("completion", [Completion.WEBHOOK, Completion.EARLY_URLS])
async def test_a_way_that_the_api_does_not_offer_is_refused(place: Place, completion: Completion) -> None:
    manifest = read(place.manifest, Settings())
    without = manifest.profile.model_copy(update={"webhook_parameter": None, "early_urls_parameter": None})
    settings = Settings(completion=completion)
    with pytest.raises(batchgen.UsageError, match=f"no parameter for completion: {completion}.*use completion: poll"):
        async with arranged(replace(manifest, profile=without), settings, base_url=place.url):
            pass
