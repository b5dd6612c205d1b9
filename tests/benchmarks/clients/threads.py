"""A pool of threads, each with requests, asking every second."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import requests

from tests.benchmarks.clients.asked import Asked
from tests.benchmarks.clients.sequential import fetch


def main() -> None:
    """All of it."""
    asked, own = Asked.read(), threading.local()

    def one(number: int) -> None:
        if not hasattr(own, "session"):
            own.session = requests.Session()
        fetch(asked, own.session, number)

    with ThreadPoolExecutor(asked.concurrency) as pool:
        list(pool.map(one, range(asked.jobs)))


if __name__ == "__main__":
    main()
