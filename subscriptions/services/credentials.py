"""API keys: made once, shown once, revoked for good."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from catalog.text import line
from clusters.models import Agent
from core.errors import DomainError
from publishing.models import AuthMode
from subscriptions.models import Credential, Subscription
from subscriptions.services import access
from subscriptions.services.subscriptions import owned
from subscriptions.states import Status


@transaction.atomic
def create(*, actor: Any, subscription_id: UUID, name: str = "key") -> tuple[Credential, str]:
    """Make a key for an active subscription. The secret is returned once, here, and stored hashed."""
    subscription = owned(actor, subscription_id)
    _refuse_useless(subscription)
    prefix = secrets.token_hex(8)
    secret = f"ik_{prefix}_{secrets.token_urlsafe(32)}"
    credential = Credential.objects.create(
        subscription=subscription,
        name=line(name, field="name", limit=80),
        prefix=prefix,
        digest=digest(secret),
        created_by=actor,
    )
    access.put_keys(subscription, [credential])
    _record(credential, subscription, actor, "credential.create")
    return credential, secret


@transaction.atomic
def revoke(*, actor: Any, credential_id: UUID) -> Credential:
    """Gateways refuse the key from the version this takes on. A repeat changes nothing."""
    rows = Credential.objects.visible_to(actor)
    subscription_id = rows.values_list("subscription_id", flat=True).get(pk=credential_id)
    # Its lock covers its keys.
    subscription = owned(actor, subscription_id)
    credential = subscription.credentials.get(pk=credential_id)
    if credential.revoked_at is not None:
        return credential
    mine = subscription.credentials.filter(pk=credential.pk)
    credential.revoked_version = access.bury_keys(subscription, mine) or _present(subscription)
    credential.revoked_at = timezone.now()
    credential.save(update_fields=["revoked_at", "revoked_version"])
    _record(credential, subscription, actor, "credential.revoke")
    return credential


def receipt(credential: Credential) -> dict[str, Any] | None:
    """Which gateways are known to refuse a revoked key, from what their agents acknowledged last.

    One that is not in touch says nothing, so it is pending: it may still serve the key.
    """
    if credential.revoked_version is None:
        return None
    cluster_id = credential.subscription.publish.cluster_id
    agents = Agent.objects.filter(cluster_id=cluster_id, revoked_at=None).order_by("created_at")
    gateways = [
        {
            "id": str(pk),
            "status": "confirmed" if version >= credential.revoked_version else "pending",
        }
        for pk, version in agents.values_list("pk", "access_version")
    ]
    confirmed = sum(gateway["status"] == "confirmed" for gateway in gateways)
    return {
        "revoked_version": credential.revoked_version,
        "confirmed": confirmed,
        "pending": len(gateways) - confirmed,
        "gateways": gateways,
    }


def digest(secret: str) -> str:
    """What gateways compare. Plain SHA-256 is enough for 256 random bits, and gateways can compute it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _refuse_useless(subscription: Subscription) -> None:
    if subscription.status != Status.ACTIVE:
        raise DomainError(
            _("This subscription is %(status)s. Keys are made for active subscriptions.")
            % {"status": subscription.get_status_display().lower()},
            code="invalid_state",
        )
    if subscription.publish.auth_mode != AuthMode.API_KEY:
        raise DomainError(
            _("%(publish)s is not called with API keys (auth mode: %(mode)s).")
            % {
                "publish": subscription.publish,
                "mode": subscription.publish.get_auth_mode_display(),
            },
            code="auth_mode",
        )


def _present(subscription: Subscription) -> int:
    """No gateway was ever told the key: whatever version is current is without it."""
    return subscription.publish.cluster.state.access_version


def _record(credential: Credential, subscription: Subscription, actor: Any, action: str) -> None:
    audit.record(
        actor=actor,
        action=action,
        target=credential,
        organization_id=subscription.application.organization_id,
        after={
            "name": credential.name,
            "prefix": credential.prefix,
            "subscription": str(subscription),
            "revoked_version": credential.revoked_version,
        },
    )
