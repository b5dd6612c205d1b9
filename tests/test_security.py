"""What hostile servers, names and onlookers get out of a run: nothing. docs/security.md says which test is for whom."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

import batchgen
from batchgen import cli
from batchgen.adapters.http_api.addresses import AddressRule
from batchgen.adapters.http_api.client import HTTPImageAPI
from batchgen.adapters.http_api.image_hosts import ImageHosts
from batchgen.adapters.profiles import find_profile
from batchgen.app.settings import find_key
from batchgen.errors import AnswerInDoubt, TryLater, UsageError
from batchgen.model import JobId
from batchgen.simulator import Simulator, background
from batchgen.testing import tiny_png
from tests.campaigns.guards import GUARDS
from tests.factories import a_request
from tests.test_run import Place

ROOT = Path(__file__).parents[1]
SECRET = "k3y-that-nobody-may-see"


def test_the_key_is_in_no_file_no_message_and_no_process_list(tmp_path: Path) -> None:
    simulator = Simulator(find_profile("sd3"), key=SECRET, latency=(0.3, 0.4), failure_rate=0.3)
    with background(simulator) as url:
        place = Place(tmp_path, simulator, url)
        environment = os.environ | {"IMAGEPIPELINE_API_KEY": SECRET}
        command = place.command("--profile", "sd3", "-v")
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
            while not simulator.audit().accepted:
                assert run.poll() is None
            seen = Path(f"/proc/{run.pid}/cmdline").read_bytes() if Path("/proc").is_dir() else b""
            said, _ = run.communicate()
    assert run.returncode in (0, 3)
    assert SECRET.encode() not in seen + said
    written = [path for path in place.out.rglob("*") if path.is_file()]
    assert len(written) > 5
    assert all(SECRET.encode() not in path.read_bytes() for path in written)


@pytest.mark.parametrize(
    "base_url",
    ["http://api.example.com", "http://10.0.0.7:8080", "http://localhost.example.com", "HTTP://api.example.com"],
)
def test_the_key_is_not_sent_in_clear_over_a_network(base_url: str) -> None:
    with pytest.raises(UsageError, match="in clear"):
        HTTPImageAPI(find_profile("sd3"), key=SECRET, base_url=base_url)


@pytest.mark.parametrize(
    ("profile", "base_url"),
    [
        ("sd3", "https://api.example.com"),
        ("sd3", "http://localhost:8080"),
        ("sd3", "http://127.0.0.1:8080"),
        ("sd3", "http://[::1]:8080"),
        ("simulator", "http://simulator:8080"),  # its key guards nothing
    ],
)
def test_without_tls_the_key_may_be_sent_to_this_machine(profile: str, base_url: str) -> None:
    HTTPImageAPI(find_profile(profile), key=SECRET, base_url=base_url)


@pytest.fixture
def unvouched(tmp_path: Path) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate for `localhost` that nobody vouches for."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    made = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    try:
        subprocess.run([*made.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl to make a certificate with")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


@asynccontextmanager
async def impostor(context: ssl.SSLContext) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that answers everything, and what it was asked."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(str(request.rel_url))
        return web.json_response({"id": "j"})

    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield f"https://localhost:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


async def test_a_server_whose_certificate_nobody_vouches_for_is_sent_nothing(unvouched: ssl.SSLContext) -> None:
    async with (
        impostor(unvouched) as (url, asked),
        HTTPImageAPI(find_profile("sd3"), key=SECRET, base_url=url) as api,
        ImageHosts(AddressRule.beside(url)) as hosts,
    ):
        with pytest.raises(TryLater):
            await api.submit(a_request())
        with pytest.raises(TryLater):
            await api.status(JobId("j"))
        with pytest.raises(batchgen.BatchgenError):
            await hosts.download(f"{url}/image.png")
    assert asked == []


def test_nothing_in_the_code_or_its_flags_turns_the_check_of_certificates_off() -> None:
    for path in (ROOT / "batchgen").rglob("*.py"):
        assert not re.search(r"CERT_NONE|check_hostname|verify_ssl|ssl=False|_create_unverified", path.read_text()), (
            path
        )


def test_names_that_a_server_gives_lead_nowhere(tmp_path: Path) -> None:
    """Job ids, links and headers of a hostile API, from submission to index."""
    traversal = "../../../../tmp/owned\\..\\CON\x00"
    application = web.Application()

    async def submit(request: web.Request) -> web.Response:
        return web.json_response({"id": traversal, "status": "PENDING"}, status=202)

    async def other(request: web.Request) -> web.Response:
        if request.path.endswith(".png"):
            headers = {"Content-Disposition": 'attachment; filename="../../owned.png"', "Content-Type": "image/png"}
            return web.Response(body=tiny_png(16, 16), headers=headers)
        link = f"{request.scheme}://{request.host}/..%2F..%2Fowned.png"
        return web.json_response({"status": "SUCCESS", "id": traversal, "download_urls": [link]})

    application.router.add_post("/{rest:.*}", submit)
    application.router.add_get("/{rest:.*}", other)

    class Hostile(Simulator):
        def application(self) -> web.Application:
            return application

    simulator = Hostile(find_profile("simulator"))
    with background(simulator) as url:
        (tmp_path / "inner").mkdir()
        place = Place(tmp_path / "inner", simulator, url)
        place.many(2)
        frame = place.run(file_prefix="../../../escape").frame()
    assert set(frame.status) == {"stored"}
    assert all(re.fullmatch(r"images/[\w-]+-[0-9a-z]{10}-0\.png", name) for name in frame.file_name)
    outside = [path for path in tmp_path.rglob("*") if place.out not in (path, *path.parents)]
    assert sorted(path.name for path in outside) == ["animals.yaml", "inner"]


@pytest.mark.parametrize("document", ["security.md", "reliability.md"])
def test_each_test_that_the_documents_name_is_there(document: str) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / document).read_text())
    assert len(named) > 10
    for file, test in named:
        assert (ROOT / file).is_file(), file
        assert not test or re.search(rf"def {test}\b", (ROOT / file).read_text()), f"{file}::{test}"


def test_a_key_is_in_no_report_of_a_bug(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("IMAGEPIPELINE_API_KEY", SECRET)
    find_key(find_profile("sd3"))
    try:
        raise ZeroDivisionError(f"in {SECRET}")
    except ZeroDivisionError as bug:
        cli._report(bug)
    said = capsys.readouterr().err
    (name,) = re.findall(r"\S*batchgen-bug-\S*\.txt", said)
    report = Path(name)
    assert "ZeroDivisionError: in …" in said
    assert "ZeroDivisionError: in …" in report.read_text()
    assert SECRET not in said + report.read_text()
    report.unlink()


async def test_a_call_that_the_client_itself_breaks_off_shows_no_key_and_ends_as_one_without_an_answer() -> None:
    profile = find_profile("sd3")
    length = profile.key.model_copy(update={"header": "Content-Length"})  # as no profile in a file may have it
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    api = HTTPImageAPI(profile.model_copy(update={"key": length}), key=SECRET, base_url=base_url)
    async with server, api:
        with pytest.raises(AnswerInDoubt, match="not valid") as caught:
            await api.submit(a_request())
    assert SECRET not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"


def test_each_guard_that_the_campaign_takes_out_is_in_the_code() -> None:
    for guard in GUARDS:
        assert guard.line in (ROOT / "batchgen" / guard.file).read_text(), f"{guard.file}: {guard.line}"
        assert (ROOT / guard.tests.split()[0].partition("::")[0]).is_file(), guard.tests
