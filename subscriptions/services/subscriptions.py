"""Subscriptions: an application's right to call a publish, from the request to its end."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import access as rights
from accounts import audit
from catalog.services.conflicts import refused_by
from catalog.text import line
from core import notify, versions
from core.errors import DomainError
from publishing.models import ProductPublish
from subscriptions.models import Plan, Subscription
from subscriptions.services import access, applications
from subscriptions.services.plans import locked_publish
from subscriptions.states import Status, check_move

MAX_REASON = 500


@transaction.atomic
def subscribe(*, actor: Any, application_id: UUID, plan_id: UUID) -> Subscription:
    """Ask for a plan that is on offer. Approved at once, unless plan or publish want it approved."""
    offered = Plan.objects.offered_to(actor)
    publish_id = offered.values_list("publish_id", flat=True).get(pk=plan_id)
    publish = locked_publish(ProductPublish.objects, publish_id)
    application = applications.locked(actor, application_id)
    # Again, now that a withdrawal has to wait for us.
    plan = offered.select_related(None).get(pk=plan_id)
    needs_approval = _needs_approval(plan, publish)
    subscription = Subscription(
        application=application,
        plan=plan,
        publish=publish,
        status=Status.PENDING if needs_approval else Status.ACTIVE,
        requested_by=actor,
        decided_at=None if needs_approval else timezone.now(),
    )
    taken = DomainError(
        _("%(application)s is already subscribed to %(publish)s, or waits to be.")
        % {"application": application, "publish": publish},
        code="already_subscribed",
    )
    with refused_by("subscriptions_subscription_one_open", taken):
        subscription.save()
    _record(subscription, actor, "subscription.create", after=facts(subscription))
    return subscription


@transaction.atomic
def approve(*, actor: Any, subscription_id: UUID) -> Subscription:
    """The provider lets a waiting application in."""
    subscription = _provided(actor, subscription_id)
    return _decide(subscription, Status.ACTIVE, actor, "subscription.approve", from_=Status.PENDING)


@transaction.atomic
def reject(*, actor: Any, subscription_id: UUID, reason: str) -> Subscription:
    """The provider refuses a waiting application and says why."""
    subscription = _provided(actor, subscription_id)
    why = line(reason, field="reason", limit=MAX_REASON)
    return _decide(subscription, Status.REJECTED, actor, "subscription.reject", reason=why)


@transaction.atomic
def suspend(*, actor: Any, subscription_id: UUID, reason: str) -> Subscription:
    """The provider stops the calls for now. The keys stay, and gateways refuse them with their own code."""
    subscription = _provided(actor, subscription_id)
    why = line(reason, field="reason", limit=MAX_REASON)
    _decide(subscription, Status.SUSPENDED, actor, "subscription.suspend", reason=why)
    access.refresh_keys(subscription)
    return subscription


@transaction.atomic
def resume(*, actor: Any, subscription_id: UUID) -> Subscription:
    """The same keys work again."""
    subscription = _provided(actor, subscription_id)
    _decide(subscription, Status.ACTIVE, actor, "subscription.resume", from_=Status.SUSPENDED)
    access.refresh_keys(subscription)
    return subscription


@transaction.atomic
def cancel(*, actor: Any, subscription_id: UUID) -> Subscription:
    """The consumer ends it for good, and every key of it with it."""
    subscription = owned(actor, subscription_id)
    check_move(subscription.status, Status.CANCELLED)
    before = facts(subscription)
    subscription.status = Status.CANCELLED
    subscription.save(update_fields=["status"])
    working = subscription.credentials.filter(revoked_at=None)
    version = access.bury_keys(subscription, working)
    if version is not None:
        working.update(revoked_at=timezone.now(), revoked_version=version)
    _record(subscription, actor, "subscription.cancel", before=before, after=facts(subscription))
    return subscription


@transaction.atomic
def change_plan(
    *, actor: Any, subscription_id: UUID, plan_id: UUID, seen: str = ""
) -> Subscription:
    """Move to another plan of the same publish; the keys stay as they are.

    A plan that is itself marked for approval cannot be entered this way: nobody would have approved it.
    """
    subscription = owned(actor, subscription_id)
    versions.check(subscription, seen)
    plan = Plan.objects.filter(publish_id=subscription.publish_id).get(pk=plan_id)
    if subscription.status not in {Status.PENDING, Status.ACTIVE}:
        raise DomainError(
            _("A subscription that is %(status)s cannot change its plan.")
            % {"status": subscription.get_status_display().lower()},
            code="invalid_state",
        )
    if plan.pk == subscription.plan_id:
        return subscription
    if plan.approval_required and subscription.status == Status.ACTIVE:
        raise DomainError(
            _("The plan %(plan)s needs the provider's approval: subscribe to it anew.")
            % {"plan": plan},
            code="approval_required",
        )
    before = facts(subscription)
    subscription.plan = plan
    subscription.save(update_fields=["plan"])
    access.refresh_keys(subscription)
    _record(subscription, actor, "subscription.plan", before=before, after=facts(subscription))
    return subscription


def owned(actor: Any, subscription_id: UUID) -> Subscription:
    """Locked, for its consumer. The publish first: see locked_publish."""
    return _locked(Subscription.objects.visible_to(actor), actor, subscription_id, "application")


def facts(subscription: Subscription) -> dict[str, Any]:
    """For the audit trail."""
    return {
        "application": str(subscription.application),
        "publish": str(subscription.publish),
        "plan": str(subscription.plan),
        "status": subscription.status,
        "reason": subscription.reason,
    }


def _provided(actor: Any, subscription_id: UUID) -> Subscription:
    """Locked, for its provider."""
    return _locked(Subscription.objects.provided_by(actor), actor, subscription_id, "publish")


def _locked(rows: Any, actor: Any, subscription_id: UUID, side: str) -> Subscription:
    publish_id = rows.values_list("publish_id", flat=True).get(pk=subscription_id)
    publish = locked_publish(ProductPublish.objects, publish_id)
    found = rows.select_related("application", "plan")
    subscription = found.select_for_update(of=("self",)).get(pk=subscription_id)
    subscription.publish = publish
    rights.require(actor, getattr(subscription, side).organization_id)
    return subscription


def _needs_approval(plan: Plan, publish: ProductPublish) -> bool:
    """The plan's word, else the publish's."""
    if plan.approval_required is not None:
        return plan.approval_required
    return publish.approval_required


def _decide(
    subscription: Subscription,
    target: Status,
    actor: Any,
    action: str,
    *,
    reason: str = "",
    from_: Status | None = None,
) -> Subscription:
    """`from_` where the table knows two ways to the target and only one is meant."""
    before = facts(subscription)
    check_move(subscription.status, target)
    if from_ is not None and subscription.status != from_:
        raise DomainError(
            _("This subscription is %(status)s.")
            % {"status": subscription.get_status_display().lower()},
            code="invalid_state",
        )
    subscription.status, subscription.reason = target, reason
    subscription.decided_by, subscription.decided_at = actor, timezone.now()
    subscription.save(update_fields=["status", "reason", "decided_by", "decided_at"])
    _record(subscription, actor, action, before=before, after=facts(subscription))
    return subscription


def _record(subscription: Subscription, actor: Any, action: str, **states: Any) -> None:
    """Told to the side that acted."""
    provider = action in {
        "subscription.approve", "subscription.reject", "subscription.suspend", "subscription.resume",
    }  # fmt: skip
    side = subscription.publish if provider else subscription.application
    audit.record(
        actor=actor,
        action=action,
        target=subscription,
        organization_id=side.organization_id,
        **states,
    )
    notify.on_commit(f"publish.{subscription.publish_id}")
    notify.on_commit(f"publishes.org.{subscription.publish.organization_id}")
