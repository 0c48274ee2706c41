"""How often one address may fail to register: a token bucket each."""

from __future__ import annotations

import time
from collections.abc import Callable

MAX_ADDRESSES = 10_000


class RateLimit:
    def __init__(
        self, per_minute: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second, self._burst, self._clock = per_minute / 60, burst, clock
        self._buckets: dict[str, tuple[float, float]] = {}  # address: tokens left, then

    def allow(self, address: str) -> bool:
        now = self._clock()
        left, since = self._buckets.get(address, (float(self._burst), now))
        left = min(self._burst, left + (now - since) * self._per_second)
        if len(self._buckets) >= MAX_ADDRESSES:
            self._forget_full(now)
        self._buckets[address] = (max(0.0, left - 1), now)
        return left >= 1

    def forgive(self, address: str) -> None:
        """It succeeded: a fleet behind one address may join as fast as it likes."""
        if address in self._buckets:
            left, since = self._buckets[address]
            self._buckets[address] = (min(self._burst, left + 1), since)

    def _forget_full(self, now: float) -> None:
        """A full bucket says nothing. If none is full, we are flooded: start over rather than grow."""
        refill = self._burst / self._per_second
        self._buckets = {
            address: (left, since)
            for address, (left, since) in self._buckets.items()
            if left + (now - since) / refill * self._burst < self._burst
        }
        if len(self._buckets) >= MAX_ADDRESSES:
            self._buckets.clear()
