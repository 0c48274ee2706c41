"""What people do with a publish: create, change and delete it; publish, withdraw, cancel."""

from __future__ import annotations

from typing import Any, Unpack
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist
from django.db import models, transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import access, audit
from accounts.models import Kind as OrganizationKind
from accounts.models import Organization, Role
from catalog.models import Gateway, Product
from clusters.models import Cluster
from core import versions
from core.errors import DomainError, InvalidTransition
from core.locks import hold
from publishing import rules
from publishing.compile import Compiled, compile_bundle, definition_of
from publishing.models import Deployment, ProductPublish, PublishRevision
from publishing.rules import Settings
from publishing.services import checks, claims, deployments, tls
from publishing.services.timeline import announce, tell
from publishing.states import (
    Happening,
    Kind,
    Progress,
    Status,
    check_publish_move,
    in_words,
)

MAX_NOTE = 500
# Of a subscription. Its own context lies above this one; the database refuses the deletion as well.
OPEN_SUBSCRIPTION = ("pending", "active", "suspended")


class MissingReference(DomainError, ObjectDoesNotExist):
    """An id in a request that names nothing the user may see or use: 404, with the field."""

    status = 404


# --- Definition ------------------------------------------------------------------------------------


@transaction.atomic
def create(
    *,
    actor: Any,
    organization_id: UUID,
    product_id: UUID,
    cluster_id: UUID,
    gateway_id: UUID,
    **settings: Unpack[Settings],
) -> ProductPublish:
    """Prepare a product for a cluster: a DRAFT, of which no gateway hears yet."""
    provider = access.organization_for(actor, organization_id, kind=OrganizationKind.PROVIDER)
    publish = ProductPublish(
        organization=provider,
        product=_product(actor, provider, product_id),
        cluster=_cluster(actor, provider, cluster_id),
        gateway=_gateway(actor, provider, gateway_id),
        created_by=actor,
        **rules.clean(settings),
    )
    checks.drivable(publish.gateway, publish.cluster)
    checks.target_free(publish)
    publish.save(force_insert=True)
    tell(publish, Happening.CREATED, actor=actor)
    announce(publish)
    audit.note(publish, actor, "publish.create", after=describe(publish))
    return publish


@transaction.atomic
def update(
    *,
    actor: Any,
    publish_id: UUID,
    cluster_id: UUID,
    gateway_id: UUID,
    seen: str = "",
    **settings: Unpack[Settings],
) -> ProductPublish:
    """Change where and how it will be published: in DRAFT or WITHDRAWN, with nothing under way.

    `seen` is the version that the caller read: see core.versions.
    """
    publish = workable(actor, publish_id)
    versions.check(publish.updated_at, seen)
    checks.at_rest(publish, _("change its settings"))
    before = describe(publish)
    if cluster_id != publish.cluster_id:
        checks.movable(publish)
        publish.cluster = _cluster(actor, publish.organization, cluster_id)
    if gateway_id != publish.gateway_id:
        publish.gateway = _gateway(actor, publish.organization, gateway_id)
    for field, value in rules.clean(settings).items():
        setattr(publish, field, value)
    after = describe(publish)
    if after == before:
        return publish
    checks.drivable(publish.gateway, publish.cluster)
    checks.target_free(publish)
    publish.save()
    tell(publish, Happening.EDITED, actor=actor)
    announce(publish)
    audit.note(publish, actor, "publish.update", **audit.differing(before, after))
    return publish


@transaction.atomic
def delete(*, actor: Any, publish_id: UUID, seen: str = "") -> None:
    """Admins only, in DRAFT or WITHDRAWN, and never from under an open subscription."""
    publish = workable(actor, publish_id, Role.ADMIN)
    versions.check(publish.updated_at, seen)
    checks.at_rest(publish, _("delete it"))
    count = publish.subscriptions.filter(status__in=OPEN_SUBSCRIPTION).count()
    if count:
        raise DomainError(
            ngettext(
                "This publish is %(status)s, but %(count)d subscription to it is open. "
                "It must be cancelled before the publish can be deleted.",
                "This publish is %(status)s, but %(count)d subscriptions to it are open. "
                "They must be cancelled before the publish can be deleted.",
                count,
            )
            % {"status": in_words(publish.get_status_display()), "count": count},
            code="subscriptions_open",
            details={"status": publish.status, "subscriptions": count},
        )
    audit.note(publish, actor, "publish.delete", before=describe(publish))
    announce(publish)
    publish.delete()


# --- Deployments -----------------------------------------------------------------------------------


@transaction.atomic
def publish(
    *, actor: Any, publish_id: UUID, note: str = "", after: int | None = None
) -> Deployment:
    """Send the product, as it is defined now, to the cluster's gateways. `after`: see nobody_faster."""
    note = note_of(note, field="note")
    row = workable(actor, publish_id)
    checks.nobody_faster(row, after)
    check_publish_move(row.status, Status.PUBLISHED)
    deployments.hold_cluster(row.cluster_id)
    definition = definition_of(row)
    compiled = compile_bundle(definition)
    around = claims.look_around(row, compiled.bundle, actor=actor)
    checks.before_publish(row, definition, around)
    checks.target_free(row)
    tls.check(row, compiled.bundle, around)
    checks.something_new(row, compiled.digest)
    claims.check(row, compiled.bundle, around)
    revision = _revision(row, compiled, actor)
    deployment = deployments.request(row, Kind.PUBLISH, revision, actor=actor, note=note)
    note_request(deployment, actor)
    return deployment


