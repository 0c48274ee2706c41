"""Python's garbage collector in processes that stay."""

from __future__ import annotations

import gc


def settle(*, oldest: int) -> None:
    """What is loaded by now stays for good: no collection looks at it again.

    What one request makes dies with it, so that Python's default of a collection every 700 allocations would
    look for nothing. `oldest`: after how many of the middle ones a full collection comes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, oldest)
