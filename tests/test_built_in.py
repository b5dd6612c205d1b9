"""The simulator that comes and goes with a run: the next one goes on where it was, at another address."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import batchgen
from batchgen.adapters.image_check import PillowCheck
from batchgen.adapters.journal import JournalView
from batchgen.adapters.profiles import find_profile
from batchgen.app.built_in import hosted
from batchgen.app.folder import BatchFolder
from batchgen.checks import Checks
from batchgen.errors import ResultUnavailable
from batchgen.intake import Intake, as_delivered
from batchgen.lifecycle import State
from batchgen.ports import SampleLink
from batchgen.simulator import Simulator, background
from batchgen.testing import DirectFetcher, MemoryStore
from tests.crash_points import DIED
from tests.factories import a_request

ROOT = Path(__file__).parents[1]
MANIFEST = "profile: simulator\nparams: {samples: 2, width: 16, height: 16}\nprompts: [a fox]\n"
#: Dies, as by kill -9, once the third write of the journal is on disk: the job has ended, and no image is fetched.
DIES = """\
import sys
import batchgen
from tests.crash_points import die_at
die_at(3, committed=True)
batchgen.run(sys.argv[1], out=sys.argv[2])
"""


def dead(folder: Path) -> tuple[Path, int]:
    """The folder of a run that died with its simulator when links had come, and the port that they lead to."""
    manifest, out = folder / "m.yaml", folder / "out"
    manifest.write_text(MANIFEST)
    died = subprocess.run([sys.executable, "-c", DIES, str(manifest), str(out)], cwd=ROOT, check=False)
    assert died.returncode == DIED
    with JournalView(out / ".batchgen/journal.sqlite") as journal:
        (record,) = journal.in_state(State.READY, at_most=9).values()
    (port,) = {urlsplit(url).port for url in record.urls}
    assert port is not None
    return out, port


@contextmanager
def calls_counted(port: int) -> Iterator[list[object]]:
    """Connections that are made to a port of this machine while the context lasts; each is closed at once."""
    calls: list[object] = []

    def listen(listening: socket.socket) -> None:
        while True:
            try:
                connection, caller = listening.accept()
            except OSError:  # shut down
                return
            calls.append(caller)
            connection.close()

    with closing(socket.create_server(("127.0.0.1", port))) as listening:
        thread = threading.Thread(target=listen, args=(listening,))
        thread.start()
        try:
            yield calls
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_run_after_a_kill_fetches_from_its_own_simulator_and_never_from_the_dead_ones_port(tmp_path: Path) -> None:
    out, port = dead(tmp_path)
    with calls_counted(port) as calls:
        result = batchgen.run(tmp_path / "m.yaml", out=out)
    assert (result.exit_code, result.samples[batchgen.Status.STORED], calls) == (0, 2, [])
    assert len((out / ".batchgen/simulator.jsonl").read_text().splitlines()) == 1  # nothing was asked for again


async def test_a_link_of_a_job_that_is_not_known_here_is_tried_where_it_leads_and_once_if_nobody_answers(
    tmp_path: Path,
) -> None:
    asked: list[str] = []

    async def refused(url: str) -> bytes:
        asked.append(url)
        raise ResultUnavailable("The image cannot be had: refused.")

    intake = Intake(PillowCheck(), Checks(), as_kept=as_delivered)
    link = f"http://127.0.0.1:9/images/b/f-{'0' * 32}-0.webp"
    folder = BatchFolder(tmp_path)
    with hosted(find_profile("simulator"), base_url=None, folder=folder) as host:
        images = host.fetching(DirectFetcher(refused, intake, MemoryStore()))
        with pytest.raises(ResultUnavailable, match="does not know its job") as raised:
            await images.fetch(SampleLink(request=a_request(), sample=0, url=link))
    assert (raised.value.permanent, asked) == (True, [link])


def test_links_are_found_again_wherever_they_were_given_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(MANIFEST)
    record = tmp_path / "record.jsonl"
    with background(Simulator("simulator", record=record)) as url:
        batchgen.run(tmp_path / "m.yaml", out=tmp_path / "out", settings=batchgen.Settings(base_url=url))
    job = json.loads(record.read_text())["id"]
    simulator = Simulator("simulator", record=record)
    assert simulator.link_at("http://here", f"http://there:1/images/a%2Fb/x%20-{job}-0.webp?ticket=1-2") == (
        f"http://here/images/a%2Fb/x%20-{job}-0.webp?ticket=1-2"
    )
    for other in (f"http://there/images/b/x-{'0' * 32}-0.webp", "http://there", "no link", f"http://there/{job}"):
        assert simulator.link_at("http://here", other) is None
