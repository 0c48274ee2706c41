"""Plans: what a subscription to one publish costs and allows."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Required, TypedDict, Unpack
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import access as rights
from accounts import audit
from accounts.models import Role
from catalog.services.conflicts import refused_by
from catalog.text import line, number
from core import notify, versions
from core.errors import DomainError, InvalidInput
from publishing.models import ProductPublish
from subscriptions.models import Plan
from subscriptions.services import access
from subscriptions.states import OPEN

CENT = Decimal("0.01")
MAX_PRICE = Decimal("9999999999.99")
MAX_QUOTA = 10**15
MAX_RATE = 2**31 - 1


class Settings(TypedDict, total=False):
    """What a plan is described by. Whatever is left out gets its default; None is unlimited."""

    name: Required[str]
    price: Decimal | int | str
    currency: str
    quota_per_day: int | None
    rate_per_minute: int | None
    approval_required: bool | None  # None: as the publish says


@transaction.atomic
def create(*, actor: Any, publish_id: UUID, **settings: Unpack[Settings]) -> Plan:
    """Offer a plan on a publish. Gateways learn its limits at once."""
    publish = locked_publish(ProductPublish.objects.visible_to(actor), publish_id)
    rights.require(actor, publish.organization_id)
    plan = Plan(publish=publish, **clean(settings))
    _save(plan)
    access.put_plan(plan)
    _record(plan, actor, "plan.create", after=facts(plan))
    return plan


@transaction.atomic
def update(*, actor: Any, plan_id: UUID, seen: str = "", **settings: Unpack[Settings]) -> Plan:
    """Describe the plan anew: what is left out goes back to its default. Subscribers keep their keys.

    `seen` is the version that the caller read: see core.versions.
    """
    plan = _locked(actor, plan_id)
    versions.check(plan, seen)
    before, rate = facts(plan), plan.rate_per_minute
    for name, value in clean(settings).items():
        setattr(plan, name, value)
    _save(plan)
    if plan.rate_per_minute != rate:
        access.put_plan(plan)
    if facts(plan) != before:
        _record(plan, actor, "plan.update", before=before, after=facts(plan))
    return plan


@transaction.atomic
def delete(*, actor: Any, plan_id: UUID, seen: str = "") -> None:
    """Admins only. Refused while anybody is subscribed to it, or waits to be."""
    plan = _locked(actor, plan_id, Role.ADMIN)
    versions.check(plan, seen)
    count = plan.subscriptions.filter(status__in=OPEN).count()
    if count:
        raise DomainError(
            ngettext(
                "%(count)d subscription uses the plan %(plan)s. Move it to another plan first.",
                "%(count)d subscriptions use the plan %(plan)s. Move them to another plan first.",
                count,
            )
            % {"count": count, "plan": plan},
            code="plan_in_use",
            details={"subscriptions": count},
        )
    access.bury_plan(plan)
    _record(plan, actor, "plan.delete", before=facts(plan))
    plan.subscriptions.all().delete()
    plan.delete()


def locked_publish(rows: Any, publish_id: UUID) -> ProductPublish:
    """Before any other lock: publishing takes the publish first and the cluster's state last, as we do."""
    return rows.select_for_update(of=("self",), no_key=True).get(pk=publish_id)


def clean(settings: Settings) -> dict[str, Any]:
    """The model's values."""
    return {
        "name": line(settings["name"], field="name", limit=80),
        "price": _price(settings.get("price", 0)),
        "currency": _currency(settings.get("currency", "USD")),
        "quota_per_day": _limit(settings.get("quota_per_day"), "quota_per_day", MAX_QUOTA),
        "rate_per_minute": _limit(settings.get("rate_per_minute"), "rate_per_minute", MAX_RATE),
        "approval_required": settings.get("approval_required"),
    }


def facts(plan: Plan) -> dict[str, Any]:
    """For the audit trail."""
    return {
        "publish": str(plan.publish),
        "name": plan.name,
        "price": f"{plan.price} {plan.currency}",
        "quota_per_day": plan.quota_per_day,
        "rate_per_minute": plan.rate_per_minute,
        "approval_required": plan.approval_required,
    }


def _price(value: Decimal | int | str) -> Decimal:
    try:
        price = Decimal(value)
        good = price.is_finite() and 0 <= price <= MAX_PRICE and price == price.quantize(CENT)
    except (InvalidOperation, ValueError, TypeError):
        good = False
    if not good:
        raise InvalidInput(
            _("Enter an amount of at least 0, with at most two decimals."), field="price"
        )
    return price.quantize(CENT)


def _currency(value: str) -> str:
    code = line(value, field="currency", limit=3).upper()
    if len(code) != 3 or not code.isascii() or not code.isalpha():
        raise InvalidInput(_("Enter a currency's three letters, such as USD."), field="currency")
    return code


def _limit(value: int | None, field: str, high: int) -> int | None:
    return None if value is None else number(value, field=field, low=1, high=high)


def _locked(actor: Any, plan_id: UUID, role: Role = Role.MEMBER) -> Plan:
    rows = Plan.objects.visible_to(actor)
    publish_id = rows.values_list("publish_id", flat=True).get(pk=plan_id)
    publish = locked_publish(ProductPublish.objects, publish_id)
    rights.require(actor, publish.organization_id, role)
    plan = rows.select_for_update(of=("self",)).get(pk=plan_id)
    plan.publish = publish
    return plan


def _save(plan: Plan) -> None:
    taken = InvalidInput(
        _("This publish already has a plan named %(name)s.") % {"name": plan.name},
        field="name",
        code="duplicate",
    )
    with refused_by("subscriptions_plan_name_once", taken):
        plan.save()


def _record(plan: Plan, actor: Any, action: str, **states: Any) -> None:
    audit.record(
        actor=actor,
        action=action,
        target=plan,
        organization_id=plan.publish.organization_id,
        **states,
    )
    notify.on_commit(f"publish.{plan.publish_id}")
