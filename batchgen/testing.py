"""In-memory twins of the ports, for tests of what is built on them; held to the same contract tests as the real ones.

`MemoryImageAPI` makes every image at once and does as it is told otherwise; `MemoryStore` and `MemoryJournal` keep
what they are given. The image check has no twin: the real one is quick on a `tiny_png`.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from io import BytesIO
from typing import Any, Generic, Self, TypeVar
from zlib import crc32

from PIL import Image

from batchgen.adapters.file_store import checked_name
from batchgen.errors import RequestRefused, ResultUnavailable
from batchgen.intake import Intake
from batchgen.lifecycle import OPEN, Event, Record, State, advance
from batchgen.model import JobId, Request, RequestKey, RunId, StoredImage, VerifiedImage
from batchgen.ports import Accepted, Completed, Failed, ImageStore, JobStatus, SampleLink, Submission, Working

_Asked = TypeVar("_Asked")
_Given = TypeVar("_Given")
_Result = TypeVar("_Result")
#: What happens instead of the usual: a function of what is asked, which may be async; or for each prompt a list, used
#: up in order. An exception is raised, None means the usual.
Script = (
    Callable[[_Asked], _Given | BaseException | Awaitable[_Given | BaseException | None] | None]
    | Mapping[str, Sequence[_Given | BaseException | None]]
)


def tiny_png(width: int = 8, height: int = 8, colour: tuple[int, int, int] = (200, 80, 40)) -> bytes:
    """A valid PNG of one colour.

    Args:
        width, height: pixels.
        colour: red, green and blue, each from 0 to 255.
    """
    buffer = BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


class MemoryImageAPI:
    """An image API that draws squares, each sample in a colour of its own.

    Args:
        polls: how often a job is found working before it is found completed.
        size: width and height of its images, in pixels.
        submit, status, download: scripts; the functions are given the request, the job's id, the link.
    """

    def __init__(
        self,
        *,
        polls: int = 1,
        size: tuple[int, int] = (8, 8),
        submit: Script[Request, Submission] | None = None,
        status: Script[JobId, JobStatus] | None = None,
        download: Script[str, bytes] | None = None,
    ) -> None:
        self.submitted: list[Request] = []  #: every POST, in order
        self.polled: list[JobId] = []  #: every status call
        self.downloaded: list[str] = []  #: every download
        self.jobs: dict[JobId, Request] = {}  #: what was accepted: it is paid for
        self.most_open = 0  #: jobs accepted and not seen ended, at their most
        self._open: set[JobId] = set()
        self._polls_left: dict[JobId, int] = {}
        self._polls, self._size = polls, size
        self._links: dict[str, JobId] = {}
        self._submit: _Cue[Request, Submission] = _Cue(submit)
        self._status: _Cue[JobId, JobStatus] = _Cue(status)
        self._download: _Cue[str, bytes] = _Cue(download)

    async def submit(self, request: Request) -> Submission:
        """Accept, or do as the script says; see `ports.ImageAPI`."""
        self.submitted.append(request)
        told = await self._submit.next(request, request.prompt)
        usual = Accepted(job_id=JobId(f"job-{len(self.jobs) + 1}"))
        answer: Submission = usual if told is None else told
        if isinstance(answer, Accepted):
            self._open_job(answer.job_id, request)
        return answer

    async def status(self, job_id: JobId) -> JobStatus:
        """Working for as often as was said, then completed; see `ports.ImageAPI`."""
        self.polled.append(job_id)
        request = self.jobs.get(job_id)
        told = await self._status.next(job_id, request.prompt if request else None)
        answer: JobStatus = self._usual_status(job_id) if told is None else told
        if not isinstance(answer, Working):
            self._open.discard(job_id)
        return answer

    async def download(self, url: str) -> bytes:
        """The picture behind a link that `links` gave; see `ports.ImageAPI`."""
        self.downloaded.append(url)
        job_id = self._links.get(url)
        told = await self._download.next(url, self.jobs[job_id].prompt if job_id else None)
        if told is not None:
            return told
        if job_id is None:
            raise ResultUnavailable(f"There is nothing at {url}.", http_status=404)
        hue = crc32(url.encode())
        return tiny_png(*self._size, colour=(hue & 255, hue >> 8 & 255, hue >> 16 & 255))

    def links(self, job_id: JobId) -> tuple[str, ...]:
        """The links of the job's images, one for each sample."""
        urls = tuple(f"https://images.test/{job_id}/{sample}" for sample in range(self.jobs[job_id].samples))
        self._links.update(dict.fromkeys(urls, job_id))
        return urls

    def _open_job(self, job_id: JobId, request: Request) -> None:
        self.jobs[job_id] = request
        self._polls_left[job_id] = self._polls
        self._open.add(job_id)
        self.most_open = max(self.most_open, len(self._open))

    def _usual_status(self, job_id: JobId) -> Working | Completed | Failed:
        if job_id not in self.jobs:
            raise RequestRefused(f"There is no job {job_id}.", http_status=404)
        if self._polls_left[job_id] > 0:
            self._polls_left[job_id] -= 1
            return Working(state="pending")
        return Completed(urls=self.links(job_id))


