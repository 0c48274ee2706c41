"""Reads the environment. Every variable is named in .env.example, and a test keeps it so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}


def text(name: str, default: str | None = None) -> str:
    """Return NAME, or the contents of the file NAME_FILE points to (mounted secrets)."""
    if path := os.environ.get(f"{name}_FILE"):
        return _read(name, path)
    value = os.environ.get(name, default)
    if value is None:
        raise ImproperlyConfigured(f"{name} is not set; see .env.example.")
    return value.strip()


def boolean(name: str, *, default: bool) -> bool:
    value = text(name, str(default)).lower()
    if value not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")
    return value in TRUE


def integer(name: str, default: int, *, minimum: int = 0) -> int:
    value = text(name, str(default))
    try:
        number = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {value!r}.") from None
    if number < minimum:
        raise ImproperlyConfigured(f"{name} must be at least {minimum}, not {number}.")
    return number


def listing(name: str, default: str = "") -> list[str]:
    """Values separated by commas; blanks are dropped."""
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def secret(name: str, *, debug_default: str | None) -> str:
    """A secret of at least 32 characters. Outside DEBUG there is no default."""
    value = text(name, debug_default)
    if len(value) < 32:
        raise ImproperlyConfigured(f"{name} must have at least 32 characters.")
    return value


def secrets(name: str, *, debug_default: str | None) -> list[str]:
    """Secrets as in `secret`, separated by commas or line breaks, at least one."""
    values = text(name, debug_default).replace("\n", ",").split(",")
    found = [value.strip() for value in values if value.strip()]
    if not found or any(len(value) < 32 for value in found):
        raise ImproperlyConfigured(f"{name} needs keys of at least 32 characters each.")
    return found


def database(name: str, default: str | None = None) -> dict[str, Any]:
    """A PostgreSQL URL as Django's DATABASES entry.

    `postgresql://user:password@host:port/name`; a socket folder goes in the query
    (`postgresql://user@/name?host=/run/pg`), and so does any other libpq option.
    """
    url = urlsplit(text(name, default))
    if url.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(f"{name} must start with postgresql://.")
    options = {key: values[-1] for key, values in parse_qs(url.query).items()}
    host = options.pop("host", None) or unquote(url.hostname or "")
    port = options.pop("port", None) or str(url.port or "")
    database_name = unquote(url.path.lstrip("/"))
    if not database_name:
        raise ImproperlyConfigured(f"{name} names no database.")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database_name,
        "USER": options.pop("user", None) or unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "HOST": host,
        "PORT": port,
        "OPTIONS": options,
    }


def _read(name: str, path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE: {error}") from None
