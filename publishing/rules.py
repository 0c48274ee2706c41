"""What a provider may write about a publish. Each rule names the field it is about."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, TypedDict
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from catalog import addresses
from catalog.text import choice, line, listing, url
from core.errors import InvalidInput
from publishing.models import AuthMode, Environment, Visibility

MAX_SCOPES = 50
OAUTH2_KEYS = frozenset(("issuer", "audience", "scopes"))


class Settings(TypedDict):
    """How and for whom a product is published; where is said by ids."""

    environment: str
    hostname_base: str
    auth_mode: str
    auth_config: Mapping[str, Any]
    visibility: str
    approval_required: bool


def clean(settings: Settings) -> dict[str, Any]:
    """The model's values."""
    auth_mode = choice(settings["auth_mode"], field="auth_mode", known=AuthMode.values)
    return {
        "environment": choice(
            settings["environment"], field="environment", known=Environment.values
        ),
        "hostname_base": hostname(settings["hostname_base"]),
        "auth_mode": auth_mode,
        "auth_config": auth_config(auth_mode, settings["auth_config"]),
        "visibility": choice(settings["visibility"], field="visibility", known=Visibility.values),
        "approval_required": _flag(settings["approval_required"], field="approval_required"),
    }


def hostname(value: str, *, field: str = "hostname_base") -> str:
    """A host name by RFC 1123, lower case and without port: what calls carry in their Host header."""
    name = addresses.host(value, field=field)
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name
    raise InvalidInput(
        _("Enter a host name, not an address: callers and gateways tell products apart by it."),
        field=field,
    )


def auth_config(mode: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """OAuth 2.0 says whose tokens count; the other modes have nothing to set."""
    if not isinstance(value, Mapping):
        raise InvalidInput(_("Enter an object."), field="auth_config")
    given = {key: item for key, item in value.items() if item not in (None, "", [])}
    if mode != AuthMode.OAUTH2:
        if given:
            raise InvalidInput(
                _("Only OAuth 2.0 has settings. Leave auth_config empty."), field="auth_config"
            )
        return {}
    if unknown := sorted(map(str, given.keys() - OAUTH2_KEYS)):
        raise InvalidInput(
            _("“%(key)s” is unknown; use issuer, audience and scopes.") % {"key": unknown[0][:80]},
            field="auth_config",
        )
    return {
        "issuer": _issuer(given.get("issuer", "")),
        "audience": line(given.get("audience", ""), field="auth_config.audience", limit=200),
        "scopes": _scopes(given.get("scopes", [])),
    }


def _issuer(value: str) -> str:
    field = "auth_config.issuer"
    found = url(value, field=field)
    parts = urlsplit(found)
    if parts.scheme != "https" or parts.query or parts.fragment or parts.username is not None:
        raise InvalidInput(
            _("Enter the issuer's https:// address, as it stands in its tokens."), field=field
        )
    return found


def _scopes(value: Any) -> list[str]:
    """A list, or words as the wizard's one line has them."""
    field = "auth_config.scopes"
    words = value.split() if isinstance(value, str) else listing(value, field=field, limit=1000)
    found = sorted({line(word, field=field, limit=100) for word in words})
    if len(found) > MAX_SCOPES or any(" " in scope for scope in found):
        raise InvalidInput(
            _("At most %(limit)d scopes, each one word.") % {"limit": MAX_SCOPES}, field=field
        )
    return found


def _flag(value: bool, *, field: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(_("Say true or false."), field=field)
    return value


def note(value: str, *, field: str, limit: int) -> str:
    """A few words of a person, on one line."""
    words = " ".join(value.split()) if isinstance(value, str) else value
    return line(words, field=field, limit=limit, required=False)
