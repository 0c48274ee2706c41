"""How a subscription and a plan are shown: tone, icon and words in one place."""

from __future__ import annotations

from dataclasses import dataclass

from django import template
from django.utils.formats import number_format
from django.utils.translation import gettext as _

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


@register.filter
def subscription_badge(subscription: Subscription) -> Badge:
    return Badge(*BADGES[Status(subscription.status)], subscription.get_status_display())


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
