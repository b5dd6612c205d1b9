"""The simulated APIs as a web server: routes, keys, and what a call comes to."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from aiohttp import web

from batchgen.adapters.profiles import find_profile, profile_names
from batchgen.profile import Profile
from batchgen.simulator import wire
from batchgen.simulator.audit import Audit, Ledger
from batchgen.simulator.behaviour import Behaviour
from batchgen.simulator.early import not_yet
from batchgen.simulator.fate import Fate
from batchgen.simulator.faults import Fault
from batchgen.simulator.gate import Blocked, Gate
from batchgen.simulator.jobs import Job, JobBook, Stage, fingerprint
from batchgen.simulator.latency import Latency
from batchgen.simulator.links import TICKET, LinkDesk, parse_image_name
from batchgen.simulator.mishaps import ANSWER_LOST, Mishaps
from batchgen.simulator.pictures import OF_FILES, Gallery
from batchgen.simulator.spoiling import CLOSING, Spoiler, hop_of
from batchgen.simulator.webhooks import Webhooks

_WEBHOOKS: web.AppKey[Webhooks] = web.AppKey("webhooks", Webhooks)
_JOB = "job"  # where a status path has the job's id, as the router calls it
_REFUSED = range(400, 500)


class Simulator:
    """The APIs, stood in for.

    Args:
        profiles: whose endpoints it answers at, built-in ones by name; none given: those of all built-in ones. Of two
            with the same path the first counts.
        behaviour: all that it does otherwise than the plainest of APIs would.
        latency: in place of the behaviour's; two numbers are the shortest and the longest time in seconds.
        failure_rate: in place of the behaviour's share of jobs that fail, 0 to 1.
        key: the only API key accepted; None: any key that is not empty.
        seed: settles how long each job takes, what goes wrong, and what the pictures look like.
        record: file that remembers the accepted jobs, so that they outlive a kill; None: they do not.

    Raises:
        UsageError: no such profile, or a latency or failure rate that cannot be.
        StorageFailed: the record cannot be read.
    """

    def __init__(
        self,
        *profiles: Profile | str,
        behaviour: Behaviour | None = None,
        latency: Latency | tuple[float, float] | None = None,
        failure_rate: float | None = None,
        key: str | None = None,
        seed: int = 0,
        record: Path | None = None,
    ) -> None:
        self._profiles = _by_path(profiles or profile_names())
        self._behaviour = (behaviour or Behaviour()).but(latency=latency, failure_rate=failure_rate)
        self._key = key
        self._ledger = Ledger()
        self._book = JobBook(record)
        self._gallery = Gallery(self._behaviour.pictures, self._book)
        self._desk = LinkDesk(self._behaviour.links)
        self._fate = Fate(self._behaviour, seed=seed, jobs=self._book.jobs())
        self._gate = Gate(self._behaviour.limits, self._book.jobs())
        self._mishaps = Mishaps(self._behaviour.faults, seed=seed, happened=self._ledger.faults)
        self._spoiler = Spoiler(self._behaviour)

    def application(self) -> web.Application:
        """A new web application that answers from this simulator's jobs."""
        application = web.Application()
        for profile in self._profiles:
            application.router.add_post(profile.submit_path, self._counted(partial(self._submit, profile)))
            status_path = profile.status_path.replace("{id}", f"{{{_JOB}}}")
            application.router.add_get(status_path, partial(self._status, profile), allow_head=False)
        application.router.add_get("/images/{folder}/{name}", self._image, allow_head=False)
        application.router.add_get("/_audit", self._show_audit)
        application.router.add_put("/_account", self._set_account)
        application.router.add_get("/", self._welcome)
        application.cleanup_ctx.append(self._while_open)
        application.on_shutdown.append(_close)
        return application

    def audit(self) -> Audit:
        """What was asked of it so far. May be called from any thread."""
        return self._ledger.audit(self._book)

    def link_at(self, base_url: str, link: str) -> str | None:
        """The link to an image of one of its jobs, wherever it was given, as it is where this simulator answers now.

        Returns:
            None if it is none. May be called from any thread.
        """
        path = "/" + link.partition("://")[2].partition("/")[2]
        named = parse_image_name(unquote(path.partition("?")[0].rpartition("/")[2]))
        return None if named is None or self._book.get(named[0]) is None else base_url + path

    def block(self, status: Blocked | None) -> None:
        """From now on answer 401, 402 or 403; with None, answer again. 402 still lets jobs be asked about."""
        self._gate.blocked = status

    def grant(self, credit: int | None) -> None:
        """From now on that many submissions are paid for, and then 402; None: any number."""
        self._gate.credit = credit

    async def _while_open(self, application: web.Application) -> AsyncIterator[None]:
        application[CLOSING] = asyncio.Event()
        async with self._gallery.open(), Webhooks(self._ledger.webhooks) as webhooks:
            application[_WEBHOOKS] = webhooks
            yield

    def _counted(self, submit: _Answering) -> _Answering:
        async def counting(request: web.Request) -> web.StreamResponse:
            try:
                response = await submit(request)
            except web.HTTPClientError:
                self._ledger.refused += 1
                raise
            self._ledger.refused += response.status in _REFUSED
            return response

        return counting

    async def _submit(self, profile: Profile, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self._admit(profile, request, submission=True)
        sent = wire.apart(wire.parse_body(raw, profile), profile)
        now = time.time()
        limit = self._gate.refuses(now)
        if limit is not None:
            return self._spoiler.refusal(limit, at=now)
        fault, is_accepted = self._mishaps.submit(fingerprint(profile.submit_path, sent.body))
        if not is_accepted:
            return await self._spoiler.answer(request, fault, web.Response(), at=now)
        job = self._accept(profile, sent, fault, at=now)
        self._expect_end(profile, job, request)
        links, early = self._links(job, request), sent.early_links
        told = wire.accepted(job, profile, at=now, links=links, early=early, fault=fault)
        return await self._spoiler.answer(request, _on_the_way(fault), web.json_response(told, status=202), at=now)

    def _accept(self, profile: Profile, sent: wire.Submitted, fault: Fault | None, *, at: float) -> Job:
        path = profile.submit_path
        times = self._book.times(fingerprint(path, sent.body))
        job = self._fate.job(len(self._book), endpoint=path, body=sent.body, times=times, at=at, fault=fault)
        job = replace(job, webhook=sent.webhook)
        self._book.add(job)
        self._gate.passed(job)
        self._ledger.lost_answers += fault in ANSWER_LOST
        if fault in (Fault.SUCCESS_AT_ONCE, Fault.FAILURE_AT_ONCE):
            self._ledger.seen(job, at)
        else:
            self._mishaps.accepted(job)
        return job

    def _expect_end(self, profile: Profile, job: Job, request: web.Request) -> None:
        if job.webhook is not None:
            body = partial(self._callback, profile, job, request)
            request.app[_WEBHOOKS].expect(job, job.webhook, body, self._mishaps.webhook(job))

    def _callback(self, profile: Profile, job: Job, request: web.Request) -> dict[str, object]:
        return wire.callback(job, profile, at=time.time(), links=self._links(job, request))

    async def _status(self, profile: Profile, request: web.Request) -> web.StreamResponse:
        self._admit(profile, request, submission=False)
        job = self._book.get(request.match_info[_JOB])
        if job is None or job.endpoint not in ("", profile.submit_path):
            raise wire.refusal(web.HTTPNotFound, "No such job.")
        self._ledger.polls[job.id] += 1
        if job.fault is Fault.LOST:
            raise wire.refusal(web.HTTPNotFound, "No such job.")
        now = time.time()
        ended = job.stage(now) in (Stage.COMPLETED, Stage.FAILED)
        fault = self._mishaps.status(job, ended=ended)
        if fault in (None, Fault.DRIP) and ended:
            self._ledger.seen(job, now)
        told = wire.describe(job, profile, at=now, links=self._links(job, request), fault=fault)
        return await self._spoiler.answer(request, _on_the_way(fault), web.json_response(told), at=now)

    async def _image(self, request: web.Request) -> web.StreamResponse:
        self._refuse_keys(request)
        name, ticket, now = request.match_info["name"], request.query.get(TICKET, ""), time.time()
        job, sample = self._named(name)
        if not job.holds(sample, at=now):
            self._ledger.too_early += 1
            return await not_yet(self._behaviour.links.early, job, sample, self._gallery)
        if not self._desk.holds(name, ticket, job, now):
            raise wire.expired(self._behaviour.links.expired)
        fault = self._fault_of_image(request, job, sample)
        picture, kind = await self._gallery.picture(job, sample, fault if fault in OF_FILES else None)
        if fault in (None, Fault.DRIP):
            self._desk.used(name, ticket)
            self._ledger.downloads[f"{job.id}/{sample}"] += 1
            self._ledger.seen(job, now)
        return await self._spoiler.answer(request, fault, web.Response(body=picture, content_type=kind), at=now)

    def _fault_of_image(self, request: web.Request, job: Job, sample: int) -> Fault | None:
        match hop_of(request):
            case Fault.REDIRECT:
                return None
            case Fault.REDIRECT_LOOP:
                return Fault.REDIRECT_LOOP
            case _:
                return self._mishaps.image(job, sample)

    def _named(self, name: str) -> tuple[Job, int]:
        named = parse_image_name(name)
        job = self._book.get(named[0]) if named else None
        if named is None or job is None or named[1] >= job.samples:
            raise wire.refusal(web.HTTPNotFound, "No such image.")
        return job, named[1]

    def _links(self, job: Job, request: web.Request) -> list[str]:
        return self._desk.links(job, origin=f"{request.scheme}://{request.host}", at=time.time())

    def _admit(self, profile: Profile, request: web.Request, *, submission: bool) -> None:
        given = request.headers.get(profile.key.header, "")
        right = bool(given) if self._key is None else hmac.compare_digest(_octets(given), _octets(self._key))
        blocked = self._gate.blocks(submission=submission) if right else 401
        if blocked is not None:
            raise wire.blocked(blocked, profile.key.header)

    def _refuse_keys(self, request: web.Request) -> None:
        for profile in self._profiles:
            if profile.key.header in request.headers:
                self._ledger.keys_at_image_host += 1
                told = f"The image host was sent {profile.key.header}; a key is for the API alone."
                raise wire.refusal(web.HTTPBadRequest, told)

    async def _show_audit(self, request: web.Request) -> web.Response:
        return web.json_response(asdict(self.audit()))

    async def _set_account(self, request: web.Request) -> web.Response:
        account = wire.parse_account(await request.read())
        if "block" in account.model_fields_set:
            self.block(account.block)
        if "credit" in account.model_fields_set:
            self.grant(account.credit)
        return web.json_response({"block": self._gate.blocked, "credit": self._gate.credit})

    async def _welcome(self, request: web.Request) -> web.Response:
        endpoints = [
            f"  {profile.title}\n    POST {profile.submit_path}   GET {profile.status_path}\n"
            for profile in self._profiles
        ]
        return web.Response(
            text="batchgen's simulator, answering as:\n" + "".join(endpoints) + "GET /_audit   PUT /_account\n"
            "Pictures are drawn on this machine, not generated; nothing here costs anything.\n"
        )


_Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _by_path(profiles: tuple[Profile | str, ...]) -> tuple[Profile, ...]:
    found = [find_profile(profile) if isinstance(profile, str) else profile for profile in profiles]
    return tuple({profile.submit_path: profile for profile in reversed(found)}.values())[::-1]


def _on_the_way(fault: Fault | None) -> Fault | None:
    """The fault, unless the answer itself has it already."""
    return None if fault in wire.OF_ANSWERS else fault


async def _close(application: web.Application) -> None:
    application[CLOSING].set()


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # as aiohttp decodes a header
