"""Decisions as values: retry? wait? poll when? how many in flight? Pure: time and chance come in as arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from batchgen.budget import Allowance
from batchgen.checks import BlankCheck, Checks, Finding, Limit, OnReject, SizeCheck
from batchgen.durations import ENOUGH, Durations
from batchgen.model import ParamValue, ScoreValue, VerifiedImage

#: Times a job may fail at the API before its request is given up.
JOB_FAILURES = 3
#: The same of jobs that fail because too much is asked for at once: over some two minutes.
CROWDED_JOBS = 9
#: Times one link is tried, over about a minute, before the job is asked for fresh ones.
LINK_TRIES = 8
#: Seconds after which it is tried no more before that, however few the tries: each may take its ten minutes.
LINK_SECONDS = 300.0
#: The same of a link that a failed job names: what it had made was there before it failed.
FAILED_LINK_TRIES = 4
#: Times a job is asked for fresh links before images that are gone for good count as lost.
FRESH_LINKS = 2
#: Seconds after the end of a job in which what is no whole image behind its link may still become one.
SETTLING = 300.0
#: A job counts as lost after so many answers in a row that do not know it, over so many seconds.
UNKNOWN_JOB_ANSWERS, UNKNOWN_JOB_SECONDS = 5, 300.0
#: A finished job's images count as lost after so many answers in a row without a usable link, over so many seconds.
UNUSABLE_ANSWERS, UNUSABLE_SECONDS = 5, 60.0
#: Links beside a word that is not known are looked at after so many such answers in a row, over so many seconds.
UNSURE_ANSWERS, UNSURE_SECONDS = 5, 60.0
#: Answers in a row that refuse the account before a question about a job counts as refused: one may be a gateway's.
BLOCKED_ANSWERS = 2
#: Questions without a usable answer after which a job is left that one answer would be enough for.
TROUBLES_AT_ONCE = 3
#: Seconds after which trouble that may pass is taken for lasting: links live 24 hours at most (documented).
GIVE_UP_AFTER = 86_400.0
#: Submissions in a row that may end in doubt, or be refused for their input, before the run stops.
DOUBTS_IN_A_ROW, REFUSALS_IN_A_ROW = 10, 25
#: Jobs in a row whose images may be out of reach, and that may fail, before the run stops.
MISSED_IN_A_ROW, FAILURES_IN_A_ROW = 10, 25
#: Jobs in a row that may end without the sign that was to tell of it, before it is no longer waited for.
SIGNS_MISSED_IN_A_ROW = 5
#: Times that a picture of another size than was asked for is not believed, over some ten seconds, while its host may be
#: a little behind the API; and answers of a finished job that names fewer links than samples, over some five.
ODD_SIZE_TRIES, FEWER_LINKS_ANSWERS = 5, 3
#: What stayed as it was so many times, and never came whole, is believed at once for the rest of the run.
STAYED_AS_IT_WAS = 3
#: Seconds that a sign is waited for while it is unknown how long jobs take, and at least, and at most after that.
SIGN_UNKNOWN, SIGN_AT_LEAST, SIGN_AT_MOST = 15.0, 3.0, 60.0
#: Seconds until the first question about a job while it is unknown how long jobs take, and between any two, at least.
POLL_FIRST, POLL_AT_LEAST = 0.05, 0.005
#: Factor, at most, by which ages differ at which jobs are asked about first while it is unknown how long they take.
POLL_APART = 8
#: Rounds of the present limit after which more jobs in flight are tried: a refusal makes submitting pause.
TRY_MORE_AFTER = 2.0
#: Bytes of images that may be on their way to the disk while they are small; and how many times as many of these.
SMALL_IMAGES, SMALL_AT_ONCE = 4 * 1024 * 1024, 4
#: Share of a wait by which chance makes it longer.
POLL_SPREAD = 0.02


#: Pixels; a smaller picture behind an early link is none that anybody asked for.
SMALLEST_PICTURE = 8


def backoff(failures: int, *, draw: float, base: float = 1.0, cap: float = 60.0) -> float:
    """Seconds to wait after *failures* in a row: doubling from *base* to *cap*, spread over the upper half.

    Args:
        failures: at least 1.
        draw: uniform in [0, 1).
    """
    # The exponent is bounded before the power is taken: an outage of days must not overflow.
    whole = min(cap, base * 2.0 ** min(failures - 1, 30))
    return whole * (0.5 + draw / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What checks say of an image."""

    findings: tuple[Finding, ...] = ()
    rejected: str | None = None  #: why it is no part of the dataset; None if it is


