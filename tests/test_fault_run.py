"""Runs under every fault that the simulator has: short ones always, long ones as a campaign."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen import Completion
from tests.campaigns.faults import run_campaign


@pytest.mark.parametrize("completion", Completion)
def test_whatever_goes_wrong_a_batch_ends_pays_once_and_tells_no_secret(completion: Completion, tmp_path: Path) -> None:
    campaign = run_campaign(tmp_path, completion=completion, seed=7, requests=16, patience=0.2)
    assert campaign.problems == [], campaign.line()
    assert campaign.audit is not None
    assert len(campaign.audit.faults) >= 15


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("completion", Completion)
def test_whatever_goes_wrong_a_long_batch_does_so_too(completion: Completion, seed: int, tmp_path: Path) -> None:
    campaign = run_campaign(tmp_path, completion=completion, seed=seed)
    assert campaign.problems == [], campaign.line()
