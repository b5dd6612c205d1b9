"""Words for the state of a job that no profile knows, beside links: whether they mean its end."""

from __future__ import annotations

from batchgen.policy import UNSURE_ANSWERS, UNSURE_SECONDS
from batchgen.ports import Clock, JobStatus, Working
from batchgen.runner.watching import Watch


class UnknownWords:
    """What a run has learned of such words.

    One means the end of a job if its links give the same pictures of the size asked for twice, after a while in which
    previews of a job at work would have changed; and then of every other job whose links give such pictures. One
    that was followed by another word, or whose pictures have changed, never does.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends: set[str] = set()
        self._passing: set[str] = set()

    def told(self, watch: Watch, status: JobStatus) -> None:
        """The API has said where the job stands."""
        word = status.state if isinstance(status, Working) and status.urls else None
        if word != watch.word:
            if watch.word is not None:
                self._passing.add(watch.word)
            watch.word, watch.word_since, watch.word_times, watch.seen = word, self._clock.monotonic(), 0, ()
        watch.word_times += 1

    async def mean_the_end(self, watch: Watch, status: Working) -> bool:
        """Whether the job, whose links stand beside its word, has ended."""
        word, look = status.state, watch.job.look
        long = self._clock.monotonic() - watch.word_since >= UNSURE_SECONDS and watch.word_times >= UNSURE_ANSWERS
        if look is None or word in self._passing or not (long or word in self._ends):
            return False
        before, watch.seen = watch.seen, await look(*status.urls)
        if None in watch.seen:
            return False
        if before and None not in before and watch.seen != before:
            self._passing.add(word)
        elif watch.seen == before:
            self._ends.add(word)
        return word in self._ends - self._passing