def has_other_size(image: VerifiedImage, asked: Mapping[str, ParamValue]) -> bool:
    """Whether an image has another width or height than was asked for.

    Args:
        asked: the request's parameters. A width or height that is not among them cannot be wrong, nor can the size of
            an image that was to be made larger: nobody documents by how much.
    """
    sides = {"width": image.width, "height": image.height}
    return "upscale" not in asked and any(asked.get(name, pixels) != pixels for name, pixels in sides.items())


def is_placeholder(image: VerifiedImage, asked: Mapping[str, ParamValue]) -> bool:
    """Whether a picture is not the one that was asked for, whose size is known: it stands where that is to come.

    Args:
        asked: the request's parameters.
    """
    wanted = asked.get("width", image.width), asked.get("height", image.height)
    return (image.width, image.height) != wanted or min(image.width, image.height) < SMALLEST_PICTURE


def judge(image: VerifiedImage, asked: Mapping[str, ParamValue], checks: Checks) -> Verdict:
    """What the checks say of an image that is whole.

    Args:
        asked: the request's parameters.
    """
    findings, reasons = [], []
    if has_other_size(image, asked) and checks.size is not SizeCheck.OFF:
        findings.append(Finding.SIZE)
        if checks.size is SizeCheck.EXACT:
            wanted = " × ".join(str(asked.get(name, "any")) for name in ("width", "height"))
            reasons.append(f"it has {image.width} × {image.height} pixels instead of {wanted}")
    if image.blank and checks.blank is not BlankCheck.OFF:
        findings.append(Finding.BLANK)
        if checks.blank is BlankCheck.REJECT:
            reasons.append("it is blank")
    if not reasons or checks.on_reject is OnReject.KEEP:
        return Verdict(findings=tuple(findings))
    return Verdict(findings=tuple(findings), rejected=set_aside(" and ".join(reasons)))


def judge_scores(scores: Mapping[str, ScoreValue], limits: Mapping[str, Limit]) -> str | None:
    """Why an image with such scores is rejected; None if it is not. What has no score has no fault.

    Args:
        scores, limits: by the names of columns, without `score_`.
    """
    reasons = []
    for name, limit in limits.items():
        score = scores.get(name)
        if isinstance(score, int | float) and not limit.allows(score):
            reasons.append(f"its score_{name} is {score:g} instead of {limit}")
    return " and ".join(reasons) or None


def set_aside(reason: str) -> str:
    """What is said of an image that is rejected for a reason."""
    return f"The image was made and is kept aside: {reason}."


def next_poll(age: float, learned: Durations, *, watched: float, peers: int = 1, draw: float) -> float:
    """Seconds from now until a job that is *age* seconds old is worth asking about.

    Args:
        age: seconds since its submission.
        learned: durations of this run's finished jobs.
        watched: seconds since this run began to ask; less than *age* for a job of an earlier run.
        peers: jobs that are waited for, this one included.
        draw: uniform in [0, 1); spreads the polls of jobs submitted together.
    """
    following = learned.next_age(age)
    if following is None:
        # The time watched doubles, then grows by a share: the delay stays in proportion to the job. Those that were
        # submitted together begin at different ages, so that each learns from what the others were told.
        first: float = POLL_FIRST * min(peers, POLL_APART) ** draw
        wait = max(first, min(watched, 0.25), watched * learned.older(age))
    elif watched < age / 2:
        # A job of an earlier run may be hours old: what it takes longer than all others says nothing about it.
        wait = min(following - age, max(POLL_FIRST, min(watched, 0.25), watched / 2))
    else:
        wait = following - age
    # Later only: what is asked just before its time is asked again.
    return max(POLL_AT_LEAST, wait) * (1 + POLL_SPREAD * draw)


