"""What the wizard's pages tell at each step, in a number of queries that does not grow with the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Case, Count, IntegerField, Q, QuerySet, Value, When
from django.urls import reverse
from django.utils.translation import gettext as _

from catalog.models import Gateway, Product
from clusters.filters import ClusterFilter
from clusters.models import Cluster, ClusterQuerySet
from clusters.models import Status as ClusterStatus
from core.pages import Pages
from publishing import capabilities
from publishing.models import AuthMode, Environment, ProductPublish, PublishDraft, Visibility
from publishing.services import checks, drafts
from publishing.states import DraftStep, Status
from publishing.stories import services_of

PAGE_SIZE = 10  # clusters
SUBSCRIBED = Q(subscriptions__status__in=["active", "suspended"])
# Those that serve at once come first, those that cannot be chosen last.
EAGERNESS = Case(
    When(status=ClusterStatus.ACTIVE, then=Value(0)),
    When(status=ClusterStatus.MAINTENANCE, then=Value(2)),
    default=Value(1),
    output_field=IntegerField(),
)


@dataclass(frozen=True, slots=True)
class Step:
    value: str
    label: str
    url: str  # "" if it cannot be opened yet
    detail: str  # what was chosen there
    current: bool


@dataclass(frozen=True, slots=True)
class Chosen:
    """On earlier steps, and still there."""

    cluster: Cluster | None
    gateway: Gateway | None


@dataclass(frozen=True, slots=True)
class Choice:
    """A gateway, and why it cannot be chosen."""

    gateway: Gateway
    refusal: str


def tell(
    user: Any,
    product: Product,
    draft: PublishDraft | None,
    step: DraftStep,
    look: Mapping[str, str],
) -> dict[str, Any]:
    """`look`: what is searched for and ticked on the page itself, before any draft knows of it."""
    # The gateway's own step shows all of them anyway.
    gateway = _gateway(product, draft) if step != DraftStep.GATEWAY else None
    cluster = _cluster(user, product, draft.data.get("cluster_id") if draft else None)
    chosen = Chosen(cluster, gateway)
    return {
        "product": product,
        "draft": draft,
        "step": step,
        "steps": _steps(product, draft, step, chosen),
        "cluster": chosen.cluster,
        "gateway": chosen.gateway,
    } | TELL[step](user, product, draft, chosen, look)


def _steps(
    product: Product, draft: PublishDraft | None, step: DraftStep, chosen: Chosen
) -> list[Step]:
    address = reverse("publishing:wizard", args=[product.pk])
    furthest = drafts.STEPS.index(drafts.reached(draft))
    data = draft.data if draft else {}
    details = {
        DraftStep.CLUSTER: chosen.cluster.name if chosen.cluster else "",
        DraftStep.GATEWAY: chosen.gateway.name if chosen.gateway else "",
        DraftStep.SETTINGS: _in_short(data) if furthest == len(drafts.STEPS) - 1 else "",
        DraftStep.REVIEW: "",
    }
    return [
        Step(
            value=each.value,
            label=str(each.label),
            url=f"{address}?step={each.value}" if number <= furthest and each != step else "",
            detail=details[each],
            current=each == step,
        )
        for number, each in enumerate(drafts.STEPS)
    ]


def _in_short(data: dict[str, Any]) -> str:
    mode, visibility = AuthMode(data["auth_mode"]), Visibility(data.get("visibility") or "public")
    return f"{data['environment']} · {mode.label} · {visibility.label}"


# --- The steps -------------------------------------------------------------------------------------


def _clusters(
    user: Any, product: Product, draft: PublishDraft | None, chosen: Chosen, look: Mapping[str, str]
) -> dict[str, Any]:
    """A page of those that match; the one that is ticked stays in sight on every page."""
    search = look.get("search", "").strip()
    asked = ClusterFilter({"search": search}, _offered(user, product))
    found = asked.qs if asked.is_valid() else asked.queryset.none()
    page = Pages(found.order_by(EAGERNESS, "name", "pk"), PAGE_SIZE).get_page(look.get("page"))
    picked = look.get("cluster_id") or (draft.data.get("cluster_id", "") if draft else "")
    shown = list(page.object_list)
    if picked not in {str(row.pk) for row in shown}:
        other = chosen.cluster is None or str(chosen.cluster.pk) != picked
        kept = _cluster(user, product, picked) if other else chosen.cluster
        shown = [kept, *shown] if kept else shown
    here: dict[UUID, list[ProductPublish]] = {}
    for publish in _publishes(product).filter(cluster__in=[row.pk for row in shown]):
        here.setdefault(publish.cluster_id, []).append(publish)
    return {
        "clusters": [(cluster, here.get(cluster.pk, [])) for cluster in shown],
        "page": page,
        "search": search,
        "picked": picked,
    }


def _gateways(user: Any, product: Product, draft: Any, chosen: Chosen, look: Any) -> dict[str, Any]:
    cluster = chosen.cluster
    mine = Gateway.objects.filter(organization=product.organization_id)
    rows = list(mine.prefetch_related("listeners"))
    driven = checks.driven_by(cluster) if cluster else None
    choices = [Choice(row, _refusal(row, cluster, driven)) for row in rows]
    classes = sorted({row.gateway_class for row in rows})
    return {
        "choices": sorted(choices, key=lambda choice: bool(choice.refusal)),
        "classes": classes,
        "capabilities": capabilities.table(product, classes),
    }


def _refusal(gateway: Gateway, cluster: Cluster | None, driven: frozenset[str] | None) -> str:
    if driven is not None and gateway.gateway_class not in driven:
        return _("No agent of this cluster can drive %(class)s.") % {"class": gateway.gateway_class}
    listeners = gateway.listeners.all()
    if not listeners:
        return _("It has no listener: give it a port first.")
    refused = [row.port for row in listeners if cluster and not cluster.allows_port(row.port)]
    if refused:
        return _("This cluster does not allow port %(ports)s.") % {
            "ports": ", ".join(map(str, sorted(set(refused))))
        }
    return ""


def _settings(user: Any, product: Product, draft: Any, chosen: Chosen, look: Any) -> dict[str, Any]:
    data = draft.data if draft else {}
    taken = {
        publish.environment: publish
        for publish in _publishes(product)
        if str(publish.cluster_id) == data.get("cluster_id")
        and str(publish.gateway_id) == data.get("gateway_id")
        and publish.status != Status.WITHDRAWN
    }
    return settings_choices(taken) | {
        "base_paths": sorted({row.base_path for row in product.services.all()})
    }


def settings_choices(taken: Mapping[str, ProductPublish] | None = None) -> dict[str, Any]:
    """`taken`: the publishes that have an environment's place already."""
    others = taken or {}
    return {
        "environments": [
            (Environment.DEV, _("Development"), others.get("dev")),
            (Environment.STAGE, _("Staging"), others.get("stage")),
            (Environment.PROD, _("Production"), others.get("prod")),
        ],
        "modes": [
            (AuthMode.NONE, _("Anyone may call. Not recommended for production.")),
            (AuthMode.API_KEY, _("Each subscription has its keys.")),
            (AuthMode.OAUTH2, _("Callers bring a token of your issuer.")),
        ],
        "enforced": [str(mode) for mode in checks.ENFORCED],
        "visibilities": [
            (Visibility.PUBLIC, _("Everyone finds it in the marketplace and may subscribe.")),
            (Visibility.PRIVATE, _("Only consumers you invite can see it.")),
        ],
    }


