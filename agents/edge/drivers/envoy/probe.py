"""Proof of publish: calls to the gateway's own port, answered by the gateway alone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import httpx

from agents.edge.drivers.envoy.resources import Settings
from agents.edge.drivers.envoy.routes import PROBE_HEADER, first_path, probe_body
from agents.edge.drivers.envoy.secrets import SecretFeed
from agents.edge.model import ProbeCall, Publish

logger = logging.getLogger(__name__)

_PATIENCE = 3.0
_CALL_SECONDS = 1.0
_BODY_LIMIT = 200


@dataclass(frozen=True, slots=True)
class _Ask:
    """One call of a probe and the answer that proves something."""

    host: str
    port: int
    path: str
    secret_id: str  # "" = no TLS
    key: str
    expected: int
    body: str = ""
    refused_will_do: bool = False

    def is_proved_by(self, call: ProbeCall) -> bool:
        if call.got == 0:
            return self.refused_will_do
        return call.got == self.expected and self.body in ("", call.body)


@dataclass(frozen=True, slots=True)
class Proof:
    calls: tuple[ProbeCall, ...]
    error: str
    ms: float


class Prober:
    """Asks for a moment, not once: workers take over a new configuration one after another."""

    def __init__(
        self, settings: Settings, probe_key: str, client: httpx.AsyncClient, secrets: SecretFeed
    ) -> None:
        self._settings = settings
        self._secrets = secrets
        self._key = probe_key
        self._client = client
        # Listeners on every address are asked on the loopback.
        address = settings.bind_address
        self._address = "127.0.0.1" if address == "0.0.0.0" else address  # noqa: S104
        self._at_once = asyncio.Semaphore(16)

    async def live(self, publish: Publish) -> Proof:
        """Refused without a key (but in mode none), and its revision with the agent's own key."""
        public = publish.bundle.auth.mode == "none"
        body = probe_body(publish)
        asks = []
        for place in _places(publish):
            expected = 200 if public else 401
            asks.append(_Ask(*place, "", expected, body if public else ""))
            if not public:
                asks.append(_Ask(*place, self._key, 200, body))
        return await self._prove(publish.id, asks)

    async def gone(self, publish: Publish, ports: Collection[int]) -> Proof:
        """404, or no listener at all, on those of its ports that are in `ports`."""
        places = [place for place in _places(publish) if place[1] in ports]
        asks = [_Ask(*place, self._key, 404, refused_will_do=True) for place in places]
        return await self._prove(publish.id, asks)

    async def _prove(self, publish_id: str, asks: Iterable[_Ask]) -> Proof:
        begun = time.perf_counter()
        deadline = begun + _PATIENCE
        token = self._settings.probe_token(publish_id)
        calls = await asyncio.gather(*(self._until(ask, token, deadline) for ask in asks))
        wrong = [call for ask, call in zip(asks, calls, strict=True) if not ask.is_proved_by(call)]
        ms = (time.perf_counter() - begun) * 1000
        return Proof(tuple(calls), _complaint(wrong[0]) if wrong else "", ms)

    async def _until(self, ask: _Ask, token: str, deadline: float) -> ProbeCall:
        pause = 0.005
        while True:
            async with self._at_once:
                call = await self._call(ask, token)
            if ask.is_proved_by(call) or time.perf_counter() + pause > deadline:
                return call
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.2)

    async def _call(self, ask: _Ask, token: str) -> ProbeCall:
        headers = {"host": ask.host, PROBE_HEADER: token, "connection": "close"}
        if ask.key:
            headers["x-api-key"] = ask.key
        begun = time.perf_counter()
        try:
            got, body = await self._answer(ask, headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            logger.debug("no answer to the probe of %s: %s", ask.host, error)
            got, body = 0, ""
        return ProbeCall(
            method="GET",
            host=ask.host,
            port=ask.port,
            path=ask.path,
            with_credential=bool(ask.key),
            expected=ask.expected,
            got=got,
            body=body,
            latency_ms=(time.perf_counter() - begun) * 1000,
        )

    async def _answer(self, ask: _Ask, headers: dict[str, str]) -> tuple[int, str]:
        scheme = "https" if ask.secret_id else "http"
        async with self._client.stream(
            "GET",
            f"{scheme}://{self._address}:{ask.port}{ask.path}",
            headers=headers,
            timeout=_CALL_SECONDS,
            extensions={"sni_hostname": ask.host} if ask.secret_id else {},
        ) as answer:
            if not self._is_shown(ask, answer):
                return 0, "another certificate"
            await answer.aread()
        return answer.status_code, answer.text[:_BODY_LIMIT]

    def _is_shown(self, ask: _Ask, answer: httpx.Response) -> bool:
        """The port shows the certificate that it was given. Where it should be gone, any will do."""
        if not ask.secret_id or ask.refused_will_do:
            return True
        spoken = answer.extensions["network_stream"].get_extra_info("ssl_object")
        shown: bytes | None = spoken.getpeercert(binary_form=True)
        return shown == self._secrets.leaf_of(ask.secret_id)


def _places(publish: Publish) -> list[tuple[str, int, str, str]]:
    path, host = first_path(publish), publish.bundle.host.lower()
    ports = {listener.port: listener.tls.secret_id for listener in publish.bundle.listeners}
    return [(host, port, path, ports[port]) for port in sorted(ports)]


def _complaint(call: ProbeCall) -> str:
    got = f"{call.got} {call.body!r}" if call.got else call.body or "no answer"
    key = "with" if call.with_credential else "without"
    place = f"{call.host}:{call.port}{call.path}"
    return f"the gateway took it, but {place} {key} a key gave {got}, not {call.expected}"
