"""How long to wait before the next try."""

from __future__ import annotations

import random

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 15.0
# A server that is not there is spared nothing by waiting, and a whole fleet waits for the end of an outage.
ABSENT_SECONDS = 5.0
STABLE_SECONDS = 60.0


class Backoff:
    """Full jitter: anything from nothing to a bound that doubles, so that a fleet keeps out of step."""

    def __init__(self) -> None:
        self._tries = 0

    def bound(self) -> float:
        # The exponent is capped because 2.0**1024 overflows after a long outage.
        return min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(self._tries, 32))

    def next(self, *, absent: bool = False) -> float:
        """`absent`: nobody answered at all, so that a try cost nobody anything."""
        bound = min(self.bound(), ABSENT_SECONDS) if absent else self.bound()
        self._tries += 1
        return random.uniform(0, bound)  # noqa: S311 - spreads load, guards nothing

    def reset(self) -> None:
        self._tries = 0

    def held(self, seconds: float) -> None:
        """A stream stood that long: only a stable one proves that the trouble is over."""
        if seconds >= STABLE_SECONDS:
            self.reset()


def around(seconds: float, spread: float = 0.1) -> float:
    """`seconds`, give or take a tenth."""
    return seconds * random.uniform(1 - spread, 1 + spread)  # noqa: S311 - spreads load
