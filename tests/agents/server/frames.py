"""Frames by the hundred thousand: whole ones, odd ones, broken ones. A seed gives the same ones again."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from uuid import UUID

from agents.wire import agent_pb2 as pb

TEXTS = ("", "a", "x" * 200, "\x00", "한글 é 𝕏", "%s%n", "'; DROP TABLE", "../..", "\u202e\ufeff")
NUMBERS = (0, 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
REALS = (0.0, -1.0, 1e308, float("inf"), float("-inf"), float("nan"))
WIRE_TYPES = (0, 1, 2, 5)


class Frames:
    """`known` are ids and digests that the server has, so that some words meet real rows."""

    def __init__(self, seed: int, known: Sequence[str] = ()) -> None:
        self._rng = random.Random(seed)
        self._known = known

    def heartbeat(self) -> bytes:
        return pb.AgentMessage(heartbeat=pb.Heartbeat()).SerializeToString()

    def hello(self) -> bytes:
        request = pb.ConnectRequest(jwt=self._text(), version=self._text())
        return pb.AgentMessage(connect_request=request).SerializeToString()

    def goodbye(self) -> bytes:
        said = pb.Goodbye(retry_after_ms=self._rng.getrandbits(32), message=self._text())
        return pb.AgentMessage(goodbye=said).SerializeToString()

    def result(self) -> bytes:
        calls = [
            pb.ProbeCall(method=self._text(), host=self._text(), port=self._rng.getrandbits(32),
                         body=self._text(), latency_ms=self._rng.choice(REALS))
            for _ in range(self._rng.randrange(3))
        ]  # fmt: skip
        said = pb.DeployResult(
            deployment_id=self._name(), revision=self._name(), generation=self._number(),
            outcome=self._rng.randrange(-1, 5), error=self._text(), probe=pb.Probe(calls=calls),
            timings=pb.Timings(fetch_ms=self._rng.choice(REALS)),
        )  # fmt: skip
        return pb.AgentMessage(deploy_result=said).SerializeToString()

    def report(self) -> bytes:
        states = [
            pb.PublishState(id=self._name(), revision=self._name(), error=self._text())
            for _ in range(self._rng.randrange(4))
        ]
        said = pb.StateReport(
            applied_generation=self._number(), settled_generation=self._number(),
            access_version=self._number(), publishes=states, last_error=self._text(),
        )  # fmt: skip
        return pb.AgentMessage(state_report=said).SerializeToString()

    def whole(self) -> bytes:
        """Well-formed; what it says may be nonsense."""
        kinds: tuple[Callable[[], bytes], ...] = (
            self.heartbeat, self.hello, self.goodbye, self.result, self.report,
        )  # fmt: skip
        return self._rng.choice(kinds)()

    def odd(self, frame: bytes) -> bytes:
        """Well-formed with fields of a later version: unknown numbers, any wire type, any content."""
        for _ in range(self._rng.randrange(4)):
            frame += self._unknown_field()
        return frame

    def mutated(self) -> bytes:
        """A whole one with some bytes changed, cut or added."""
        raw = bytearray(self.whole())
        for _ in range(self._rng.randrange(1, 5)):
            at = self._rng.randrange(len(raw) + 1)
            raw[at : at + self._rng.randrange(4)] = self._rng.randbytes(self._rng.randrange(5))
        return bytes(raw)

    def any(self) -> bytes:
        """Of each ten: six mutated, two of noise, one whole, one odd."""
        lot = self._rng.randrange(10)
        if lot < 6:
            return self.mutated()
        if lot < 8:
            return self._rng.randbytes(self._rng.randrange(400))
        return self.whole() if lot == 8 else self.odd(self.whole())

    def _unknown_field(self) -> bytes:
        wire_type, number = self._rng.choice(WIRE_TYPES), self._rng.randrange(100, 2**29)
        content = {
            0: lambda: varint(self._rng.getrandbits(64)),
            1: lambda: self._rng.randbytes(8),
            2: lambda: varint(length := self._rng.randrange(100)) + self._rng.randbytes(length),
            5: lambda: self._rng.randbytes(4),
        }[wire_type]()
        return varint(number << 3 | wire_type) + content

    def _text(self) -> str:
        if self._rng.random() < 0.5:
            return self._rng.choice(TEXTS)
        return "".join(chr(self._rng.randrange(1, 0xD7FF)) for _ in range(self._rng.randrange(20)))

    def _number(self) -> int:
        return self._rng.choice((*NUMBERS, self._rng.getrandbits(64)))

    def _name(self) -> str:
        made = (
            str(UUID(int=self._rng.getrandbits(128))), f"{self._rng.getrandbits(256):064x}",
            self._text(), *self._known,
        )  # fmt: skip
        return self._rng.choice(made)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
