"""The wizard's memory: answers kept as they are typed, and judged when their step is left.

One draft per person and product. Its version tells two tabs or devices apart: who would overwrite what
somebody else saved meanwhile is refused, but a tab may always save over its own last word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import access
from catalog.models import Gateway, Product
from clusters.models import Cluster
from core.errors import DomainError, InvalidInput
from core.locks import hold
from publishing import rules
from publishing.compile import compile_bundle, definition_of
from publishing.differences import Comparison, compare
from publishing.models import AuthMode, ProductPublish, PublishDraft, Visibility
from publishing.services import checks, publishes, revisions
from publishing.states import DraftStep

STEPS = list(DraftStep)
ANSWERS: dict[str, tuple[str, ...]] = {
    DraftStep.CLUSTER: ("cluster_id",),
    DraftStep.GATEWAY: ("gateway_id",),
    DraftStep.SETTINGS: (
        "environment",
        "hostname_base",
        "auth_mode",
        "auth_config",
        "visibility",
        "approval_required",
    ),
    DraftStep.REVIEW: (),
}
MAX_TEXT = 2000  # kept of what is typed; the rules say less


class DraftChanged(DomainError):
    """Somebody else, or another tab, was faster. `draft` is what is there now; None: nothing."""

    code = "draft_changed"

    def __init__(self, draft: PublishDraft | None) -> None:
        super().__init__(
            _("This draft was changed in another tab or on another device since you opened it.")
            if draft
            else _("This draft is gone: it became a publish, or it was discarded."),
            code=self.code if draft else "draft_gone",
            details={"version": draft.version} if draft else {},
        )
        self.draft = draft


class Saved(NamedTuple):
    draft: PublishDraft
    dropped: Gateway | None  # the choice that the new cluster's agents cannot drive


def of(actor: Any, product_id: UUID) -> PublishDraft | None:
    return PublishDraft.objects.visible_to(actor).filter(product=product_id).first()


def reached(draft: PublishDraft | None) -> DraftStep:
    """The last step that may be opened: each needs the answers of those before it."""
    data = draft.data if draft else {}
    if not data.get("cluster_id"):
        return DraftStep.CLUSTER
    if not data.get("gateway_id"):
        return DraftStep.GATEWAY
    try:
        rules.clean(_settings(data))
    except DomainError:
        return DraftStep.SETTINGS
    return DraftStep.REVIEW


@transaction.atomic
def save(
    *,
    actor: Any,
    product_id: UUID,
    step: str,
    answers: Mapping[str, Any],
    advance: bool = True,
    leave: bool = True,
    version: int | None = None,
    writer: str = "",
) -> Saved:
    """Keep a step's answers. `advance`: judge them, and go on to the next step.

    `version` is the one that the answers were typed upon; None overwrites whatever is there. `leave`: the
    writer goes to another page now, and what it sends late counts no more.
    """
    product = _workable(actor, product_id)
    draft = _locked(actor, product, version)
    data = draft.data | {key: _kept(answers[key], key) for key in ANSWERS[step] if key in answers}
    dropped = _unfit(actor, product, data) if step == DraftStep.CLUSTER else None
    if dropped:
        data.pop("gateway_id")
    if data != draft.data:
        _refuse_older(draft, version, writer)
        draft.data = data
        draft.version += 1
    if advance:
        _judge(actor, product, data, DraftStep(step))
    at = STEPS.index(DraftStep(step)) + advance
    draft.step = STEPS[min(at, len(STEPS) - 1)]
    draft.writer = "" if leave else writer
    draft.save()
    return Saved(draft, dropped)


@transaction.atomic
def create(
    *, actor: Any, product_id: UUID, version: int | None = None, writer: str = ""
) -> ProductPublish:
    """The last step: the draft becomes a DRAFT publish, of which no gateway hears yet."""
    product = _workable(actor, product_id)
    draft = _existing(actor, product)
    _refuse_older(draft, version, writer)
    for step in (DraftStep.CLUSTER, DraftStep.GATEWAY, DraftStep.SETTINGS):
        _judge(actor, product, draft.data, step, chosen=True)
    publish = publishes.create(
        actor=actor,
        organization_id=product.organization_id,
        product_id=product.pk,
        cluster_id=UUID(draft.data["cluster_id"]),
        gateway_id=UUID(draft.data["gateway_id"]),
        **_settings(draft.data),
    )
    draft.delete()
    return publish


@transaction.atomic
def discard(*, actor: Any, product_id: UUID) -> None:
    """Nothing else knows of a draft, so nothing else changes."""
    product = _workable(actor, product_id)
    _existing(actor, product).delete()


# --- What a publish would do -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Preview:
    """Of a publish that is not there yet: what it would serve, and what stands in its way."""

    publish: ProductPublish
    bundle: dict[str, Any]
    comparison: Comparison
    refusal: DomainError | None


def preview(
    *, actor: Any, product_id: UUID, cluster_id: UUID, gateway_id: UUID, **settings: Any
) -> Preview:
    """Validates as creating does, and saves nothing."""
    product = _workable(actor, product_id)
    return _previewed(
        actor,
        product,
        _cluster(actor, product, cluster_id),
        _gateway(actor, product, gateway_id),
        settings,
    )


def preview_of(
    *, actor: Any, product: Product, cluster: Cluster, gateway: Gateway, draft: PublishDraft
) -> Preview:
    """Of a draft whose rows are at hand."""
    return _previewed(actor, product, cluster, gateway, _settings(draft.data))


def _previewed(
    actor: Any, product: Product, cluster: Cluster, gateway: Gateway, settings: Any
) -> Preview:
    publish = ProductPublish(
        organization=product.organization,
        product=product,
        cluster=cluster,
        gateway=gateway,
        **rules.clean(settings),
    )
    definition = definition_of(publish)
    bundle = compile_bundle(definition).bundle
    refusal = revisions.refusal(publish, actor=actor, definition=definition)
    return Preview(publish, bundle, compare(None, bundle), refusal)


# --- Judging ---------------------------------------------------------------------------------------


def _judge(
    actor: Any, product: Product, data: dict[str, Any], step: DraftStep, *, chosen: bool = False
) -> None:
    """`chosen`: the cluster was taken on an earlier step; maintenance began after that."""
    if step == DraftStep.REVIEW:
        return
    cluster = _cluster(actor, product, data.get("cluster_id"))
    if step == DraftStep.CLUSTER and not chosen:
        checks.in_service(cluster)
    if step == DraftStep.GATEWAY:
        checks.drivable(_gateway(actor, product, data.get("gateway_id")), cluster)
    if step == DraftStep.SETTINGS:
        gateway = _gateway(actor, product, data.get("gateway_id"))
        settings = rules.clean(_settings(data))
        checks.enforced(settings["auth_mode"])
        publish = ProductPublish(product=product, cluster=cluster, gateway=gateway, **settings)
        checks.target_unoccupied(publish)


def _settings(data: Mapping[str, Any]) -> rules.Settings:
    """What OAuth 2.0 needs stays in the draft while another mode is chosen."""
    mode = data.get("auth_mode", "")
    return {
        "environment": data.get("environment", ""),
        "hostname_base": data.get("hostname_base", ""),
        "auth_mode": mode,
        "auth_config": data.get("auth_config", {}) if mode == AuthMode.OAUTH2 else {},
        "visibility": data.get("visibility") or Visibility.PUBLIC,
        "approval_required": data.get("approval_required", False),
    }


def _unfit(actor: Any, product: Product, data: dict[str, Any]) -> Gateway | None:
    """The chosen gateway, if the chosen cluster's agents cannot drive it."""
    if not data.get("gateway_id"):
        return None
    try:
        cluster = _cluster(actor, product, data.get("cluster_id"))
        gateway = _gateway(actor, product, data["gateway_id"])
    except InvalidInput:
        return None
    try:
        checks.drivable(gateway, cluster)
    except DomainError:
        return gateway
    return None


