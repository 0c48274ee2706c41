"""The few messages of the agents' protocol that an intruder needs, written by hand from the .proto file.

The product's own generated code is not used: what it would refuse to write is what should be tried.
"""

from __future__ import annotations

APPLIED, FAILED = 2, 3
Field = int | str | bytes


def message(**fields: Field) -> bytes:
    """By number, `f1="text"`; nothing is sent for what is empty, as in proto3."""
    out = b""
    for name, value in fields.items():
        number = int(name.removeprefix("f"))
        if isinstance(value, int):
            out += _varint(number << 3) + _varint(value)
        else:
            raw = value.encode() if isinstance(value, str) else value
            out += _varint(number << 3 | 2) + _varint(len(raw)) + raw
    return out


def connect_request(token: str) -> bytes:
    return message(f1=message(f1=token, f2="0.0.0", f3="envoy"))


def deploy_result(deployment: str, revision: str, outcome: int, words: str) -> bytes:
    return message(f3=message(f1=deployment, f2=revision, f4=outcome, f5=words))


def state_report(number: int, words: str) -> bytes:
    """Everything applied up to that number, nothing served."""
    return message(f4=message(f1=number, f2=number, f3=number, f5=words))


def welcome(raw: bytes) -> tuple[int, str]:
    """The session epoch and the REST token of a ConnectResponse."""
    numbers, texts = parse(raw)
    return numbers[15], parse(texts[1])[1][1].decode()


def parse(raw: bytes) -> tuple[dict[int, int], dict[int, bytes]]:
    """Varints, and what has a length; the protocol has nothing else that matters here."""
    numbers: dict[int, int] = {}
    texts: dict[int, bytes] = {}
    at = 0
    while at < len(raw):
        key, at = _read(raw, at)
        value, at = _read(raw, at)
        if key & 7 == 2:
            texts[key >> 3], at = raw[at : at + value], at + value
        else:
            numbers[key >> 3] = value
    return numbers, texts


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _read(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
