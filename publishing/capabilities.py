"""What each class of gateway enforces: asked before one is chosen, so that nothing is dropped in silence.

A driver that learns something says it here, and with it the wizard does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, OuterRef, Q, TextChoices
from django.utils.translation import gettext_lazy as _

from catalog.models import Policy, Product, Route
from publishing.models import AuthMode
from publishing.services import checks


class Capability(TextChoices):
    API_KEY = "api-key", _("API keys")
    OAUTH2 = "oauth2", _("OAuth 2.0 tokens")
    RATE = "rate", _("Calls per minute of a plan")
    QUOTA = "quota", _("Calls per day of a plan")
    CORS = "cors", _("CORS")
    HEADERS = "headers", _("Header transforms")
    IP = "ip", _("IP allow and deny lists")
    REQUEST_SIZE = "request_size", _("Request size")
    REWRITE = "rewrite", _("Path parameters and rewrites")
    RETRIES = "retries", _("Timeouts and retries")
    HTTPS = "https", _("HTTPS listeners")


TIMEOUT_MS = Route._meta.get_field("timeout_ms").default
# The auth modes are checked at every publish, so what is enforced of them is said there.
_MODES = {AuthMode.API_KEY: Capability.API_KEY, AuthMode.OAUTH2: Capability.OAUTH2}
_AUTH = frozenset(capability for mode, capability in _MODES.items() if mode in checks.ENFORCED)
_ALL_BUT_AUTH = frozenset(Capability) - frozenset(_MODES.values())
ENFORCED: dict[str, frozenset[Capability]] = {"envoy": _AUTH | _ALL_BUT_AUTH - {Capability.QUOTA}}


@dataclass(frozen=True, slots=True)
class Row:
    capability: Capability
    uses: int  # of the product's routes or services; 0 for what a publish or a plan decides
    enforced: dict[str, bool]  # by class


def table(product: Product, classes: Iterable[str]) -> list[Row]:
    """Every capability by these classes of gateways; first what the product's services use."""
    uses = _uses(product)
    rows = [
        Row(each, uses[each], {name: each in ENFORCED.get(name, ()) for name in classes})
        for each in Capability
    ]
    return sorted(rows, key=lambda row: not row.uses)


def _uses(product: Product) -> Counter[str]:
    kinds = Policy.objects.filter(service=OuterRef("pk")).order_by().values("kind")
    other_time = ~Q(routes__timeout_ms=TIMEOUT_MS) | Q(routes__retries__gt=0)
    other_path = Q(routes__path__contains="{") | Q(routes__rewrite__gt="")
    services = product.services.order_by().annotate(
        kinds=ArraySubquery(kinds),
        rewrite=Count("routes", filter=other_path),
        retries=Count("routes", filter=other_time & Q(routes__isnull=False)),
    )
    uses: Counter[str] = Counter()
    for policies, rewrite, retries in services.values_list("kinds", "rewrite", "retries"):
        uses.update(policies)
        uses.update(rewrite=rewrite, retries=retries)
    return uses
