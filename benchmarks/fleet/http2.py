"""As much HTTP/2 as one gRPC call in one connection needs, without I/O (RFC 9113, RFC 7541)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0,
    1,
    3,
    4,
    6,
    7,
    8,
    9,
)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 1, 1, 4, 8, 32
HEADER_TABLE_SIZE, ENABLE_PUSH, INITIAL_WINDOW_SIZE = 1, 2, 4
WINDOW = 1 << 30
STREAM = 1


class Http2Error(RuntimeError):
    """The server said something that this client cannot follow."""


@dataclass(frozen=True, slots=True)
class Headers:
    """Initial metadata, or trailers when the stream ends with them."""

    fields: dict[str, str]
    ends: bool


@dataclass(frozen=True, slots=True)
class Message:
    body: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    why: str


Event = Headers | Message | Ended


class Call:
    """One gRPC call on a connection of its own. `out` is what has to be written."""

    __slots__ = ("_fragments", "_in", "_message", "out")

    def __init__(self, authority: str, path: str, *, secure: bool) -> None:
        self._in = bytearray()
        self._message = bytearray()
        self._fragments = b""
        settings = _setting(HEADER_TABLE_SIZE, 0) + _setting(ENABLE_PUSH, 0)
        self.out = bytearray(
            PREFACE
            + frame(SETTINGS, 0, 0, settings + _setting(INITIAL_WINDOW_SIZE, WINDOW))
            + frame(WINDOW_UPDATE, 0, 0, WINDOW.to_bytes(4, "big"))
            + frame(HEADERS, END_HEADERS, STREAM, _request(authority, path, secure))
        )

    def send(self, message: bytes) -> None:
        prefixed = b"\0" + len(message).to_bytes(4, "big") + message
        self.out += frame(DATA, 0, STREAM, prefixed)

    def feed(self, received: bytes) -> Iterator[Event]:
        self._in += received
        while len(self._in) >= 9:
            length = int.from_bytes(self._in[:3], "big")
            if len(self._in) < 9 + length:
                return
            kind, flags = self._in[3], self._in[4]
            payload = bytes(self._in[9 : 9 + length])
            del self._in[: 9 + length]
            yield from self._frame(kind, flags, payload)

    def _frame(self, kind: int, flags: int, payload: bytes) -> Iterator[Event]:
        if kind == DATA:
            yield from self._data(flags, payload)
        elif kind in (HEADERS, CONTINUATION):
            yield from self._headers(kind, flags, payload)
        elif kind == SETTINGS and not flags & ACK:
            self.out += frame(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self.out += frame(PING, ACK, 0, payload)
        elif kind == RST_STREAM:
            yield Ended(f"RST_STREAM {int.from_bytes(payload, 'big')}")
        elif kind == GOAWAY and int.from_bytes(payload[4:8], "big"):
            yield Ended(f"GOAWAY {int.from_bytes(payload[4:8], 'big')}")

    def _data(self, flags: int, payload: bytes) -> Iterator[Event]:
        self._message += _unpadded(flags, payload)
        while len(self._message) >= 5:
            size = int.from_bytes(self._message[1:5], "big")
            if len(self._message) < 5 + size:
                break
            yield Message(bytes(self._message[5 : 5 + size]))
            del self._message[: 5 + size]
        if flags & END_STREAM:
            yield Ended("end of stream")

    def _headers(self, kind: int, flags: int, payload: bytes) -> Iterator[Event]:
        if kind == HEADERS:
            payload = _unpadded(flags, payload)
            payload = payload[5:] if flags & PRIORITY else payload
        self._fragments += payload
        if flags & END_HEADERS:
            block, self._fragments = self._fragments, b""
            yield Headers(_decoded(block), bool(flags & END_STREAM))


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
    return head + payload


def _setting(name: int, value: int) -> bytes:
    return name.to_bytes(2, "big") + value.to_bytes(4, "big")


def _unpadded(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & PADDED else payload


# --- HPACK: literals only, both ways ---


def _request(authority: str, path: str, secure: bool) -> bytes:
    return b"".join(
        (
            b"\x83",  # :method POST
            b"\x87" if secure else b"\x86",  # :scheme
            b"\x04" + _text(path),  # :path
            b"\x01" + _text(authority),
            b"\0" + _text("te") + _text("trailers"),
            b"\0" + _text("content-type") + _text("application/grpc"),
            b"\0" + _text("user-agent") + _text("imp-bench"),
        )
    )


def _text(value: str) -> bytes:
    assert len(value) < 127
    return bytes((len(value),)) + value.encode()


def _decoded(block: bytes) -> dict[str, str]:
    """The literals of a block: our table has no room, so all that matters to us is one."""
    fields: dict[str, str] = {}
    at = 0
    while at < len(block):
        first = block[at]
        if first & 0x80:  # a static entry, such as ":status: 200"
            _, at = _integer(block, at, 7)
        elif first & 0xE0 == 0x20:  # table size
            _, at = _integer(block, at, 5)
        else:
            index, at = _integer(block, at, 6 if first & 0x40 else 4)
            name, at = (f"#{index}", at) if index else _string(block, at)
            fields[name], at = _string(block, at)
    return fields


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    limit = (1 << bits) - 1
    value = block[at] & limit
    at += 1
    if value < limit:
        return value, at
    shift = 0
    while True:
        value += (block[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not block[at - 1] & 0x80:
            return value, at


def _string(block: bytes, at: int) -> tuple[str, int]:
    if block[at] & 0x80:
        raise Http2Error("a Huffman-coded header, which gRPC core does not send")
    size, at = _integer(block, at, 7)
    return block[at : at + size].decode(), at + size
