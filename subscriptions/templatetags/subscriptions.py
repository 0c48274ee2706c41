"""How a subscription and a plan are shown: tone, icon and words in one place."""

from __future__ import annotations

from dataclasses import dataclass

from django import template
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from subscriptions.models import Plan, Subscription
from subscriptions.states import Status

register = template.Library()


@dataclass(frozen=True, slots=True)
class Badge:
    tone: str  # ok | warn | bad | busy | "" (idle)
    icon: str
    label: str


BADGES = {
    Status.PENDING: ("warn", "hourglass-low"),
    Status.ACTIVE: ("ok", "circle-check"),
    Status.REJECTED: ("", "x"),
    Status.SUSPENDED: ("bad", "ban"),
    Status.CANCELLED: ("", "circle-minus"),
}

ACTS = {
    "select": gettext_noop("Select %(consumer)s · %(application)s"),
    "approve": gettext_noop("Approve %(consumer)s · %(application)s"),
    "reject": gettext_noop("Reject %(consumer)s · %(application)s"),
    "suspend": gettext_noop("Suspend %(consumer)s · %(application)s"),
    "resume": gettext_noop("Resume %(consumer)s · %(application)s"),
}


@register.filter
def subscription_badge(subscription: Subscription) -> Badge:
    status = Status(subscription.status)
    return Badge(*BADGES[status], status.label)


@register.filter
def named(subscription: Subscription, act: str) -> str:
    """{{ row|named:"approve" }}: which one it is about, where each row has the same button."""
    application = subscription.application
    names = {"consumer": application.organization, "application": application}
    return _(ACTS[act]) % names


@register.filter
def price(plan: Plan) -> str:
    """ "29 USD / month", without decimals where there are none."""
    if not plan.price:
        return _("Free")
    whole = plan.price == plan.price.to_integral_value()
    amount = number_format(plan.price, 0 if whole else 2, force_grouping=True)
    return _("%(amount)s %(currency)s a month") % {"amount": amount, "currency": plan.currency}


@register.filter
def quota(plan: Plan) -> str:
    if plan.quota_per_day is None:
        return _("no daily quota")
    count = number_format(plan.quota_per_day, 0, force_grouping=True)
    return _("%(count)s calls a day") % {"count": count}


@register.filter
def rate(plan: Plan) -> str:
    if plan.rate_per_minute is None:
        return _("no rate limit")
    count = number_format(plan.rate_per_minute, 0, force_grouping=True)
    return _("%(count)s calls a minute") % {"count": count}
