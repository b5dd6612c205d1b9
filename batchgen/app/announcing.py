"""Telling others of a run: a notification at its end, and a healthcheck at its beginning and its end.

Nothing here fails a run. The URLs may hold secrets: messages name their hosts alone, and no file holds them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yarl import URL

from batchgen.adapters.announcing import announce
from batchgen.app.ending import Ending, exit_code_of
from batchgen.app.settings import Settings, find_notify_key, keep_secret
from batchgen.app.switch import StopSwitch
from batchgen.errors import UsageError
from batchgen.hosts import base_url_of, is_this_machine
from batchgen.ports import Observer

SIGNATURE = "X-Batchgen-Signature"
#: Of an ending, what goes to strangers: no prompt does.
_KEPT_BACK = frozenset({"in_doubt"})


@dataclass(slots=True, kw_only=True)
class Announced:
    """A run that others are told of."""

    ending: Ending | None = None  #: how it goes; None as long as it has no folder


@contextlib.asynccontextmanager
async def announced(
    settings: Settings, manifest: Path | str, switch: StopSwitch, observer: Observer
) -> AsyncIterator[Announced]:
    """Within, the run goes on; its beginning and its end are told to whom the settings name.

    Raises:
        UsageError: a URL cannot be called, or would be in clear over a network; or the key cannot be read.
    """
    calls = _Calls(settings, observer, hurry=switch.pulled)
    run = Announced()
    begun = asyncio.create_task(calls.begun())
    try:
        yield run
    except BaseException as error:
        early = {"exit_code": exit_code_of(error, stopped_with=switch.settle()), "reason": str(error)}
        await calls.ended(begun, _summary(run, manifest, early))
        raise
    await calls.ended(begun, _summary(run, manifest, {}))


def _summary(run: Announced, manifest: Path | str, early: Mapping[str, Any]) -> dict[str, Any]:
    if run.ending is None or run.ending.ended_at is None:
        return {"manifest": str(manifest), **early}
    return {name: value for name, value in run.ending.as_json().items() if name not in _KEPT_BACK}


class _Calls:
    def __init__(self, settings: Settings, observer: Observer, *, hurry: asyncio.Event) -> None:
        self._notify = _checked(settings.notify, "--notify")
        self._healthcheck = _checked(settings.healthcheck, "--healthcheck")
        self._key = find_notify_key() if self._notify is not None else None
        self._observer = observer
        self._hurry = hurry  # set: somebody waits for the run to end, and nothing is tried twice

    async def begun(self) -> None:
        if self._healthcheck is not None:
            await self._call(_below(self._healthcheck, "start"), b"", {})

    async def ended(self, begun: asyncio.Task[None], summary: Mapping[str, Any]) -> None:
        """Tell of the end, once the beginning was told."""
        if self._hurry.is_set():
            begun.cancel()
        await asyncio.wait((begun,))
        calls = []
        if self._healthcheck is not None:
            failed = summary["exit_code"] != 0
            url = _below(self._healthcheck, "fail") if failed else self._healthcheck
            calls.append(self._call(url, _line(summary).encode(), {"Content-Type": "text/plain; charset=utf-8"}))
        if self._notify is not None:
            content = json.dumps({"text": _line(summary), **summary}, ensure_ascii=False).encode()
            calls.append(self._call(self._notify, content, _signed(content, self._key)))
        await asyncio.gather(*calls)

    async def _call(self, url: URL, content: bytes, headers: Mapping[str, str]) -> None:
        trouble = await announce(url, content, headers, hurry=self._hurry)
        if trouble is not None:
            self._observer.untold(f"{url.scheme}://{url.host}/… was not told of this run: it {trouble}")


def _line(summary: Mapping[str, Any]) -> str:
    """The ending in a line, for people."""
    batch = summary.get("batch_id") or summary["manifest"]
    images = summary.get("images")
    counts = "" if not images else f", {images['stored']} of {summary['wanted']} images stored"
    waiting = summary.get("unfinished") or ()
    others = f"; not finished: {', '.join(waiting)}" if waiting else ""
    reason = f": {summary['reason']}" if summary["reason"] else ""
    return f"{batch}: exit code {summary['exit_code']}{counts}{others}{reason}"


def _signed(content: bytes, key: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers[SIGNATURE] = f"sha256={hmac.new(key.encode(), content, hashlib.sha256).hexdigest()}"
    return headers


def _below(url: URL, word: str) -> URL:
    return url.with_path(f"{url.raw_path.rstrip('/')}/{word}", encoded=True, keep_query=True)


def _checked(text: str | None, flag: str) -> URL | None:
    """The URL, if there is one and it may be called."""
    if text is None:
        return None
    keep_secret(text)
    try:
        url = URL(text.strip())
        host = base_url_of(str(url.origin())).raw_host or ""
        if url.user is not None or url.password is not None:
            raise ValueError("has a user or a password in it")
    except ValueError:  # its text holds the URL
        raise UsageError(f"The URL of {flag} cannot be called. Write it as https://host/path.") from None
    if url.scheme != "https" and not is_this_machine(host):
        raise UsageError(
            f"The URL of {flag} would have its secrets sent in clear, for everybody on the way to read. Nothing was "
            "sent; write https://, or have a proxy on this machine."
        )
    return url