@transaction.atomic
def withdraw(
    *, actor: Any, publish_id: UUID, reason: str = "", after: int | None = None
) -> Deployment:
    """Take the publish off the gateways. Subscriptions and keys stay; maintenance never blocks it."""
    reason = note_of(reason, field="reason")
    row = workable(actor, publish_id)
    checks.nobody_faster(row, after)
    if row.status != Status.PUBLISHED:
        raise InvalidTransition(
            _("This publish is %(status)s; only a published one can be withdrawn.")
            % {"status": in_words(row.get_status_display())},
            details={"status": row.status},
        )
    deployment = deployments.request(row, Kind.WITHDRAW, None, actor=actor, note=reason)
    note_request(deployment, actor)
    return deployment


@transaction.atomic
def cancel(*, actor: Any, deployment_id: UUID) -> Deployment:
    """Only while no agent has heard of it; what was live stays wanted."""
    found = Deployment.objects.visible_to(actor).get(pk=deployment_id)
    row = workable(actor, found.publish_id)
    deployment = deployments.named(row.deployments.all()).get(pk=deployment_id)
    if deployment.status != Progress.QUEUED:
        raise InvalidTransition(
            _("Deployment #%(number)d is %(status)s; only a queued one can be cancelled.")
            % {
                "number": deployment.number,
                "status": in_words(deployment.get_status_display()),
            },
            details={"status": deployment.status},
        )
    deployments.cancel(row, deployment, actor=actor)
    announce(row)
    audit.note(row, actor, "deployment.cancel", before={"number": deployment.number})
    return deployment


def describe(publish: ProductPublish) -> dict[str, Any]:
    """For the audit trail."""
    return {
        "product": str(publish.product),
        "cluster": publish.cluster.name,
        "gateway": publish.gateway.name,
        "environment": publish.environment,
        "hostname_base": publish.hostname_base,
        "auth_mode": publish.auth_mode,
        "auth_config": publish.auth_config,
        "visibility": publish.visibility,
        "approval_required": publish.approval_required,
        "status": publish.status,
    }


# --- Lookups ---------------------------------------------------------------------------------------


def workable(actor: Any, publish_id: UUID, role: Role = Role.MEMBER) -> ProductPublish:
    row = deployments.locked(ProductPublish.objects.visible_to(actor)).get(pk=publish_id)
    access.require(actor, row.organization_id, role)
    return row


def _product(actor: Any, provider: Organization, product_id: UUID) -> Product:
    rows = Product.objects.visible_to(actor).filter(organization=provider)
    return _referenced(rows, product_id, "product_id", _("There is no such product of yours."))


def _gateway(actor: Any, provider: Organization, gateway_id: UUID) -> Gateway:
    rows = Gateway.objects.visible_to(actor).filter(organization=provider)
    return _referenced(rows, gateway_id, "gateway_id", _("There is no such gateway of yours."))


def _cluster(actor: Any, provider: Organization, cluster_id: UUID) -> Cluster:
    """Open to this very organization, whatever else its people belong to."""
    rows = Cluster.objects.offered_to(actor).open_for(provider)
    missing = _("There is no such cluster, or it is not open to you.")
    return _referenced(rows, cluster_id, "cluster_id", missing)


def _referenced(rows: models.QuerySet, pk: UUID, field: str, missing: str) -> Any:
    try:
        row = rows.get(pk=pk)
        hold(rows.model, pk)
    except ObjectDoesNotExist:
        code = f"{field.removesuffix('_id')}_not_found"
        raise MissingReference(missing, code=code, details={field: [missing]}) from None
    return row


def _revision(publish: ProductPublish, compiled: Compiled, actor: Any) -> PublishRevision:
    """The same bytes are the same revision, also when they come back."""
    known = publish.revisions.filter(digest=compiled.digest).first()
    if known is not None:
        return known
    last = publish.revisions.order_by("-number").values_list("number", flat=True).first()
    return PublishRevision.objects.create(
        publish=publish,
        number=(last or 0) + 1,
        digest=compiled.digest,
        document=compiled.document,
        created_by=actor,
    )


def note_of(value: str, *, field: str) -> str:
    return rules.note(value, field=field, limit=MAX_NOTE)


def note_request(deployment: Deployment, actor: Any, action: str = "") -> None:
    announce(deployment.publish)
    revision = deployment.revision
    audit.note(
        deployment.publish,
        actor,
        f"publish.{action or deployment.kind}",
        after={
            "deployment": str(deployment.pk),
            "number": deployment.number,
            "revision": revision.digest if revision else None,
            "note": deployment.note,
        },
    )
