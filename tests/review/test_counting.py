"""What an index amounts to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchgen.review.counting import Different


@given(st.lists(st.lists(st.text(max_size=2))))
def test_each_different_text_counts_once_however_often_it_is_told(told: list[list[str]]) -> None:
    different = Different()
    for texts in told:
        different.add(texts)
    assert different.count() == len({text for texts in told for text in texts})