class MemoryNotices:
    """Passes on the words that `tell` is given; see `ports.Notices`.

    Args:
        deaf_to: keys of requests whose jobs tell somebody else.
    """

    def __init__(self, *, deaf_to: Collection[RequestKey] = ()) -> None:
        self._deaf_to = frozenset(deaf_to)
        self._waiting: dict[RequestKey, None] = {}
        self._told = asyncio.Event()

    def tell(self, key: RequestKey) -> None:
        """The job of that request may have ended."""
        self._waiting[key] = None
        self._told.set()

    def expected(self, request: Request) -> bool:
        """Whether word of the request's job can come here."""
        return request.key not in self._deaf_to

    async def next(self) -> RequestKey:
        """Wait for word of a job."""
        while not self._waiting:
            self._told.clear()
            await self._told.wait()
        return self._waiting.popitem()[0]


class MemoryStore:
    """Keeps images in a dictionary; see `ports.ImageStore`."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def keep(self, file_stem: str, image: VerifiedImage, content: bytes) -> str:
        """Keep the image under the name that it would have on disk."""
        name = checked_name(file_stem, image.format)
        self.files[name] = content
        return name


class DirectFetcher:
    """Fetches in the loop itself, and keeps in a store; see `ports.ImageFetcher`.

    Args:
        download: gives the bytes behind a link.
    """

    def __init__(self, download: Callable[[str], Awaitable[bytes]], intake: Intake, store: ImageStore) -> None:
        self._download, self._intake, self._store = download, intake, store

    async def look(self, url: str) -> VerifiedImage:
        """What the bytes behind the link are found to be."""
        return self._intake.look(await self._download(url))

    async def fetch(self, link: SampleLink) -> StoredImage:
        """Download the image, verify, judge and keep it."""
        prepared = self._intake.prepare(link, await self._download(link.url))
        return prepared.stored(self._store.keep(prepared.file_stem, prepared.image, prepared.content))


class MemoryJournal:
    """Keeps records in a dictionary; see `ports.Journal`.

    Args:
        run_id: the run that records.
        clock: seconds since the epoch, UTC.
    """

    def __init__(self, *, run_id: RunId, clock: Callable[[], float]) -> None:
        self.events: list[tuple[RequestKey, Event]] = []  #: all that were recorded, in order
        self._records: dict[RequestKey, Record] = {}
        self._run_id = run_id
        self._clock = clock

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def record(self, key: RequestKey, event: Event) -> Record:
        """Add the event."""
        before = self._records.get(key, Record())
        after = advance(before, event, at=self._clock(), run_id=self._run_id)
        self._records[key] = after
        self.events.append((key, event))
        return after

    def records(self, keys: Sequence[RequestKey]) -> Mapping[RequestKey, Record]:
        """The records of those keys that have any events."""
        return {key: self._records[key] for key in keys if key in self._records}

    def states(self, keys: Sequence[RequestKey]) -> Mapping[RequestKey, State]:
        """The states of those keys that have any events."""
        return {key: self._records[key].state for key in keys if key in self._records}

    def unfinished(self) -> Sequence[RequestKey]:
        """The keys of requests at which the API may hold something paid for."""
        return [key for key, record in self._records.items() if record.state in OPEN]


class _Cue(Generic[_Asked, _Given]):
    """A script and how far it has got."""

    def __init__(self, script: Script[_Asked, _Given] | None) -> None:
        self._function = script if callable(script) else None
        lists = {} if script is None or callable(script) else script
        self._lists = {prompt: iter(outcomes) for prompt, outcomes in lists.items()}

    async def next(self, asked: _Asked, prompt: str | None) -> _Given | None:
        """What the script says now; None: the usual.

        Raises:
            BaseException: the script says so.
        """
        outcome = await self._outcome(asked, prompt)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def _outcome(self, asked: _Asked, prompt: str | None) -> _Given | BaseException | None:
        if self._function is None:
            return next(self._lists.get(prompt or "", iter(())), None)
        outcome = self._function(asked)
        return await outcome if isinstance(outcome, Awaitable) else outcome


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer as soon as there is nothing to do: an hour takes no time.

    Real sockets and threads keep working; while a thread is busy, time stands still.
    """

    def __init__(self) -> None:
        self._virtual_now = 0.0
        self._busy_threads = 0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual_now

    def run_in_executor(  # type: ignore[override]  # the library's own signature cannot be written here
        self, executor: Executor | None, func: Callable[..., _Result], *args: Any
    ) -> asyncio.Future[_Result]:
        """As in any loop, and time stands still until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._busy_threads += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: object) -> None:
        self._busy_threads -= 1

    def pass_time(self, seconds: float) -> bool:
        """Let virtual time pass, unless a thread is busy; used by the selector."""
        if self._busy_threads:
            return False
        self._virtual_now += seconds
        return True


#: Seconds that a turn of the loop takes: without them, a timer set to what rounding leaves of a wait is set for ever.
_TURN = 1e-9


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing but busy threads: where an idle loop would sleep, its time jumps instead."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now; only without a timer to jump to is there any waiting."""
        ready = super().select(0)
        if ready or timeout == 0:
            self._loop.pass_time(_TURN)
            return ready
        if timeout is None:
            return super().select(None)
        return [] if self._loop.pass_time(timeout) else super().select(0.05)


class VirtualClock:
    """A clock on the time of a `VirtualTimeLoop`; see `ports.Clock`.

    Args:
        start: what `now` says when the loop is made, seconds since the epoch.
    """

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._start = start

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._start + self.monotonic()

    def monotonic(self) -> float:
        """Seconds of the running loop."""
        return asyncio.get_running_loop().time()

    def step(self, seconds: float) -> None:
        """Set the wall clock: what `now` says is so much later from here on, and no time has passed."""
        self._start += seconds

    async def sleep(self, seconds: float) -> None:
        """Wait, for no real time at all."""
        await asyncio.sleep(seconds)
