"""Where an image may be fetched from: which names, which addresses, and how a name is held to its address.

The links come from the API, and redirects from anybody. Neither may make this machine call on its own services, its
network's, or a cloud's metadata.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL

from batchgen.errors import ResultUnavailable
from batchgen.hosts import Reach, is_oddly_spelled, is_this_machine, reach_of


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRule:
    """Where images may be fetched from."""

    loopback: bool = False  #: whether this machine may be called: the API is here itself
    private: bool = False  #: whether private networks, and this machine, may be called
    hosts: Sequence[str] = ()  #: the only host names; `*.` stands for any below; none: all

    @classmethod
    def beside(cls, base_url: str, *, hosts: Sequence[str] = (), private: bool = False) -> Self:
        """For the images of an API there: they may lie on this machine if the API does."""
        return cls(loopback=is_this_machine(URL(base_url).host or ""), private=private, hosts=tuple(hosts))

    def check(self, url: URL, *, came_from: URL | None) -> None:
        """Whether the URL may be called, as far as it shows.

        Args:
            came_from: the URL that redirected here; nobody else may redirect to this machine.

        Raises:
            ResultUnavailable: it may not; permanent.
        """
        host = url.host or ""
        near = is_this_machine(host)
        if not host or not (url.scheme == "https" or (url.scheme == "http" and near)):
            raise _refused(f"{url.scheme}://{host}", "images are fetched over https")
        if is_oddly_spelled(host):
            raise _refused(host, "that is an address in a form which not all programs read alike")
        if self.hosts and not any(_matches(host, pattern) for pattern in self.hosts):
            raise _refused(host, f"which is none of the profile's image_hosts ({', '.join(self.hosts)})")
        if near and came_from is not None and not is_this_machine(came_from.host or "") and not self.private:
            raise _refused(host, _why(Reach.LOOPBACK))
        try:
            self.check_address(host, host)
        except ValueError:
            return  # a name; the resolver checks what it stands for

    def check_address(self, host: str, address: str) -> None:
        """Whether the address, of that host, may be called.

        Raises:
            ResultUnavailable: it may not; permanent.
            ValueError: it is no address.
        """
        reach = reach_of(address)
        if reach is Reach.PUBLIC or self.private or (reach is Reach.LOOPBACK and self.loopback):
            return
        raise _refused(host if host == address else f"{host} ({address})", _why(reach))


class GuardedResolver(AbstractResolver):
    """Resolves names to those of their addresses that the rule allows; the connection goes to no other.

    So a name that stands for one address when it is looked at, and for another when it is called, gains nothing.
    """

    def __init__(self, rule: AddressRule, resolver: AbstractResolver | None = None) -> None:
        self._rule = rule
        self._resolver = DefaultResolver() if resolver is None else resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses that may be called.

        Raises:
            OSError: there are none, and no wonder; `Forbidden` if the rule left none.
        """
        found = await self._resolver.resolve(host, port, family)
        return list(self._allowed(host, found))

    def _allowed(self, host: str, found: Iterable[ResolveResult]) -> Iterable[ResolveResult]:
        refusal, allowed = None, []
        for result in found:
            try:
                self._rule.check_address(host, result["host"])
            except ResultUnavailable as unavailable:
                refusal = unavailable
            else:
                allowed.append(result)
        if not allowed and refusal is not None:
            raise Forbidden(refusal)
        return allowed

    async def close(self) -> None:
        """Let go of the resolver."""
        await self._resolver.close()


class Forbidden(OSError):
    """A name stands for nothing but addresses that may not be called; holds the refusal."""

    def __init__(self, refusal: ResultUnavailable) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def _why(reach: Reach) -> str:
    where = "this machine" if reach is Reach.LOOPBACK else "a private network"
    return f"which is in {where}; if images lie there, run again with --allow-private-hosts --retry failed"


def _refused(host: str, why: str) -> ResultUnavailable:
    return ResultUnavailable(f"The link leads to {host}, where no image is fetched from: {why}.", permanent=True)


def _matches(host: str, pattern: str) -> bool:
    host, pattern = host.casefold().rstrip("."), pattern.casefold()
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
