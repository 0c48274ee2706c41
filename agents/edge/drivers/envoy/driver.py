"""The Envoy driver: one gateway, made to match a snapshot, with a verdict for each change."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

import httpx
from google.protobuf.any_pb2 import Any

from agents.edge.drivers.envoy import identity
from agents.edge.drivers.envoy.admin import Admin
from agents.edge.drivers.envoy.ads import AdsServer
from agents.edge.drivers.envoy.changes import Changes
from agents.edge.drivers.envoy.clusters import system_roots
from agents.edge.drivers.envoy.filters import LIMITS, limits_filter
from agents.edge.drivers.envoy.kinds import DriverError, NoVerdict
from agents.edge.drivers.envoy.probe import Prober
from agents.edge.drivers.envoy.process import EnvoyProcess
from agents.edge.drivers.envoy.resources import Settings, Translator
from agents.edge.drivers.envoy.rollout import AccessFeed, Rollout
from agents.edge.drivers.envoy.sockets import sockets_for
from agents.edge.drivers.envoy.store import Store, digest_of
from agents.edge.model import Access, Live, Snapshot, Verdict

logger = logging.getLogger(__name__)

_CONNECT_SECONDS = 10.0


class EnvoyDriver:
    """Implements model.Driver.

    A refused publish is not sent to Envoy again until its revision or its deployment changes: a
    new deployment of the same bytes is a new attempt. `forget` allows one without either.
    """

    gateway_class = "envoy"

    def __init__(
        self,
        state_dir: Path,
        node_id: str,
        probe_secret: bytes,
        concurrency: int = 2,
        bind_address: str = "0.0.0.0",  # noqa: S104 - a gateway is there to be reached
        trusted_roots: str = "",
    ) -> None:
        settings = Settings(probe_secret, bind_address, trusted_roots or system_roots())
        self._sockets = sockets_for(state_dir)
        self._store = Store(state_dir)
        self._probe_key = self._store.open()
        self._ads = AdsServer(self._sockets.ads)
        self._process = EnvoyProcess(state_dir, self._sockets, node_id, concurrency)
        # The gateway is asked under the names of its hosts, and shows what we gave it: the prober
        # compares that, and nobody's roots are read for it.
        plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        plain.check_hostname, plain.verify_mode = False, ssl.CERT_NONE
        self._web = httpx.AsyncClient(verify=plain, trust_env=False)
        admin = httpx.AsyncHTTPTransport(verify=plain, uds=self._sockets.admin)
        self._admin_web = httpx.AsyncClient(transport=admin, trust_env=False)
        self._rollout = Rollout(self._ads, Translator(settings))
        prober = Prober(settings, self._probe_key, self._web, self._rollout.secrets)
        self._admin = Admin(self._admin_web)
        self._changes = Changes(self._rollout, prober, self._store, self._admin)
        self._access_feed = AccessFeed(self._ads)
        self._access = Access(version=0)
        self._agent_count = 1
        # Calls that change publishes never overlap; keys do not wait for them.
        self._applying = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Envoy's process."""
        return self._process.pid

    async def start(self, snapshot: Snapshot, access: Access) -> None:
        """Start or adopt Envoy and serve what is in the state directory.

        Of `snapshot` the settings and the secrets are used: what was good last, the driver knows best
        itself.
        """
        try:
            await self._start(snapshot, access)
        except BaseException:
            await self.detach()
            raise

    async def _start(self, snapshot: Snapshot, access: Access) -> None:
        self._access, self._agent_count = access, max(snapshot.agent_count, 1)
        self._rollout.secrets.learn(snapshot.secrets)
        await self._rollout.trust(snapshot.trusted_hops)
        # On offer before anybody asks: Envoy must never be told of an empty state.
        await self._access_feed.offer(self._key_table() | self._limits())
        await self._ads.start()
        adopted = await self._process.adopt()
        if not adopted:
            self._process.spawn()
        # Watched from here on: what was adopted may have been dying.
        self._process.watch(self._recover)
        try:
            await self._ads.connected(_CONNECT_SECONDS)
        except NoVerdict:
            if not adopted:
                raise
            await self._replace()
        await self._recover()
        logger.info("Envoy %s serves as process %s", await self._admin.version(), self.pid)

    async def _replace(self) -> None:
        """An Envoy that no longer asks serves revoked keys for ever: better a short outage."""
        logger.warning("the adopted Envoy %s does not ask for its configuration", self.pid)
        await self._process.stop()
        self._process.spawn()
        self._process.watch(self._recover)
        await self._ads.connected(_CONNECT_SECONDS)

    async def _recover(self) -> None:
        """Serve the last good state on an Envoy that has just come."""
        async with self._applying:
            await self._changes.recover()

    async def apply(self, snapshot: Snapshot) -> dict[str, Verdict]:
        """Removals first, then all changes together, then the probes."""
        async with self._applying:
            if snapshot.agent_count != self._agent_count:
                await self._share_limits(max(snapshot.agent_count, 1))
            await self._rollout.trust(snapshot.trusted_hops)
            if snapshot.again:
                await self._changes.repair()
            verdicts = await self._changes.withdraw(snapshot)
            return verdicts | await self._changes.publish(snapshot)

    async def _share_limits(self, agent_count: int) -> None:
        self._agent_count = agent_count
        try:
            await self._access_feed.offer(self._limits())
        except DriverError as error:
            # Still on offer; no reason to refuse publishes.
            logger.warning("limits for %d agents are not confirmed: %s", agent_count, error)

    async def apply_access(self, access: Access) -> int:
        """Return the version once Envoy uses it: from then on a key that is not in it is refused."""
        self._access = access
        # Limits that are the same bytes as before leave Envoy's buckets as they are.
        await self._access_feed.offer(self._key_table() | self._limits())
        return access.version

    def _key_table(self) -> dict[str, Any]:
        digest = digest_of(self._probe_key)
        return {identity.NAME: identity.identity_filter(self._access, digest)}

    def _limits(self) -> dict[str, Any]:
        return {LIMITS: limits_filter(self._access, self._agent_count)}

    async def observe(self) -> dict[str, Live]:
        """Read back from Envoy which revision of each publish it serves."""
        return await self._changes.observe()

    def forget(self, publish_id: str) -> None:
        """Let the next apply try a refused publish again."""
        self._changes.forget(publish_id)

    async def detach(self) -> None:
        """Let go; Envoy goes on serving and is adopted by the next driver of this directory."""
        await self._process.release()
        await self._close()

    async def stop(self) -> None:
        await self._process.stop()
        await self._close()

    async def _close(self) -> None:
        await self._ads.stop()
        await self._web.aclose()
        await self._admin_web.aclose()
        self._store.close()