def _review(
    user: Any, product: Product, draft: PublishDraft, chosen: Chosen, look: Any
) -> dict[str, Any]:
    if chosen.cluster is None or chosen.gateway is None:  # gone since it was chosen
        return {"gone": True}
    preview = drafts.preview_of(
        actor=user,
        product=product,
        cluster=chosen.cluster,
        gateway=chosen.gateway,
        draft=draft,
    )
    return {"preview": preview, "services": services_of(preview.bundle)}


TELL = {
    DraftStep.CLUSTER: _clusters,
    DraftStep.GATEWAY: _gateways,
    DraftStep.SETTINGS: _settings,
    DraftStep.REVIEW: _review,
}


# --- Rows ------------------------------------------------------------------------------------------


def _offered(user: Any, product: Product) -> ClusterQuerySet:
    """Open to the product's organization, whatever else its people belong to."""
    return Cluster.objects.offered_to(user).open_for(product.organization).with_status()


def _cluster(user: Any, product: Product, pk: Any) -> Cluster | None:
    return _offered(user, product).filter(pk=pk).first() if _is_id(pk) else None


def _gateway(product: Product, draft: PublishDraft | None) -> Gateway | None:
    pk = draft.data.get("gateway_id") if draft else None
    rows = Gateway.objects.filter(organization=product.organization_id)
    return rows.filter(pk=pk).first() if _is_id(pk) else None


def _is_id(value: Any) -> bool:
    try:
        UUID(str(value))
    except ValueError:
        return False
    return True


def _publishes(product: Product) -> QuerySet[ProductPublish]:
    return (
        product.publishes.select_related("live_revision")
        .defer("live_revision__document")
        .annotate(subscribers=Count("subscriptions", filter=SUBSCRIBED, distinct=True))
        .order_by("environment", "-created_at")
    )
