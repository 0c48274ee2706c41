"""Why a document, or a part of it, was not taken: a code and details to keep, words to show.

Kept apart, so that what a worker found is told in the language of whoever reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from catalog import rules
from core import fetch
from core.errors import InvalidInput

MAX_BYTES = 5 * 1024 * 1024
MEGABYTES = MAX_BYTES // 1024**2


class Unreadable(Exception):
    """The whole document is of no use."""

    def __init__(self, code: str, **details: Any) -> None:
        super().__init__(code)
        self.code = code
        self.details = details


def words(code: str, details: Mapping[str, Any]) -> str:
    """Why the document could not be read: what happened, and what to do."""
    if code.startswith("fetch."):
        return fetch.words(code.removeprefix("fetch."), dict(details))
    known = {
        "too_large": _(
            "The document has %(megabytes)s MB; %(limit)s MB are read at most. Leave out examples, or "
            "split it into several services."
        ),
        "empty": _("The document is empty."),
        "encoding": _("The document is not text in UTF-8."),
        "json": _("The document is not valid JSON: line %(line)s, column %(column)s: %(reason)s."),
        "yaml": _("The document is not valid YAML: line %(line)s, column %(column)s: %(reason)s."),
        "documents": _("The file holds several YAML documents. Import them one by one."),
        "deep": _("The document is nested more than %(limit)s levels deep."),
        "bomb": _(
            "The document repeats itself through YAML aliases until it is more than %(limit)s parts. "
            "Write it without them."
        ),
        "cycle": _("The YAML alias “%(name)s” contains itself. Write it without it."),
        "not_object": _(
            "The document is not OpenAPI: it has to be an object, with “openapi” in it."
        ),
        "not_openapi": _(
            "This is not an OpenAPI document: neither “openapi: 3.…” nor “swagger: 2.0” is in it."
        ),
        "version": _("OpenAPI %(version)s is not supported. Use 3.0, 3.1 or Swagger 2.0."),
        "no_paths": _("The document describes no paths, so there is nothing to route."),
        "twice": _("“%(key)s” is there twice. Only one of them could count: remove the other."),
        "stuck": _("The document was not read in time. Try again."),
    }
    return known[code] % details


def reason(code: str, details: Mapping[str, Any]) -> str:
    """Why a part of the document became no route, or became another one than it looks."""
    if code == "refused":
        return _refusal(details)
    known = {
        "remote": _("It refers to another document, %(ref)s, which is not fetched."),
        "missing": _("It refers to %(ref)s, which is not in the document."),
        "circular": _("It refers to itself through %(ref)s."),
        "malformed": _("It is not an object."),
        "no_slash": _("A path starts with “/”."),
        "method": _("Gateways do not route the method %(method)s."),
        "no_methods": _("It has no operation."),
        "taken": _("%(method)s is described by %(path)s already, which matches the same calls."),
        "trailing": _(
            "It ends in “/”, so it becomes a prefix route: what is below it passes, too."
        ),
        "servers": _("It names servers of its own. All routes go to the backends of the service."),
        "too_many": _("A service has at most %(limit)s routes."),
        "webhooks": _("Webhooks are calls that your API makes. They are not routed."),
        "server": _("This server is no usable address. Add a backend below."),
        "other_server": _("Only the first server is used."),
        "cut": _("The text is cut to %(limit)s characters."),
    }
    return known[code] % details


def _refusal(details: Mapping[str, Any]) -> str:
    """The rule is asked once more, for its words in this language."""
    try:
        rules.route({"match": details["match"], "path": details["path"], "methods": ["GET"]})
    except InvalidInput as error:
        return error.message
    return _("Gateways now accept this path. Import the document again.")
