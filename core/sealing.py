"""Secrets that must be read again, such as private keys: AES-256-GCM with keys that the database lacks.

A sealed text names its key, so that several can be in use while they are changed, and belongs to one
place: moved to another row it does not open.
"""

from __future__ import annotations

import base64
import hashlib
import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

FORM = "v1"
NONCE_BYTES = 12


class Unsealable(Exception):
    """The key is not in ENCRYPTION_KEYS any more, or the text was changed or moved."""


def seal(secret: bytes, *, place: str) -> str:
    """Encrypt with the first of ENCRYPTION_KEYS. `place` names the row and must be said again to open it."""
    name, cipher = next(iter(_ciphers(tuple(settings.ENCRYPTION_KEYS)).items()))
    nonce = os.urandom(NONCE_BYTES)
    sealed = nonce + cipher.encrypt(nonce, secret, place.encode())
    return f"{FORM}.{name}.{base64.b64encode(sealed).decode()}"


def unseal(text: str, *, place: str) -> bytes:
    """What was sealed for this place, with any of ENCRYPTION_KEYS. Raises Unsealable."""
    form, _dot, rest = text.partition(".")
    name, _dot, encoded = rest.partition(".")
    cipher = _ciphers(tuple(settings.ENCRYPTION_KEYS)).get(name)
    if form != FORM or cipher is None:
        raise Unsealable(f"{place} is sealed with key {name or '?'}, which ENCRYPTION_KEYS lacks.")
    try:
        sealed = base64.b64decode(encoded, validate=True)
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place.encode())
    except (InvalidTag, ValueError):
        raise Unsealable(f"{place} was changed, or sealed for another place.") from None


def is_current(text: str) -> bool:
    """Sealed with the first key: the others are not needed for it."""
    return text.startswith(f"{FORM}.{next(iter(_ciphers(tuple(settings.ENCRYPTION_KEYS))))}.")


@lru_cache(maxsize=8)
def _ciphers(keys: tuple[str, ...]) -> dict[str, AESGCM]:
    """By a name that tells nothing of the key, in the order of the setting."""
    derived = [
        HKDF(SHA256(), length=32, salt=None, info=b"imp-gateway sealing").derive(key.encode())
        for key in keys
    ]
    return {hashlib.sha256(b"name\n" + key).hexdigest()[:8]: AESGCM(key) for key in derived}
