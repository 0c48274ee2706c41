"""What comes together goes to the database together: a fleet's return costs few statements, not thousands."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from django.db import InterfaceError, OperationalError

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Waiting = tuple[Item, "asyncio.Future[Answer]"]
LIMIT = 500
LONGEST_PAUSE = 0.5
AWAY = (OperationalError, InterfaceError)


class Batches(Generic[Item, Answer]):
    """One batch at a time, so that the next one gathers meanwhile: the busier, the larger.

    Nobody is refused for want of room; whoever does not wait any more is left out.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Awaitable[Sequence[Answer | Exception]]],
        *,
        gather: float,
        spacing: float = 0.0,
        unclaimed: Callable[[Answer], None] | None = None,
    ) -> None:
        """`work` answers each item, or says why not. `unclaimed` gets answers that came too late.

        One alone waits for `gather` seconds. While several come together, a crowd, batches keep `spacing`.
        """
        self._work, self._unclaimed = work, unclaimed
        self._gather, self._spacing, self._not_before = gather, spacing, 0.0
        self._waiting: deque[Waiting[Item, Answer]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def ask(self, item: Item) -> Answer:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = loop.create_task(self._run())
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and not future.exception():
                self._drop(future.result())
            raise

    async def _run(self) -> None:
        try:
            clock, took = asyncio.get_running_loop().time, 0.0
            while self._waiting:
                # The database is left alone for as long as it was busy: the next batch grows meanwhile.
                await asyncio.sleep(max(self._gather, took, self._not_before - clock()))
                began, batch = clock(), self._take()
                self._not_before = began + self._spacing if len(batch) > 1 else 0.0
                await self._serve(batch)
                took = min(clock() - began, LONGEST_PAUSE)
        finally:
            self._task = None

    def _take(self) -> list[Waiting[Item, Answer]]:
        batch: list[Waiting[Item, Answer]] = []
        while self._waiting and len(batch) < LIMIT:
            item, future = self._waiting.popleft()
            if not future.done():
                batch.append((item, future))
        return batch

    async def _serve(self, batch: list[Waiting[Item, Answer]]) -> None:
        if not batch:
            return
        answers: Sequence[Answer | Exception]
        try:
            answers = await self._work([item for item, _ in batch])
        except AWAY as error:
            answers = [error] * len(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, each caller is told
            if len(batch) > 1:  # one of them must not cost the others
                for each in batch:
                    await self._serve([each])
                return
            answers = [error]
        for (_, future), answer in zip(batch, answers, strict=True):
            self._give(future, answer)

    def _give(self, future: asyncio.Future[Answer], answer: Answer | Exception) -> None:
        if isinstance(answer, Exception):
            if not future.done():
                future.set_exception(answer)
        elif future.done():
            self._drop(answer)
        else:
            future.set_result(answer)

    def _drop(self, answer: Answer) -> None:
        if self._unclaimed:
            self._unclaimed(answer)
