"""Pages of the menu, to jump to."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts import navigation
from core.search import LIMIT, Group, Hit


def find(request: Any, text: str) -> Group:
    links = navigation.links(request, getattr(request, "organization", None), counts=False)
    found = [link for link in links if text.casefold() in str(link.label).casefold()]
    hits = [Hit("", str(link.label), str(link.heading), link.url) for link in found]
    return Group("page", _("Pages"), "corner-down-right", hits if not text else hits[:LIMIT])
