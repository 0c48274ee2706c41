"""Paths and hosts, each in the one form that gateways and resolvers compare."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import quote

from django.utils.translation import gettext as _

from catalog.text import CONTROL, line, text
from core.errors import InvalidInput

MAX_PATH = 500
PERCENT = re.compile(r"%(.{0,2})", re.DOTALL)
PATH_CHARACTER = re.compile(r"[A-Za-z0-9\-._~!$&'()+,;=:@/%]")
UNRESERVED = re.compile(r"[A-Za-z0-9\-._~]")
PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]{0,63})\}")
MAX_PARAMETERS = 9  # as many as a rewrite can name
BRACKETS = re.compile(r"^\[(.*)\]$")
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# What getaddrinfo takes for a number: 127.1, 0x7f.1, 2130706433.
NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")


def path(value: str, *, field: str, limit: int = MAX_PATH) -> str:
    """An absolute path in the form gateways compare: nothing to resolve, each character in one spelling."""
    value = text(value, field=field, limit=limit)
    if not value.startswith("/"):
        raise InvalidInput(_("A path starts with “/”."), field=field)
    _refuse_hints(value, field)
    value = PERCENT.sub(lambda found: _percent(found[1], field), _encoded(value))
    if len(value) > limit:
        raise InvalidInput(
            _("At most %(limit)d characters once percent-encoded.") % {"limit": limit}, field=field
        )
    wrong = next((mark for mark in value if not PATH_CHARACTER.fullmatch(mark)), None)
    if wrong:
        raise InvalidInput(
            _("“%(mark)s” is not allowed in a path. Write %(code)s.")
            % {"mark": wrong, "code": f"%{ord(wrong):02X}"},
            field=field,
        )
    _check_segments(value, field)
    return value


def optional_path(value: str, *, field: str, limit: int = MAX_PATH) -> str:
    return path(value, field=field, limit=limit) if value else ""


def template(value: str, *, field: str, limit: int = MAX_PATH) -> str:
    """A path of which whole segments may be parameters: /users/{id}/orders."""
    segments = text(value, field=field, limit=limit).split("/")
    names = {
        place: _parameter(segment, field)
        for place, segment in enumerate(segments)
        if "{" in segment or "}" in segment
    }
    _check_names(list(names.values()), field)
    # Parameters take no part in the rules of spelling.
    plain = "/".join("_" if place in names else part for place, part in enumerate(segments))
    kept = path(plain, field=field, limit=limit).split("/")
    return "/".join(
        f"{{{names[place]}}}" if place in names else part for place, part in enumerate(kept)
    )


def parameters(path: str) -> list[str]:
    return PARAMETER.findall(path)


def canonical(path: str) -> str:
    """Two paths that match the same calls are one: what a parameter is called means nothing."""
    return PARAMETER.sub("{}", path)


def _parameter(segment: str, field: str) -> str:
    found = PARAMETER.fullmatch(segment)
    if not found:
        raise InvalidInput(
            _(
                "“%(segment)s”: a parameter is a whole part between slashes, such as {id}, "
                "of letters, digits, “_”, “-” and “.”."
            )
            % {"segment": segment[:80]},
            field=field,
        )
    return found[1]


def _check_names(names: list[str], field: str) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InvalidInput(
            _("The parameter “%(name)s” is there twice.") % {"name": twice}, field=field
        )
    if len(names) > MAX_PARAMETERS:
        raise InvalidInput(
            _("At most %(limit)d parameters in a path.") % {"limit": MAX_PARAMETERS}, field=field
        )


def _refuse_hints(value: str, field: str) -> None:
    """What people write by habit, each with what to write instead."""
    hints = {
        "?": _("A path has no query: leave out “?” and what follows."),
        "#": _("A path has no fragment: leave out “#” and what follows."),
        "\\": _("Use “/”, not “\\”, between the segments of a path."),
        "*": _("“*” is not a wildcard here. A prefix route matches everything below its path."),
        "{": _("“{” begins a parameter. Only the paths of routes may have parameters."),
        "}": _("“}” ends a parameter. Only the paths of routes may have parameters."),
    }
    for mark, hint in hints.items():
        if mark in value:
            raise InvalidInput(hint, field=field)
    if re.search(r"\s", value) or CONTROL.search(value):
        raise InvalidInput(
            _("Spaces and control characters are not allowed in a path."), field=field
        )


def _encoded(value: str) -> str:
    """Other scripts as UTF-8 escapes: that is how clients send them."""
    return "".join(mark if mark.isascii() else quote(mark) for mark in value)


def _percent(digits: str, field: str) -> str:
    """One spelling per character; none for what could mean another path after decoding."""
    if not re.fullmatch(r"[0-9A-Fa-f]{2}", digits):
        raise InvalidInput(
            _("“%%%(digits)s” is not a percent escape. Write %%25 for “%%”.") % {"digits": digits},
            field=field,
        )
    code = int(digits, 16)
    if code < 0x20 or code == 0x7F or chr(code) in "/\\":
        raise InvalidInput(
            _("“%%%(digits)s” is not allowed in a path: gateways refuse such calls.")
            % {"digits": digits},
            field=field,
        )
    mark = chr(code)
    return mark if UNRESERVED.fullmatch(mark) else f"%{digits.upper()}"


def _check_segments(value: str, field: str) -> None:
    if value == "/":
        return
    segments = value[1:].split("/")
    if segments[-1] == "":
        raise InvalidInput(
            _("Leave out the “/” at the end: “%(path)s”.") % {"path": value.rstrip("/") or "/"},
            field=field,
        )
    if "" in segments:
        raise InvalidInput(_("“//” is not allowed in a path."), field=field)
    if "." in segments or ".." in segments:
        raise InvalidInput(_("“.” and “..” are not allowed as parts of a path."), field=field)


def host(value: str, *, field: str) -> str:
    """A DNS name by RFC 1123 or an IP address, in the one spelling that resolvers agree on."""
    value = line(value, field=field, limit=255).lower()
    try:
        address = ipaddress.ip_address(BRACKETS.sub(r"\1", value))
    except ValueError:
        return _dns_name(value, field)
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            raise InvalidInput(_("An address with a zone works on one machine only."), field=field)
        return str(address.ipv4_mapped or address)
    return str(address)


def _dns_name(value: str, field: str) -> str:
    if "://" in value or "/" in value or "@" in value:
        raise InvalidInput(_("Enter the host alone, without scheme or path."), field=field)
    if ":" in value:
        raise InvalidInput(_("Enter the host alone; the port has its own field."), field=field)
    name = value.removesuffix(".")
    labels = name.split(".")
    if NUMERIC_LABEL.fullmatch(labels[-1]):
        raise InvalidInput(
            _("“%(host)s” is neither a DNS name nor an IP address.") % {"host": value[:80]},
            field=field,
        )
    if len(name) > 253 or not all(DNS_LABEL.fullmatch(label) for label in labels):
        raise InvalidInput(
            _(
                "“%(host)s” is not a DNS name. Use letters, digits and hyphens, in parts of at most "
                "63 characters between dots; write other scripts in their xn-- form."
            )
            % {"host": value[:80]},
            field=field,
        )
    return name
