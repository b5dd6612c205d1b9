"""Who is told of a run, how often, and what they learn; and that none of it fails the run."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

import batchgen
from batchgen import Settings
from batchgen.adapters.announcing import announce
from batchgen.adapters.folder_lock import FolderLock
from batchgen.adapters.profiles import find_profile
from batchgen.app.announcing import SIGNATURE
from batchgen.cli.running import command_line
from batchgen.simulator import Simulator, background
from tests.test_interruptions import started
from tests.test_run import Place

KEY = "n0tify-key"
SECRET = "path-that-nobody-may-see"


class Listener:
    """A service that takes calls, or refuses them as it is told."""

    def __init__(self, answers: list[int] | None = None) -> None:
        self.calls: list[tuple[str, dict[str, str], bytes]] = []
        self.answers = answers or []
        listener = self

        class Answering(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                listener.calls.append((self.path, dict(self.headers), content))
                status = listener.answers.pop(0) if listener.answers else 200
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self._server.server_port}/{SECRET}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def paths(self) -> list[str]:
        return [path.replace(f"/{SECRET}", "URL") for path, _, _ in self.calls]


@pytest.fixture
def listener() -> Iterator[Listener]:
    there = Listener()
    yield there
    there.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    simulator = Simulator(find_profile("simulator"), latency=(0.02, 0.1))
    with background(simulator) as url:
        yield Place(tmp_path, simulator, url)


# One call


async def test_a_call_is_repeated_while_that_may_help_and_no_longer() -> None:
    for answers, said, calls in (
        ([500, 429, 204], None, 3),
        ([503, 503, 503], "answered 503", 3),
        ([404], "answered 404", 1),
        ([302], "answered 302", 1),
    ):
        listener = Listener(list(answers))
        try:
            trouble = await announce(URL(listener.url), b"x", {}, hurry=asyncio.Event(), waits=(0.0, 0.0))
        finally:
            await asyncio.to_thread(listener.close)
        assert (trouble, len(listener.calls)) == (said, calls)


async def test_a_host_that_is_not_there_or_never_answers_is_told_without_its_url() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        slow = await announce(
            URL(f"http://127.0.0.1:{port}/{SECRET}"), b"", {}, hurry=asyncio.Event(), waits=(), patience=0.1
        )
    gone = await announce(URL(f"http://127.0.0.1:{port}/{SECRET}"), b"", {}, hurry=asyncio.Event(), waits=(0.0,))
    assert slow == "did not answer within 0.1 s"
    assert gone is not None
    assert gone.startswith("cannot be reached (")
    assert SECRET not in slow + gone


# Whole runs


def test_a_notification_holds_the_summary_signed_and_no_prompt(
    place: Place, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHGEN_NOTIFY_KEY", KEY)
    place.run(notify=listener.url)
    ((_, headers, content),) = listener.calls
    told = json.loads(content)
    assert headers[SIGNATURE] == f"sha256={hmac.new(KEY.encode(), content, hashlib.sha256).hexdigest()}"
    assert (told["exit_code"], told["batch_id"], told["images"]["stored"]) == (0, "animals", 6)
    assert told["text"] == "animals: exit code 0, 6 of 6 images stored"
    kept = json.loads((place.out / ".batchgen/last-run.json").read_text())
    assert kept.items() >= {name: told[name] for name in told if name != "text"}.items()
    assert b"toucan" not in content.replace(b"animals", b"").lower()


def test_a_healthcheck_is_pinged_at_the_start_and_by_how_it_ended(place: Place, listener: Listener) -> None:
    place.run(healthcheck=listener.url, max_images=2)
    place.run(healthcheck=f"{listener.url}?create=1")
    assert listener.paths == ["URL/start", "URL/fail", "URL/start?create=1", "URL?create=1"]
    assert b"exit code 6, 2 of 6 images stored: --max-images" in listener.calls[1][2]


def test_a_run_that_never_begins_is_told_of_too(place: Place, listener: Listener) -> None:
    place.manifest.write_text("prompts: 5\n")
    with pytest.raises(batchgen.ManifestError):
        place.run(healthcheck=listener.url, notify=listener.url)
    assert sorted(listener.paths) == ["URL", "URL/fail", "URL/start"]
    told = next(json.loads(content) for path, _, content in listener.calls if path == f"/{SECRET}")
    assert (told["exit_code"], told["manifest"]) == (2, str(place.manifest))
    place.many(1)
    with FolderLock(place.out), pytest.raises(batchgen.FolderBusy):
        place.run(notify=listener.url)
    assert json.loads(listener.calls[-1][2])["exit_code"] == 7


def test_who_stops_a_run_waits_for_one_try_only_and_the_end_is_told(place: Place, listener: Listener) -> None:
    place.many(200)
    listener.answers = [200, 500, 500]
    flags = ("--concurrency", "4", "--grace", "1s", "--notify", listener.url, "--healthcheck", listener.url)
    with started(place, *flags, accepted=5) as run:
        run.send_signal(signal.SIGTERM)
        _, said = run.communicate()
    assert run.returncode == 143
    assert sorted(listener.paths) == ["URL", "URL/fail", "URL/start"]
    assert json.loads(next(c for path, _, c in listener.calls if path == f"/{SECRET}"))["exit_code"] == 143
    assert said.count(b"was not told of this run: it answered 500") == 2


def test_who_stops_a_run_that_has_ended_hurries_what_is_told_of_it_and_changes_no_exit_code(
    place: Place, listener: Listener
) -> None:
    listener.answers = [500] * 3
    with subprocess.Popen(place.command("--notify", listener.url), stderr=subprocess.PIPE) as run:
        while not listener.calls:
            assert run.poll() is None
            time.sleep(0.005)
        run.send_signal(signal.SIGTERM)
        _, said = run.communicate()
    assert (run.returncode, len(listener.calls)) == (0, 1)
    assert b"was not told of this run: it answered 500" in said
    assert json.loads(listener.calls[0][2])["exit_code"] == 0


def test_a_service_that_is_out_of_order_fails_no_run_and_is_said_even_by_a_quiet_one(
    place: Place, listener: Listener
) -> None:
    listener.answers = [403] * 9
    environment = os.environ | {"BATCHGEN_NOTIFY": listener.url, "BATCHGEN_HEALTHCHECK": listener.url}
    done = subprocess.run(place.command("-q"), env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert len(done.stderr.splitlines()) == 3
    assert all(line.startswith("batchgen: http://127.0.0.1/… was not told") for line in done.stderr.splitlines())
    assert SECRET not in done.stderr
    assert all(SECRET.encode() not in path.read_bytes() for path in place.out.rglob("*") if path.is_file())


def test_what_holds_a_secret_is_in_no_command_to_go_on_with() -> None:
    typed = ["batchgen", "run", "m.yaml", "--notify", f"https://h/{SECRET}", f"--healthcheck=https://h/{SECRET}", "-q"]
    assert command_line(typed) == ["batchgen", "run", "m.yaml"]
    assert SECRET not in repr(Settings(notify=SECRET, healthcheck=SECRET))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"http://hooks.example.com/{SECRET}", "in clear"),
        (f"http://10.0.0.7/{SECRET}", "in clear"),
        (f"ftp://hooks.example.com/{SECRET}", "cannot be called"),
        (f"https://user:{SECRET}@hooks.example.com/", "cannot be called"),
        (SECRET, "cannot be called"),
        (f"https://127.1/{SECRET}", "cannot be called"),
    ],
)
@pytest.mark.parametrize("flag", ["notify", "healthcheck"])
def test_a_url_that_would_give_its_secret_away_is_refused_before_anything_is_sent(
    place: Place, flag: str, url: str, said: str
) -> None:
    told: dict[str, Any] = {flag: url}
    with pytest.raises(batchgen.UsageError, match=said) as caught:
        place.run(**told)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert place.simulator.audit().accepted == 0
    assert not place.out.exists()