def next_backstop(age: float, learned: Durations, *, draw: float) -> float:
    """Seconds from now until a job is worth asking about although the sign of its end has not come.

    Args: as of `next_poll`.
    """
    patience = max(SIGN_AT_LEAST, 1.5 * learned.longest) if len(learned) >= ENOUGH else SIGN_UNKNOWN
    wait = patience - age if age < patience else min(SIGN_AT_MOST, max(SIGN_AT_LEAST, age))
    return wait * (1.0 + 0.2 * draw)


def quiet_after(in_vain: int) -> float:
    """Seconds after the last question in which no notice makes a run ask again: doubling, so that a flood costs little.

    Args:
        in_vain: notices of the job after which it was found to go on.
    """
    return 0.0 if in_vain == 0 else min(SIGN_AT_MOST, 2.0 ** min(in_vain - 1, 30))


class Reliance:
    """Whether a sign of the end of jobs, a notice or an early link, can be relied upon."""

    def __init__(self) -> None:
        self._missed = 0
        self._deceived = False

    def seen(self) -> None:
        """It came."""
        self._missed = 0

    def missed(self) -> None:
        """A job had ended, and it had not come."""
        self._missed += 1

    def deceived(self) -> None:
        """It came, and its job went on: it is no sign at all."""
        self._deceived = True

    @property
    def justified(self) -> bool:
        """Whether waiting for it is better than asking."""
        return not self._deceived and self._missed < SIGNS_MISSED_IN_A_ROW


