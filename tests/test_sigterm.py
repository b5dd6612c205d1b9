"""SIGTERM at a few random moments; `python -m tests.campaigns.sigterm` takes fifty."""

from __future__ import annotations

from pathlib import Path

from tests.campaigns.sigterm import campaign


def test_runs_that_are_told_to_stop_end_in_time_with_143_and_the_next_loses_nothing(tmp_path: Path) -> None:
    *_, tally = campaign(runs=4, seed=11, folder=tmp_path)
    assert tally.kills >= 4
    assert (tally.lost, tally.repeated, tally.answered, tally.wrong) == ([], [], [], [])
    assert tally.by_itself + tally.by_system == tally.kills
