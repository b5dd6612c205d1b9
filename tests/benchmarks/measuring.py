"""Measures one client at one work: wall time, CPU time and memory of its process, and what the server saw."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.works import DECODING, DOWNLOADING, Work

_ROOT = Path(__file__).parents[2]
_TICKS = os.sysconf("SC_CLK_TCK")
#: Seconds between two looks at the memory.
_LOOKED_AT = 0.1
#: The same, at files that are mapped, which takes longer.
_FILES_LOOKED_AT = 0.5
#: A mapped file, and what is told of that piece of it.
_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ +(/.*)\n((?:[A-Z].*\n)+)", flags=re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One client at one work, once."""

    work: str
    client: str
    jobs: int
    wall_s: float  #: of the whole process: its start, its plan and its index too
    cpu_s: float  #: of the same, user and system
    peak_mb: float  #: resident memory at most, of all its processes together; files that they share count once
    server_busy: float  #: CPU seconds of the server for each second of the client
    mb_s: float  #: megabytes of images a second
    calls: float  #: status calls a job
    makespan: float | None  #: of the ideal; None where it says nothing

    def row(self) -> dict[str, Any]:
        """As it goes into a file."""
        return asdict(self)


def measure(name: str, work: Work, client: str, *, place: Path) -> Measured:
    """Start a server, let the client do the work, and stop it.

    What it left is emptied, not removed: for a minute, ext4 searches long for a new file's inode among those of files
    that were removed, and the next client would pay for it.

    Args:
        place: an empty folder.

    Raises:
        RuntimeError: the client did not do it.
    """
    jobs = work.few.get(client, work.jobs)
    port = free_port()
    command = [sys.executable, "-m", "tests.benchmarks.serving", name, str(port)]
    with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        wait_for(port)
        busy, began = _cpu(server.pid), time.perf_counter()
        usage, peak = run(_command(client, work, jobs, f"http://127.0.0.1:{port}", place))
        wall, busy = time.perf_counter() - began, _cpu(server.pid) - busy
        told = json.loads(server.communicate("the end\n")[0])
    _must_be_done(client, work, jobs, told)
    for path in place.rglob("*"):
        if path.is_file():
            os.truncate(path, 0)
    return Measured(
        work=name,
        client=client,
        jobs=jobs,
        wall_s=wall,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_mb=peak,
        server_busy=busy / wall,
        mb_s=jobs * work.samples * work.image_bytes / 1e6 / wall,
        calls=told["status_calls"] / jobs,
        makespan=told["makespan"] / told["ideal"] if told["ideal"] else None,
    )


def _must_be_done(client: str, work: Work, jobs: int, told: dict[str, Any]) -> None:
    wanted = (0 if client in (*DOWNLOADING, *DECODING) else jobs, 0 if client in DECODING else jobs * work.samples)
    if (told["jobs"], told["downloads"]) != wanted:
        raise RuntimeError(f"{client} did not do its work: {told}.")


def _command(client: str, work: Work, jobs: int, url: str, folder: Path) -> list[str]:
    name, *more = client.split()
    flags, checks = [word for word in more if "=" not in word], [word.split("=") for word in more if "=" in word]
    if name != "batchgen":
        words = (url, jobs, work.concurrency, work.samples, work.side, work.grain, folder)
        return [sys.executable, "-m", f"tests.benchmarks.clients.{name}", *map(str, words)]
    params = {"negative_prompt": "", "num_inference_steps": 29, "samples": work.samples, "guidance_scale": 7}
    manifest = {
        "version": 1,
        "batch_id": "benchmark",
        "profile": "sd3",
        "params": params | {"width": work.side, "height": work.side},
        "checks": dict(checks),
        "prompts": [{"file": "prompts.txt"}],
    }
    (folder / "prompts.txt").write_text("".join(f"A red fox at dawn, number {number}\n" for number in range(jobs)))
    path = folder / "manifest.yaml"
    path.write_text(json.dumps(manifest))
    told = ["--base-url", url, "--concurrency", str(work.concurrency), "-q", *flags]
    return [sys.executable, "-m", "batchgen", "run", str(path), "-o", str(folder / "out"), *told]


def run(command: list[str], *, ends_with: int = 0) -> tuple[Any, float]:
    """The command's resource usage, that of its threads and processes included, and its memory at most, in MB.

    Raises:
        RuntimeError: it ended with another code.
    """
    environment = os.environ | {"IMAGEPIPELINE_API_KEY": "a-key"}
    child = subprocess.Popen(command, cwd=_ROOT, env=environment)
    ended, peaks = threading.Event(), [0.0]
    watcher = threading.Thread(target=_watch, args=(child.pid, ended, peaks))
    watcher.start()
    _, status, usage = os.wait4(child.pid, 0)
    ended.set()
    watcher.join()
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != ends_with:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}.")
    return usage, max(peaks)


def _watch(pid: int, ended: threading.Event, peaks: list[float]) -> None:
    files, looked = 0.0, 0.0
    while not ended.wait(_LOOKED_AT):
        family = _family(pid)
        if time.monotonic() - looked >= _FILES_LOOKED_AT:
            files, looked = _files(family), time.monotonic()
        peaks.append(files + sum(map(_own, family)))


def _family(pid: int) -> list[int]:
    """The process and those that it has started, and they."""
    try:
        children = [
            int(one) for path in Path(f"/proc/{pid}/task").glob("*/children") for one in path.read_text().split()
        ]
    except OSError:
        return []
    return [pid, *(one for child in children for one in _family(child))]


def _own(pid: int) -> float:
    """MB of memory that is no file's, or no longer, since it was written to."""
    return _kilobytes("Pss_Anon", _told(pid, "smaps_rollup")) / 1024


def _files(family: Sequence[int]) -> float:
    """MB of mapped files, each once, as much of it as the process has that has most of it.

    Who else on the machine has mapped a file, as a server in Python has many of a client's, changes nothing.
    """
    most: Counter[str] = Counter()
    for pid in family:
        mapped: Counter[str] = Counter()
        for name, told in _MAPPING.findall(_told(pid, "smaps")):
            mapped[name] += _kilobytes("Rss", told) - _kilobytes("Anonymous", told)
        most |= mapped
    return most.total() / 1024


def _told(pid: int, file: str) -> str:
    try:
        return Path(f"/proc/{pid}/{file}").read_text()
    except OSError:  # it has ended
        return ""


def _kilobytes(name: str, told: str) -> int:
    found = re.search(rf"^{name}: +(\d+) kB", told, flags=re.MULTILINE)
    return int(found[1]) if found else 0


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(port: int) -> None:
    """Until somebody listens there.

    Raises:
        RuntimeError: nobody does for half a minute.
    """
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("The server did not come up.")
