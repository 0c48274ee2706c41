"""Registration tokens: what an agent joins with."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import access, audit
from accounts.models import Role
from clusters import rules
from clusters.models import Agent, Cluster, RegistrationToken
from clusters.services.clusters import announce
from core import secrets
from core.errors import DomainError
from core.locks import hold

KIND = "igr"
MIN_TTL, DEFAULT_TTL, MAX_TTL = 60, 3600, 7 * 24 * 3600
MAX_USES = 1000


@transaction.atomic
def create_token(
    *, actor: Any, cluster_id: UUID, ttl_seconds: int = DEFAULT_TTL, max_uses: int = 1
) -> tuple[RegistrationToken, str]:
    """Admins only. The secret is returned once, here, and stored hashed."""
    cluster = Cluster.objects.visible_to(actor).get(pk=cluster_id)
    access.require(actor, cluster.organization_id, Role.ADMIN)
    hold(Cluster, cluster_id)
    ttl = rules.bounded(ttl_seconds, field="ttl_seconds", low=MIN_TTL, high=MAX_TTL)
    uses = rules.bounded(max_uses, field="max_uses", low=1, high=MAX_USES)
    minted = secrets.mint(KIND)
    token = RegistrationToken.objects.create(
        cluster=cluster,
        prefix=minted.prefix,
        digest=minted.digest,
        max_uses=uses,
        expires_at=timezone.now() + timedelta(seconds=ttl),
        created_by=actor,
    )
    after = {"prefix": minted.prefix, "max_uses": uses, "expires_at": token.expires_at}
    _record(token, actor, "registration_token.create", after=after)
    announce(cluster)
    return token, minted.text


@transaction.atomic
def revoke_token(*, actor: Any, token_id: UUID) -> RegistrationToken:
    """Admins only. A repeat is no error; agents that already joined stay."""
    rows = RegistrationToken.objects.visible_to(actor).select_related("cluster")
    token = rows.select_for_update(of=("self",)).get(pk=token_id)
    access.require(actor, token.cluster.organization_id, Role.ADMIN)
    if token.revoked_at is not None:
        return token
    if not token.usable:
        raise DomainError(
            _("This token is used up or expired: there is nothing to revoke."), code="token_spent"
        )
    token.revoked_at = timezone.now()
    token.save(update_fields=["revoked_at"])
    _record(token, actor, "registration_token.revoke", after={"revoked_at": token.revoked_at})
    announce(token.cluster)
    return token


def join_command(*, cluster_id: UUID, secret: str) -> str:
    """What to paste on a machine of the cluster, with a name that is free there."""
    options = [f"--server {settings.AGENT_GRPC_ADDRESS}"]
    if settings.AGENT_CA_FILE:
        # The agent fetches the authority from the portal and compares it before it says anything secret.
        options.append(f"--portal {settings.PUBLIC_URL}")
        options.append(f"--ca-sha256 {ca_sha256(settings.AGENT_CA_FILE)}")
    options += [f"--name {_free_name(cluster_id)}", f"--token {secret}"]
    return " \\\n  ".join(["imp-agent join", *options])


def _free_name(cluster_id: UUID) -> str:
    agents = Agent.objects.filter(cluster=cluster_id, revoked_at=None)
    taken = set(agents.values_list("name", flat=True))
    return next(name for name in map("agent-{}".format, count(1)) if name not in taken)


@lru_cache(maxsize=1)
def ca_sha256(path: str) -> str:
    """The fingerprint of the authority's certificate, as `sha256sum ca.pem` prints it."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _record(token: RegistrationToken, actor: Any, action: str, after: dict[str, Any]) -> None:
    audit.record(
        actor=actor,
        action=action,
        target=token,
        organization_id=token.cluster.organization_id,
        after={"cluster": token.cluster.name} | after,
    )
