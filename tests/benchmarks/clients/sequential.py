"""One job after the other with requests, asked about every second: how such scripts begin."""

from __future__ import annotations

import time

import requests

from tests.benchmarks.clients.asked import KEY, POLL_EVERY, Asked


def fetch(asked: Asked, session: requests.Session, number: int) -> None:
    """Submit, wait, download."""
    job = session.post(f"{asked.url}/sd3/v1", json=asked.body(number), headers=KEY).json()
    while True:
        told = session.get(f"{asked.url}/sd3/v1/status/{job['id']}", headers=KEY).json()
        if told["status"] == "SUCCESS":
            break
        time.sleep(POLL_EVERY)
    for sample, url in enumerate(told["download_urls"]):
        asked.path(number, sample).write_bytes(session.get(url).content)


def main() -> None:
    """All of it."""
    asked = Asked.read()
    with requests.Session() as session:
        for number in range(asked.jobs):
            fetch(asked, session, number)


if __name__ == "__main__":
    main()
