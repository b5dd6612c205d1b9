"""How a run learns that its jobs have ended: what is sent with each submission for that, and who listens."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace

from yarl import URL

from batchgen.app.settings import Settings
from batchgen.errors import UsageError
from batchgen.hosts import Reach, base_url_of, is_this_machine, reach_of
from batchgen.manifest import Manifest
from batchgen.model import Completion, ParamValue, Request
from batchgen.ports import Notices
from batchgen.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """What a run does to learn that its jobs have ended."""

    as_sent: Callable[[Request], Request]  #: the request with the parameters that it takes
    notices: Notices | None = None
    secret: str | None = None  #: must not be in any message, journal or index


@contextlib.asynccontextmanager
async def arranged(manifest: Manifest, settings: Settings, *, base_url: str | None) -> AsyncIterator[Arrangement]:
    """The way to completion that was chosen, for as long as the context lasts.

    Args:
        base_url: of the API; None: the profile's.

    Raises:
        UsageError: the API does not offer it, or cannot reach the receiver of webhooks.
    """
    profile, completion = manifest.profile, settings.completion or manifest.completion
    match completion:
        case Completion.POLL | Completion.DETACH:
            yield Arrangement(as_sent=lambda request: request)
        case Completion.EARLY_URLS:
            name = _parameter(profile, completion, profile.early_urls_parameter)
            yield Arrangement(as_sent=lambda request: _with(request, {name: True}))
        case Completion.WEBHOOK:
            name = _parameter(profile, completion, profile.webhook_parameter)
            _must_be_reached(settings, base_url or profile.base_url)
            listen, public_url = settings.webhook_listen, settings.webhook_url
            from batchgen.adapters.webhook import WebhookReceiver  # brings a server

            async with WebhookReceiver(listen=listen, public_url=public_url, parameter=name) as receiver:
                yield Arrangement(
                    as_sent=lambda request: _with(request, receiver.addressed(request)),
                    notices=receiver,
                    secret=receiver.secret,
                )


def _with(request: Request, delivery: Mapping[str, ParamValue]) -> Request:
    """The request with these parameters as well; those of the user's own go before."""
    return replace(request, params={**delivery, **request.params})


def _parameter(profile: Profile, completion: Completion, name: str | None) -> str:
    if name is None:
        raise UsageError(
            f"The profile {profile.name} has no parameter for completion: {completion}. "
            "Nothing was sent; use completion: poll."
        )
    return name


def _must_be_reached(settings: Settings, base_url: str) -> None:
    """An API elsewhere cannot call this machine by an address that means something here only."""
    if settings.webhook_url is not None:
        if not _can_be_called(settings.webhook_url):
            raise UsageError(f"--webhook-url {settings.webhook_url!r} cannot be used. Write it as https://host/path.")
        return
    try:
        api = base_url_of(base_url).raw_host or ""
    except ValueError as error:
        raise UsageError(f"The base URL {error}") from error
    host = settings.webhook_listen[0]
    if not _is_public(host) and not is_this_machine(api):
        raise UsageError(
            f"{api} cannot call {host}. Nothing was sent; say with --webhook-url where it reaches "
            "the address of --webhook-listen, by a tunnel or a proxy for instance."
        )


def _can_be_called(text: str) -> bool:
    try:
        url = URL(text)
    except ValueError:
        return False
    return bool(url.scheme in ("http", "https") and url.host and not url.query_string and not url.fragment)


def _is_public(host: str) -> bool:
    try:
        return reach_of(host) is Reach.PUBLIC
    except ValueError:
        return not is_this_machine(host)
