"""What an image process runs; started by a run, and by nobody else."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.adapters.http_api.addresses import AddressRule
from batchgen.adapters.http_api.image_hosts import LARGEST, ImageHosts
from batchgen.adapters.http_api.transport import Timeouts
from batchgen.app.event_loop import run_in_loop
from batchgen.checks import Checks

if TYPE_CHECKING:  # the run needs the setup alone, and few image processes the profile
    from batchgen.adapters.image_process.serving import Serving
    from batchgen.intake import Intake
    from batchgen.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What an image process has to know before the first link comes."""

    folder: Path  #: of the batch
    rule: AddressRule
    checks: Checks
    embeds: Profile | None  #: by which files are made to say where they come from; None: they are not
    read_again: bool = True  #: whether the run reads its images again, as for a report
    timeouts: Timeouts = field(default_factory=Timeouts)
    largest: int = LARGEST  #: bytes of an image


def main() -> None:
    """Serve the run at the other end of standard input and output; nothing else may write there."""
    # Whoever stops all processes of a service means the run: it still stores what is on its way, and ends this one.
    for number in {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}:
        signal.signal(number, signal.SIG_IGN)
    run_in_loop(_serve())


async def _serve() -> None:
    from batchgen.adapters.file_store import FileStore
    from batchgen.adapters.image_process.serving import Orders, Serving

    outcomes = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def serving(setup: object) -> Serving:
        assert isinstance(setup, Setup)
        hosts = ImageHosts(setup.rule, timeouts=setup.timeouts, largest=setup.largest)
        store = FileStore(setup.folder, read_again=setup.read_again)
        return Serving(hosts, _intake(setup), store, outcomes=outcomes)

    _, orders = await asyncio.get_running_loop().connect_read_pipe(lambda: Orders(serving), sys.stdin)
    await orders.ended
    os._exit(0)  # what is not settled by now is nobody's: it stays under its temporary name


def _intake(setup: Setup) -> Intake:
    from batchgen.adapters.image_check import PillowCheck
    from batchgen.intake import Intake, as_delivered

    check = PillowCheck(decode=setup.checks.decode)
    if setup.embeds is None:
        return Intake(check, setup.checks, as_kept=as_delivered)
    from batchgen.adapters.embedding import embedder

    return Intake(check, setup.checks, as_kept=embedder(setup.embeds))
