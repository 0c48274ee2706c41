"""The one gateway of this agent: started once, kept started, and never called twice at once for publishes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator

from agents.edge.condition import Condition
from agents.edge.model import Access, Driver, Live, Snapshot, Verdict

log = logging.getLogger(__name__)

START_SECONDS = 60


class GatewayDown(RuntimeError):
    """The gateway cannot be started or driven; in its own words."""


class Gateway:
    def __init__(self, make_driver: Callable[[], Driver], condition: Condition) -> None:
        self._make_driver = make_driver
        self._condition = condition
        self._driver: Driver | None = None
        self._why = ""  # it is not started
        # Keys do not wait for publishes: a revocation is urgent, and a probe may take its time.
        self._publishing = asyncio.Lock()
        self._keying = asyncio.Lock()

    @property
    def is_started(self) -> bool:
        return self._driver is not None

    async def start(self, snapshot: Snapshot, access: Access) -> None:
        """Serve what was good last. A second call is no error, and a failed one can be repeated."""
        async with self._publishing, self._keying:
            if self._driver is not None:
                return
            with self._words("start"):
                driver = self._make_driver()
                async with asyncio.timeout(START_SECONDS):
                    await driver.start(snapshot, access)
            self._driver = driver
            self._condition.access_version = access.version
            self._condition.gateway_ready = True
            self._condition.trouble("gateway", "")

    async def apply(self, snapshot: Snapshot) -> dict[str, Verdict]:
        async with self._publishing, self._driven("apply") as driver:
            return await driver.apply(snapshot)

    async def apply_access(self, access: Access) -> int:
        async with self._keying, self._driven("apply keys") as driver:
            return await driver.apply_access(access)

    async def observe(self) -> dict[str, Live]:
        async with self._publishing, self._driven("observe") as driver:
            return await driver.observe()

    @contextlib.asynccontextmanager
    async def at_rest(self) -> AsyncIterator[None]:
        """No call is under way, and none begins."""
        async with self._publishing, self._keying:
            yield

    async def detach(self) -> None:
        if driver := self._release():
            with contextlib.suppress(GatewayDown), self._words("detach"):
                await driver.detach()

    async def stop(self) -> None:
        if driver := self._release():
            with contextlib.suppress(GatewayDown), self._words("stop"):
                await driver.stop()

    def _release(self) -> Driver | None:
        driver, self._driver = self._driver, None
        self._condition.gateway_ready = False
        return driver

    @contextlib.asynccontextmanager
    async def _driven(self, what: str) -> AsyncIterator[Driver]:
        if self._driver is None:
            raise GatewayDown(f"The gateway is not started. {self._why}".strip())
        with self._words(what):
            yield self._driver
        self._condition.gateway_ready = self._driver is not None
        self._condition.trouble("gateway", "")

    @contextlib.contextmanager
    def _words(self, what: str) -> Iterator[None]:
        """Whatever a driver raises is the gateway's trouble, never the end of the agent."""
        try:
            yield
        except Exception as error:
            words = str(error) or type(error).__name__
            log.exception("The gateway failed", extra={"during": what})
            self._condition.gateway_ready = False
            self._condition.trouble("gateway", f"{what}: {words}")
            self._why = words
            raise GatewayDown(words) from error