class SecondLooks:
    """Whether what is not as it was asked for may become so, and is worth asking for again.

    A host may show a small picture first, and an API name its links one by one; others never give more.

    Args:
        most: times that one is asked for again.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._stayed = 0
        self._came_whole = False

    def worth(self, seen: int) -> bool:
        """Whether one is worth another look that was so, this time included, so many times."""
        return seen <= self._most and (self._came_whole or self._stayed < STAYED_AS_IT_WAS)

    def believed(self, seen: int, *, whole: bool) -> None:
        """One that was so, so many times, is taken as it is now: as it was asked for, or not."""
        self._came_whole |= whole
        self._stayed += not whole and seen > self._most


class InFlightLimit:
    """How many jobs may be in flight: the wish, or what the API was seen to bear, with a try for more now and then.

    Jobs that have ended unseen count here and no more at the API, so what it bears is not a number to find once.

    Args:
        wish: the concurrency asked for, at least 1; never exceeded.
    """

    def __init__(self, wish: int) -> None:
        self._wish = wish
        self._limit = float(wish)
        self._rounds = 0.0  #: of the present limit, taken since the last refusal

    @property
    def limit(self) -> int:
        """Jobs that may be in flight now, at least 1."""
        return max(1, int(self._limit))

    def refused(self, in_flight: int) -> None:
        """The API refused one more while so many others had been taken and not been seen to end."""
        self._limit = min(self._limit, max(1.0, float(in_flight)))
        self._rounds = 0.0

    def accepted(self, in_flight: int) -> None:
        """The API took one; so many are in flight with it."""
        self._limit = min(float(self._wish), max(self._limit, float(in_flight)))
        self._rounds += 1.0 / self._limit
        if self._rounds > TRY_MORE_AFTER:
            # One more in the first round, two in the next, then four: what has become free is found soon.
            step = 2.0 ** min(int(self._rounds - TRY_MORE_AFTER), 10) / self._limit
            self._limit = min(float(self._wish), self._limit + min(step, 1.0))


class FetchLimit:
    """How many images may be on their way to the disk, so that they take no more memory than a few large ones do.

    Args:
        least: of any size, at least 1.
    """

    def __init__(self, least: int) -> None:
        self._least = least
        self._usual: float = SMALL_IMAGES / least  #: bytes of an image; at once as large as the largest that came

    @property
    def limit(self) -> int:
        """Images that may be on their way now."""
        return min(max(self._least, int(SMALL_IMAGES / max(1.0, self._usual))), SMALL_AT_ONCE * self._least)

    def fetched(self, size: int) -> None:
        """One of so many bytes came."""
        self._usual = max(float(size), self._usual + (size - self._usual) / 8)


class Brakes:
    """When a run has to stop submitting. Each method gives the reason, or None to go on.

    Args:
        max_images: images that this run may ask for, repeated submissions included; None for no limit.
        allowance: what the batch's budget leaves this run; None for no limit.
        max_wait: seconds that the API may refuse everything.
    """

    def __init__(self, *, max_images: int | None, max_wait: float, allowance: Allowance | None = None) -> None:
        self._max_images = max_images
        self._allowance = allowance
        self._max_wait = max_wait
        self._asked_for = 0  #: images of submissions that were accepted, or may have been
        self._undecided = 0  #: images of submissions whose answer is not there yet
        self._doubts = self._refusals = self._images_missed = self._failures = 0

    def ask_for(self, samples: int) -> str | None:
        """A submission of so many images is due; unless there is a reason against it, `decided` must follow."""
        reserved = self._asked_for + self._undecided
        if self._max_images is not None and reserved + samples > self._max_images:
            return f"--max-images {self._max_images} was reached"
        if self._allowance is not None and reserved + samples > self._allowance.images:
            return self._allowance.refusal(samples, left=self._allowance.images - reserved)
        self._undecided += samples
        return None

    @property
    def undecided(self) -> bool:
        """Whether answers are yet to come that may make room again."""
        return self._undecided > 0

    def decided(self, samples: int, *, refused: bool) -> None:
        """The answer to a submission is there, or lost; one that was surely not accepted counts no more."""
        self._undecided -= samples
        self._asked_for += 0 if refused else samples

    def stored(self) -> None:
        """The images of a request are safe."""
        self._images_missed = self._failures = 0

    def failed(self, message: str) -> str | None:
        """A job failed at the API, and not over what was asked for; each further one may be charged for."""
        self._failures += 1
        if self._failures < FAILURES_IN_A_ROW:
            return None
        return f"{self._failures} jobs in a row failed ({message})"

    def missed(self, message: str) -> str | None:
        """The images of a finished job cannot be had; while that lasts, no more are worth paying for."""
        self._images_missed += 1
        if self._images_missed < MISSED_IN_A_ROW:
            return None
        return f"the images of {self._images_missed} jobs in a row cannot be had ({message})"

    def taken(self) -> None:
        """The API took one."""
        self._doubts = self._refusals = 0

    def refused(self, message: str) -> str | None:
        """The API refused one for its input."""
        self._refusals += 1
        if self._refusals < REFUSALS_IN_A_ROW:
            return None
        return f"the API refused {self._refusals} requests in a row ({message})"

    def doubted(self, message: str) -> str | None:
        """The answer to one was lost; each further one might be paid for in vain."""
        self._doubts += 1
        if self._doubts < DOUBTS_IN_A_ROW:
            return None
        return f"the answers to {self._doubts} submissions in a row were lost ({message})"

    def waited(self, *, retry_after: float | None, refused_for: float, message: str) -> str | None:
        """The API takes nothing now.

        Args:
            retry_after: seconds it asks to wait; None if it does not.
            refused_for: seconds since it last took one.
        """
        if retry_after is not None and retry_after > self._max_wait:
            return f"the API asks to wait {retry_after:.0f} s, longer than --max-wait {self._max_wait:.0f} s"
        if refused_for > self._max_wait:
            return f"the API has taken nothing for {refused_for:.0f} s ({message})"
        return None
