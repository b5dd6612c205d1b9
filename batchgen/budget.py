"""What a batch may cost, and what it has cost: counted in images, at one price. Pure.

Every submission counts that was accepted, or may have been: whether the API charges for jobs that fail, or for those
whose answer was lost, is documented nowhere, so a budget takes them for paid.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from batchgen.lifecycle import State
from batchgen.model import NO_BUDGET, Budget, cost_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What became of the images that a batch's submissions asked for. Each is counted once."""

    made: int = 0  #: safe on disk, rejected ones too
    under_way: int = 0  #: of jobs at the API
    wasted: int = 0  #: of jobs that failed, were lost, or made fewer
    in_doubt: int = 0  #: of submissions whose answer was lost, also where they were then repeated or given up

    @property
    def total(self) -> int:
        """Images that may have been paid for."""
        return self.made + self.under_way + self.wasted + self.in_doubt

    @property
    def shares(self) -> str:
        """What became of them: `132 made, 40 wasted on failures`; empty if nothing was asked for."""
        fates = {
            "made": self.made,
            "under way": self.under_way,
            "wasted on failures": self.wasted,
            "in doubt": self.in_doubt,
        }
        return ", ".join(f"{images:,} {fate}" for fate, images in fates.items() if images)

    @classmethod
    def of(cls, state: State, *, spent: int, wasted: int, doubted: int, stored: int, running: bool) -> Spending:
        """Of requests in one state, by what their records add up to.

        Args:
            stored: images that are safe on disk; others of the same jobs may still be at the API.
            running: whether a run is working on them, so that answers may still come.
        """
        rest = spent - wasted - doubted
        match state:
            case State.SUBMITTING if not running:
                return cls(wasted=wasted, in_doubt=doubted + rest)
            case State.SUBMITTING | State.SUBMITTED | State.READY:
                return cls(wasted=wasted, in_doubt=doubted, made=min(stored, rest), under_way=max(0, rest - stored))
            case _:
                return cls(wasted=wasted, in_doubt=doubted, made=rest)

    @classmethod
    def sum(cls, parts: Iterable[Spending]) -> Spending:
        """All of them together."""
        total = cls()
        for part in parts:
            total = cls(
                made=total.made + part.made,
                under_way=total.under_way + part.under_way,
                wasted=total.wasted + part.wasted,
                in_doubt=total.in_doubt + part.in_doubt,
            )
        return total


NOTHING_SPENT = Spending()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A batch's budget, and what is spent of it."""

    budget: Budget = NO_BUDGET
    price_per_image: float | None = None  #: in the account's currency, for all runs; None if nobody said
    spending: Spending = NOTHING_SPENT

    @property
    def left(self) -> int | None:
        """Images that may still be asked for, at least 0; None for any number."""
        cap = most_images(self.budget, self.price_per_image)
        return None if cap is None else max(0, cap - self.spending.total)

    def cost(self, images: int) -> float | None:
        """Of so many images, in the account's currency; None if unknown."""
        return cost_of(images, self.price_per_image)

    def amount(self, images: int) -> str:
        """So many images, with what they cost if that is known: `172 images (1.72)`."""
        cost = self.cost(images)
        return f"{images:,} image{'' if images == 1 else 's'}" + ("" if cost is None else f" ({cost:,.2f})")

    @property
    def spent_in_words(self) -> str:
        """For people: `at most 172 images (1.72): 132 made, 40 wasted on failures`."""
        shares = self.spending.shares
        return f"at most {self.amount(self.spending.total)}" + (f": {shares}" if shares else "")

    def shortfall(self, images: int) -> str | None:
        """What to warn of before a run that would ask for so many images; None if the budget covers them."""
        if self.left is None or images <= self.left:
            return None
        budget = in_words(self.budget, self.price_per_image)
        if not self.spending.total:
            return f"the plan asks for {images:,} images, and the budget is {budget}: a run stops there."
        left = "is spent" if self.left == 0 else f"has {self.left:,} left"
        return f"a run would ask for {images:,} images more, and the budget of {budget} {left}: it stops there."

    def allowance(self) -> Allowance | None:
        """What the budget leaves a run; None for no limit."""
        if self.left is None:
            return None
        return Allowance(images=self.left, budget=self.budget, price_per_image=self.price_per_image)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a budget leaves a run."""

    images: int  #: that the run may ask for, repeated submissions included
    budget: Budget
    price_per_image: float | None = None  #: in the account's currency; None if nobody said

    def refusal(self, samples: int, *, left: int) -> str:
        """Why a request of so many images is not submitted, and what to do.

        Args:
            left: images that may still be asked for.
        """
        spent = "is spent" if left == 0 else f"has {left:,} left, and the next request asks for {samples:,}"
        return f"the budget of {in_words(self.budget, self.price_per_image)} {spent}; raise it to go on"


def most_images(budget: Budget, price_per_image: float | None) -> int | None:
    """Images that the budget allows in all, whichever of its limits comes first; None for any number."""
    caps = [] if budget.images is None else [budget.images]
    if budget.cost is not None and price_per_image:
        # Exactly, and as the numbers are written: 40.0 pays for 5,000 at 0.008.
        caps.append(int(Fraction(repr(budget.cost)) / Fraction(repr(price_per_image))))
    return min(caps, default=None)


def in_words(budget: Budget, price_per_image: float | None) -> str:
    """The limit that comes first, with the images that it pays for: `40.0 (5,000 images at 0.008)`, `5,000 images`."""
    most = most_images(budget, price_per_image)
    if most is None:
        return "nothing to count: images cost nothing" if budget.cost is not None else "no limit"
    if budget.cost is None or price_per_image is None or most == budget.images:
        return f"{most:,} images"
    return f"{budget.cost:,} ({most:,} images at {price_per_image:,})"
