"""The fault run: all that can go wrong goes wrong, for each way to completion and several seeds.

    python -m tests.campaigns.faults [--requests 300] [--seeds 5] [--completion webhook]

Every fault that the simulator has is switched on, at 3 to 5 percent each; some jobs are quick and others slow; early
links show something wrong until their jobs have ended, by the seed a picture of the size asked for, one of an earlier
job, or less. A batch is run as a user would: the same
command again while the exit code says 6, and with `--in-doubt fail` (odd seeds: `retry`) once nothing but doubt is
left. The judge is what the simulator accepted, the index, and what each picture says it is. The key, which the API
repeats in its errors, and the webhook's address are looked for in all that was written and said, by the run and by
commands that look at it, in every spelling. A day's patience is made to last seconds, or a stuck job would be given
up tomorrow.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import pandas as pd
from PIL import Image

from batchgen import cli
from batchgen.adapters.http_api.client import HTTPImageAPI
from batchgen.adapters.http_api.transport import Timeouts
from batchgen.adapters.profiles import find_profile
from batchgen.app import images, running
from batchgen.app.image_worker import Setup
from batchgen.model import Completion
from batchgen.policy import backoff
from batchgen.runner import RunLimits
from batchgen.signals import EXIT_CODES
from batchgen.simulator import Audit, Behaviour, Bimodal, Early, Limits, Links, Simulator, background
from batchgen.simulator.faults import PLACES, Fault, Faults
from tests.campaigns.leaks import leaks

KEY = "sk-campaign/5ecret+key=1"
#: Runs after which a batch should have ended.
MOST_RUNS = 30
#: What may have been paid for and is held, or waits: a later run goes on with it.
_OPEN = frozenset({"pending", "in_doubt"})
#: Seconds in place of those that a run has by itself.
_PATIENCE = {
    "batchgen.runner.polls.GIVE_UP_AFTER": 12.0,
    "batchgen.runner.loop.GIVE_UP_AFTER": 12.0,
    "batchgen.runner.loop.SETTLING": 2.0,
    "batchgen.runner.polls.UNKNOWN_JOB_SECONDS": 2.0,
    "batchgen.runner.polls.UNUSABLE_SECONDS": 1.0,
    "batchgen.policy.SIGN_UNKNOWN": 3.0,
    "batchgen.policy.SIGN_AT_LEAST": 1.0,
    "batchgen.policy.SIGN_AT_MOST": 4.0,
}
#: Seconds, as those of `_PATIENCE`.
_JOB_DEADLINE = 5.0
#: What early links show until their jobs have ended, by the seed.
_EARLY = (Early.PICTURE, Early.PREVIOUS, Early.NOT_FOUND, Early.PLACEHOLDER, Early.PIXEL)
#: Bytes.
_LARGEST_IMAGE = 1_000_000
#: Times that a link is tried before fresh ones are asked for.
_LINK_TRIES = 7


@dataclass(slots=True, kw_only=True)
class Campaign:
    """One batch, run to its end, and what was found."""

    completion: Completion
    seed: int
    requests: int
    exit_codes: list[int] = field(default_factory=list)
    seconds: float = 0.0
    said: str = ""  #: everything that the command printed
    problems: list[str] = field(default_factory=list)
    images: Counter[str] = field(default_factory=Counter)  #: samples by status, failed ones by kind
    audit: Audit | None = None

    def line(self) -> str:
        """What came of it, on one line."""
        assert self.audit is not None
        seen = sorted(self.audit.seen_after.values()) or [0.0]
        return (
            f"{self.completion:<10} seed {self.seed}  {self.seconds:5.0f} s  exits {self.exit_codes}  "
            f"{dict(sorted(self.images.items()))}  {self.audit.accepted} accepted, "
            f"{self.audit.lost_answers} answers lost, {sum(self.audit.faults.values())} faults of "
            f"{len(self.audit.faults)} kinds, "
            f"{self.audit.too_early} links tried too early, "
            f"{self.audit.status_calls / max(1, self.audit.accepted):.2f} calls a job, "
            f"seen after {seen[len(seen) // 2]:.2f} s  " + ("; ".join(self.problems) or "as promised")
        )


def every_fault(seed: int) -> Faults:
    """All faults at all places, each at a share of 3 to 5 percent."""
    dice = Random(f"shares/{seed}")
    shares = {
        # No call meets two faults: where there are many, their shares are as large as leaves room for all.
        place: {fault: round(dice.uniform(0.03, min(0.05, 0.99 / len(faults))), 4) for fault in sorted(faults)}
        for place, faults in PLACES.items()
    }
    return Faults(**shares, hang=6.0, drip=0.3, oversized=2 * _LARGEST_IMAGE)


def run_campaign(
    folder: Path, *, completion: Completion, seed: int, requests: int = 300, patience: float = 0.5
) -> Campaign:
    """Run a batch to its end under every fault.

    Args:
        folder: an empty one.
        patience: a share of `_PATIENCE`, and of every time limit and pause.
    """
    campaign = Campaign(completion=completion, seed=seed, requests=requests)
    faults, limits = every_fault(seed), Limits(wait=patience)
    latency, links = Bimodal(0.1, 0.6, 0.3), Links(early=_EARLY[seed % len(_EARLY)])
    behaviour = Behaviour(latency=latency, pictures="tiny", links=links, faults=faults, limits=limits)
    simulator = Simulator(find_profile("sd3"), key=KEY, behaviour=behaviour, seed=seed)
    manifest, out = folder / "faults.yaml", folder / "out"
    prompts = [{"prompt": f"number {n}", "params": {"samples": 1 + n % 2}} for n in range(requests)]
    params = {"width": 32, "height": 24}
    manifest.write_text(json.dumps({"batch_id": "faults", "profile": "sd3", "params": params, "prompts": prompts}))
    began = time.monotonic()
    reports = folder / "tmp"  # of bugs: they are searched for secrets too
    reports.mkdir()
    with background(simulator) as url, impatient(patience), patch.object(tempfile, "tempdir", str(reports)):
        command = ["run", str(manifest), "--out", str(out), "--base-url", url, "-vv"]
        _run_to_the_end(campaign, command, out)
        campaign.audit = simulator.audit()
    campaign.seconds = time.monotonic() - began
    frame = pd.read_parquet(out / "metadata.parquet")
    campaign.images.update(frame.error_class.where(frame.status == "failed", frame.status))
    for look in ("status", "status --disputes", "check", "report"):
        _command(campaign, [*look.split(), str(out)])
    _judge_index(campaign, frame, out)
    _judge_payment(campaign, simulator, out, frame)
    _judge_secrets(campaign, simulator, folder)
    return campaign


def _run_to_the_end(campaign: Campaign, command: list[str], out: Path) -> None:
    decided: list[str] = []
    for number in range(MOST_RUNS):
        detached = campaign.completion is Completion.DETACH
        # Two runs detached; later ones collect, as the documents say.
        way = Completion.POLL if detached and number >= 2 else campaign.completion
        code = _command(campaign, [*command, "--completion", way.value, *decided])
        campaign.exit_codes.append(code)
        statuses = set(pd.read_parquet(out / "metadata.parquet").status)
        wanted = 6 if statuses & _OPEN else 3 if "failed" in statuses else 0
        if code != wanted:
            campaign.problems.append(f"run {number + 1} ended with {code}, not {wanted}")
        if code != 6:
            return
        if "pending" not in statuses:  # nothing but doubt is left
            decided = ["--in-doubt", "retry" if campaign.seed % 2 else "fail"]
    campaign.problems.append(f"has not ended after {MOST_RUNS} runs")


@contextlib.contextmanager
def _signals_as_they_were() -> Iterator[None]:
    """The program ignores signals once it has ended; what runs after it here, and all that it starts, must not."""
    before = {number: signal.getsignal(number) for number in EXIT_CODES}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _command(campaign: Campaign, arguments: list[str]) -> int:
    """The program as from a shell, exit code and all, with what it says kept."""
    said = io.StringIO()
    with (
        _signals_as_they_were(),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        patch.object(sys, "argv", ["batchgen", *arguments]),
        patch.dict("os.environ", {"IMAGEPIPELINE_API_KEY": KEY}),
    ):
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
    campaign.said += said.getvalue()
    assert isinstance(code, int)
    if code > 128:  # a signal was for the campaign
        raise SystemExit(code)
    return code


@contextlib.contextmanager
def impatient(share: float, *, calls: float | None = None) -> Iterator[None]:
    """A day in seconds.

    Args:
        share: of `_PATIENCE`, and of every pause.
        calls: a share of the seconds that a call may take; None: the same.
    """
    usual, calls = running._limits, share if calls is None else calls
    timeouts = Timeouts(connect=3 * calls, submit=3 * calls, status=2 * calls, silence=2 * calls, download=5 * calls)

    def limited(batch: Any) -> RunLimits:
        return replace(usual(batch), job_deadline=share * _JOB_DEADLINE)

    def sooner(failures: int, **settings: Any) -> float:
        return share * backoff(failures, **settings)

    with contextlib.ExitStack() as stack:
        for module in ("collecting", "loop", "pace", "polls"):
            stack.enter_context(patch(f"batchgen.runner.{module}.backoff", sooner))
        for name, seconds in _PATIENCE.items():
            stack.enter_context(patch(name, share * seconds))
        stack.enter_context(patch("batchgen.runner.collecting.LINK_TRIES", _LINK_TRIES))
        stack.enter_context(patch.object(running, "HTTPImageAPI", partial(HTTPImageAPI, timeouts=timeouts)))
        stack.enter_context(patch.object(images, "Setup", partial(Setup, timeouts=timeouts, largest=_LARGEST_IMAGE)))
        stack.enter_context(patch.object(running, "_limits", limited))
        yield


def _judge_index(campaign: Campaign, frame: pd.DataFrame, out: Path) -> None:
    """Every sample is stored, with its file, or failed with its kind."""
    wanted = sum(1 + n % 2 for n in range(campaign.requests))
    if len(frame) != wanted:
        campaign.problems.append(f"{len(frame)} rows, not {wanted}")
    if left := Counter(frame.status[~frame.status.isin(["stored", "failed"])]):
        campaign.problems.append(f"not ended: {dict(left)}")
    unnamed = int((frame.status.eq("failed") & frame.error_class.isna()).sum())
    if unnamed:
        campaign.problems.append(f"{unnamed} failed without a kind")
    whole = frame[frame.status == "stored"]
    stored = set(whole.file_name)
    for name, job_id, link in zip(whole.file_name, whole.job_id, whole.source_url, strict=True):
        with Image.open(out / name) as image:
            image.load()
            _, _, made_for = str(image.info.get("Software", "")).partition("; ")
        sample = Path(link.partition("?")[0]).stem.rpartition("-")[2]
        if made_for not in ("", f"{job_id}/{sample}"):  # a faulty picture does not say, and is one of its job
            campaign.problems.append(f"{name} is the picture of {made_for!r}, not of {job_id}/{sample}")
    if small := int((whole.width < 16).sum()):
        campaign.problems.append(f"{small} thumbnails were kept as images")
    if strays := {path.relative_to(out).as_posix() for path in (out / "images").rglob("*.*")} - stored:
        campaign.problems.append(f"{len(strays)} files that no row names, such as {min(strays)}")


def _judge_payment(campaign: Campaign, simulator: Simulator, out: Path, frame: pd.DataFrame) -> None:
    """What was accepted is submitted again only where it failed, or where it was in doubt and the user said so."""
    again: Counter[str] = Counter()
    for line in (out / ".batchgen/run.jsonl").read_text().splitlines():
        step = json.loads(line)
        again[step.get("request_key", "")] += step.get("fact") == "Resubmitted"
    prompts = dict(zip(frame.prompt, frame.request_key, strict=True))
    jobs = defaultdict(list)
    for job in simulator._book.jobs():
        jobs[str(job.body["prompt"])].append(job)
    for prompt, ones in jobs.items():
        in_vain = sum(not job.fails for job in ones[:-1])
        if in_vain > again[prompts[prompt]]:
            campaign.problems.append(f"{prompt!r} was accepted {len(ones)} times, {in_vain} of them without need")
    assert campaign.audit is not None
    if campaign.audit.keys_at_image_host:
        campaign.problems.append(f"the image host was sent the key {campaign.audit.keys_at_image_host} times")


def _judge_secrets(campaign: Campaign, simulator: Simulator, folder: Path) -> None:
    """Neither the key nor the address of a webhook is in anything that was written or said, in any spelling."""
    hooks = {job.webhook.split("/")[-2] for job in simulator._book.jobs() if job.webhook is not None}
    if bool(hooks) is not (campaign.completion is Completion.WEBHOOK):
        campaign.problems.append(f"{len(hooks)} addresses of webhooks were sent")
    campaign.problems += [f"a secret is in {place}" for place in leaks(folder, campaign.said, {KEY, *hooks})]


def main() -> int:
    """Run them all and say what came of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--completion", type=Completion, nargs="*", default=list(Completion))
    wanted = parser.parse_args()
    broken = 0
    for completion, seed in itertools.product(wanted.completion, range(wanted.seeds)):
        with tempfile.TemporaryDirectory() as folder:
            campaign = run_campaign(Path(folder), completion=completion, seed=seed, requests=wanted.requests)
        broken += bool(campaign.problems)
        print(campaign.line(), flush=True)
    kinds = len(list(Fault))
    print(f"{broken} campaigns broke a promise; {kinds} kinds of faults were on")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
