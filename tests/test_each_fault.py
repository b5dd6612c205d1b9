"""Each fault that the simulator knows, alone, over real HTTP: what becomes of the request that it befalls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from batchgen import Completion
from batchgen.adapters.profiles import find_profile
from batchgen.simulator import Behaviour, Fault, Faults, Fixed, Limits, Simulator, background
from batchgen.simulator.faults import LASTING, PLACES
from tests.campaigns.faults import impatient
from tests.test_run import Place

#: A share of every wait, and of the seconds that a call may take where it hangs.
PATIENCE, HANGS = 0.2, 0.1
#: Bytes; more than the image rules of `impatient` take.
OVERSIZED = 1_500_000
#: What becomes of the two samples of a request, where that is not `stored`; failed ones by kind.
FATES: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(
        (f"submit.{name}" for name in ("server_error", "bad_gateway", "unavailable", "hang", "malformed")),
        ("in_doubt", "in_doubt"),
    ),
    **dict.fromkeys(("submit.reset_before", "submit.reset_after", "submit.no_id"), ("in_doubt", "in_doubt")),
    **dict.fromkeys(("submit.refused", "job.invalid_input"), ("refused", "refused")),
    **dict.fromkeys(("submit.content_policy", "job.content_policy"), ("content_policy", "content_policy")),
    **dict.fromkeys(("job.lost", "job.stuck"), ("job_lost", "job_lost")),
    **dict.fromkeys(("job.failure_with_urls", "job.fewer_urls", "job.other_field"), ("missing", "stored")),
    **dict.fromkeys(("job.no_urls", "image.damaged", "image.oversized", "image.gone"), ("result_lost", "result_lost")),
}
#: Faults after which a request is submitted once more, for its job failed.
PAID_AGAIN = {"submit.failure_at_once", "job.failure", "job.cancelled"}


@pytest.mark.parametrize("fault", [f"{place}.{fault}" for place, faults in PLACES.items() for fault in sorted(faults)])
def test_a_run_meets_a_fault_and_does_as_the_documents_say(fault: str, tmp_path: Path) -> None:
    place, _, name = fault.partition(".")
    odds = {Fault(name): 1.0} if Fault(name) in LASTING else (Fault(name),)
    faults = Faults(**{place: odds}, hang=5.0, drip=0.1, oversized=OVERSIZED)
    behaviour = Behaviour(latency=Fixed(0), pictures="tiny", faults=faults, limits=Limits(wait=PATIENCE))
    simulator = Simulator(find_profile("simulator"), behaviour=behaviour)
    completion = Completion.WEBHOOK if place == "webhook" else Completion.POLL
    with background(simulator) as url, impatient(PATIENCE, calls=HANGS if name == Fault.HANG else 2.0):
        batch = Place(tmp_path, simulator, url)
        batch.many(1 if Fault(name) in LASTING else 2, samples=2)
        for _ in range(5):
            result = batch.run(completion=completion, concurrency=1)
            statuses = result.frame().status
            if "pending" not in set(statuses):
                break
    frame = result.frame()
    became = frame.error_class.where(frame.status == "failed", frame.status)
    assert tuple(sorted(became[:2])) == FATES.get(fault, ("stored", "stored"))
    assert set(became[2:]) <= {"stored"}
    audit = simulator.audit()
    assert fault in {*audit.faults, *(f"job.{job.fault}" for job in simulator._book.jobs())}
    assert audit.duplicates == (fault in PAID_AGAIN)
    sizes = frame[frame.status == "stored"]
    assert (sizes.width != sizes.requested_width).any() == (name == Fault.WRONG_SIZE)
    assert audit.keys_at_image_host == 0
    codes = Counter(became)
    wanted = 6 if codes["in_doubt"] else 0 if set(codes) == {"stored"} else 3
    assert result.exit_code == wanted


def test_every_fate_is_that_of_a_fault_that_there_is() -> None:
    known = {f"{place}.{fault}" for place, faults in PLACES.items() for fault in faults}
    assert set(FATES) | PAID_AGAIN <= known
