"""The simulated API as a web server: routes, the key, what is counted, and how it is started and stopped."""

from __future__ import annotations

import asyncio
import errno
import hmac
import io
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from aiohttp import web
from PIL import Image

from batchgen.errors import UsageError
from batchgen.model import JobId
from batchgen.profile import Profile
from batchgen.simulator import wire
from batchgen.simulator.behaviour import Behaviour
from batchgen.simulator.jobs import Audit, Fate, Job, JobBook, Stage, peak_in_flight
from batchgen.simulator.links import TICKET, LinkDesk, image_format, parse_image_name
from batchgen.simulator.painting import paint
from batchgen.simulator.webhooks import Webhooks

_PICTURES_KEPT = 32
_STOP_WITHIN = 2.0  # seconds that open requests are given to end
_SOFTWARE = 0x0131  # the EXIF tag that names the maker
_WEBHOOKS: web.AppKey[Webhooks] = web.AppKey("webhooks", Webhooks)
_POOL: web.AppKey[ThreadPoolExecutor] = web.AppKey("painters", ThreadPoolExecutor)


class Simulator:
    """The API, stood in for.

    Args:
        key: the only API key accepted; None: any key that is not empty.
        latency: seconds a job takes, drawn uniformly from this range.
        failure_rate: share of jobs that end without images, 0 to 1.
        seed: settles how long each job takes, whether it fails, and what its pictures look like.
        behaviour: all else that it is told to do.
        record: file that remembers the accepted jobs, so that they outlive a kill; None: they do not.

    Raises:
        UsageError: a latency or failure rate that cannot be.
        StorageFailed: the record cannot be read.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        key: str | None = None,
        latency: tuple[float, float] = (0.3, 1.5),
        failure_rate: float = 0.0,
        behaviour: Behaviour | None = None,
        seed: int = 0,
        record: Path | None = None,
    ) -> None:
        self._profile = profile
        self._key = key
        self._fate = Fate(latency=latency, failure_rate=failure_rate, seed=seed)
        self._behaviour = behaviour or Behaviour()
        self._desk = LinkDesk(self._behaviour.links)
        self._book = JobBook(record)
        self._picture = lru_cache(maxsize=_PICTURES_KEPT)(self._make_picture)
        self._polls: Counter[JobId] = Counter()
        self._webhooks: Counter[JobId] = Counter()
        self._refused = 0
        self._downloads = 0

    def application(self) -> web.Application:
        """A new web application that answers from this simulator's jobs."""
        application = web.Application()
        application.router.add_post(self._profile.submit_path, self._submit)
        application.router.add_get(self._profile.status_path, self._status)
        application.router.add_get("/images/{folder}/{name}", self._image, allow_head=False)
        application.router.add_get("/_audit", self._audit)
        application.router.add_get("/", self._welcome)
        application.cleanup_ctx.extend((self._painters, self._callers))
        return application

    def audit(self) -> Audit:
        """What was asked of it so far. May be called from any thread."""
        jobs = self._book.jobs()
        polls = dict(self._polls)
        return Audit(
            accepted=len(jobs),
            refused=self._refused,
            duplicates=len(jobs) - len({job.fingerprint() for job in jobs}),
            status_calls=sum(polls.values()),
            downloads=self._downloads,
            peak_in_flight=peak_in_flight(jobs),
            polls=polls,
            webhooks=dict(self._webhooks),
        )

    async def _painters(self, application: web.Application) -> AsyncIterator[None]:
        with ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="painter") as pool:
            application[_POOL] = pool
            yield

    async def _callers(self, application: web.Application) -> AsyncIterator[None]:
        async with Webhooks(self._webhooks) as webhooks:
            application[_WEBHOOKS] = webhooks
            yield

    async def _submit(self, request: web.Request) -> web.Response:
        try:
            self._check_key(request)
            body = wire.parse_body(await request.read(), self._profile)
        except web.HTTPClientError:
            self._refused += 1
            raise
        job = self._fate.job(len(self._book), body, at=time.time())
        self._book.add(job)
        self._expect_end(job, request)
        return web.json_response(wire.accepted(job, self._profile, links=self._links(job, request)), status=202)

    def _expect_end(self, job: Job, request: web.Request) -> None:
        url = wire.webhook_url(job)
        if url is not None:
            request.app[_WEBHOOKS].expect(
                job, url, lambda: wire.callback(job, time.time(), self._profile, links=self._links(job, request))
            )

    def _links(self, job: Job, request: web.Request) -> list[str]:
        return self._desk.links(job, origin=f"{request.scheme}://{request.host}", at=time.time())

    async def _status(self, request: web.Request) -> web.Response:
        self._check_key(request)
        job = self._book.get(request.match_info["id"])
        if job is None:
            raise wire.refusal(web.HTTPNotFound, "No such job.")
        self._polls[job.id] += 1
        return web.json_response(wire.describe(job, time.time(), self._profile, links=self._links(job, request)))

    async def _image(self, request: web.Request) -> web.Response:
        if self._profile.key.header in request.headers:
            raise wire.refusal(
                web.HTTPBadRequest, f"The image host was sent {self._profile.key.header}; a key is for the API alone."
            )
        name, ticket = request.match_info["name"], request.query.get(TICKET, "")
        job, sample = self._named(name)
        if job.stage(time.time()) is not Stage.COMPLETED:
            return wire.not_yet(self._behaviour.links.early)
        if not self._desk.holds(name, ticket, job, time.time()):
            raise wire.expired(self._behaviour.links.expired)
        loop = asyncio.get_running_loop()
        picture = await loop.run_in_executor(request.app[_POOL], self._picture, job.id, sample)
        self._desk.used(name, ticket)
        self._downloads += 1
        return web.Response(body=picture, content_type=f"image/{image_format(job)}")

    def _named(self, name: str) -> tuple[Job, int]:
        named = parse_image_name(name)
        job = self._book.get(named[0]) if named else None
        if named is None or job is None or named[1] >= job.samples:
            raise wire.refusal(web.HTTPNotFound, "No such image.")
        return job, named[1]

    async def _audit(self, request: web.Request) -> web.Response:
        return web.json_response(asdict(self.audit()))

    async def _welcome(self, request: web.Request) -> web.Response:
        return web.Response(
            text=f"batchgen's simulator, answering as: {self._profile.title}.\n"
            "Pictures are drawn on this machine, not generated; nothing here costs anything.\n"
            f"POST {self._profile.submit_path}   GET {self._profile.status_path}   GET /_audit\n"
        )

    def _check_key(self, request: web.Request) -> None:
        given = request.headers.get(self._profile.key.header, "")
        right = bool(given) if self._key is None else hmac.compare_digest(_octets(given), _octets(self._key))
        if not right:
            raise wire.refusal(web.HTTPUnauthorized, f"Missing or invalid {self._profile.key.header}.")

    def _make_picture(self, job_id: JobId, sample: int) -> bytes:
        job = self._book.get(job_id)
        if job is None:
            raise KeyError(job_id)
        picture = paint(str(job.body["prompt"]), job.body, draw=job.draw + sample)
        return encode(picture, image_format(job))


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # as aiohttp decodes a header