def _cluster(actor: Any, product: Product, pk: Any) -> Cluster:
    rows = Cluster.objects.offered_to(actor).open_for(product.organization)
    found = rows.filter(pk=_id(pk)).first()
    if found is None:
        raise InvalidInput(
            _("Choose a cluster. It must be open to your organization."), field="cluster_id"
        )
    return found


def _gateway(actor: Any, product: Product, pk: Any) -> Gateway:
    rows = Gateway.objects.visible_to(actor).filter(organization=product.organization_id)
    found = rows.filter(pk=_id(pk)).first()
    if found is None:
        raise InvalidInput(_("Choose one of your gateways."), field="gateway_id")
    return found


def _id(value: Any) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


# --- Keeping ---------------------------------------------------------------------------------------


def _kept(value: Any, field: str) -> Any:
    """Half-typed text may wait; only its size and shape are bounded."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) <= MAX_TEXT and "\x00" not in value:
        return value
    if isinstance(value, Mapping):
        return {
            str(key)[:40]: _kept(
                " ".join(map(str, item)) if isinstance(item, list) else item, field
            )
            for key, item in list(value.items())[:10]
        }
    raise InvalidInput(
        _("Enter text of at most %(limit)d characters.") % {"limit": MAX_TEXT}, field=field
    )


def _workable(actor: Any, product_id: UUID) -> Product:
    rows = Product.objects.visible_to(actor).select_related("organization")
    product = rows.get(pk=product_id)
    access.require(actor, product.organization_id)
    hold(Product, product_id)
    return product


def _locked(actor: Any, product: Product, version: int | None) -> PublishDraft:
    """The draft to write, made if this is the first answer. Version 0: there was none."""
    if not version:
        PublishDraft.objects.get_or_create(product=product, user=actor, defaults={"version": 0})
    return _existing(actor, product)


def _existing(actor: Any, product: Product) -> PublishDraft:
    draft = PublishDraft.objects.select_for_update().filter(product=product, user=actor).first()
    if draft is None:
        raise DraftChanged(None)
    return draft


def _refuse_older(draft: PublishDraft, version: int | None, writer: str) -> None:
    """Not to a tab that saves over its own last word."""
    mine = bool(writer) and writer == draft.writer
    if version is not None and version != draft.version and not mine:
        raise DraftChanged(draft)
