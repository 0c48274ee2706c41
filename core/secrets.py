"""Tokens that are shown once: `<kind>_<prefix>_<secret>`. Stored: the prefix to look up, and a digest."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from django.conf import settings

MAX_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Minted:
    text: str = field(repr=False)  # for its owner, once; never stored or logged
    prefix: str
    digest: str


def mint(kind: str) -> Minted:
    """A new token with 256 random bits, in letters and digits only: one double click selects it all."""
    prefix = secrets.token_hex(5)
    text = f"{kind}_{prefix}_{secrets.token_hex(32)}"
    return Minted(text=text, prefix=prefix, digest=digest(text))


def prefix_of(kind: str, text: str) -> str | None:
    """What to look the row up by; None if this is no such token at all."""
    parts = text.split("_") if len(text) <= MAX_LENGTH else []
    if len(parts) != 3 or parts[0] != kind or not text.isascii() or not text.isprintable():
        return None
    return parts[1]


def digest(text: str) -> str:
    """HMAC with TOKEN_PEPPER, which is not in the database: a stolen table alone verifies nothing."""
    return hmac.new(settings.TOKEN_PEPPER.encode(), text.encode(), hashlib.sha256).hexdigest()


def matches(text: str, stored: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(digest(text), stored)