def encode(picture: Image.Image, image_format: str) -> bytes:
    """The picture's file, png or webp, quickly made; its metadata name the simulator as the maker."""
    maker = Image.Exif()
    maker[_SOFTWARE] = "batchgen simulator: drawn, not generated"
    options = {"compress_level": 1} if image_format == "png" else {"quality": 88, "method": 0}
    file = io.BytesIO()
    picture.save(file, format=image_format, exif=maker, **options)
    return file.getvalue()


@asynccontextmanager
async def serve(simulator: Simulator, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Let the simulator answer while the context lasts; gives its base URL, without a slash at the end.

    Args:
        port: 0 takes any free one.

    Raises:
        UsageError: the port cannot be had.
    """
    runner = web.AppRunner(simulator.application(), access_log=None, shutdown_timeout=_STOP_WITHIN)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except (OSError, OverflowError) as error:
            raise _no_port(host, port, error) from error
        bound = runner.addresses[0][1]
        yield f"http://{f'[{host}]' if ':' in host else host}:{bound}"
    finally:
        await runner.cleanup()


def _no_port(host: str, port: int, error: Exception) -> UsageError:
    taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
    reason = "another program is using it" if taken else str(error)
    return UsageError(
        f"The simulator cannot listen on port {port} of {host}: {reason}. "
        "Choose another with --port, or --port 0 for any free one."
    )


@contextmanager
def background(simulator: Simulator, *, port: int = 0) -> Iterator[str]:
    """As `serve`, in a thread with an event loop of its own, which has ended when the context has.

    Raises:
        UsageError: the port cannot be had.
    """
    started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def until_stopped() -> None:
        async with serve(simulator, port=port) as base_url:
            stop = asyncio.Event()
            started.set_result((base_url, asyncio.get_running_loop(), stop))
            await stop.wait()

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="simulator") as thread:
        ended = thread.submit(lambda: asyncio.run(until_stopped()))
        either: list[Future[Any]] = [started, ended]
        wait(either, return_when=FIRST_COMPLETED)
        if ended.done():
            ended.result()  # it raises: the server cannot end by itself in any other way
        base_url, loop, stop = started.result()
        try:
            yield base_url
        finally:
            loop.call_soon_threadsafe(stop.set)
            ended.result()
