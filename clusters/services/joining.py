"""How an agent joins: a registration token and its own key, for an identity."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from clusters import rules
from clusters.models import Agent, Cluster, RegistrationToken
from clusters.services.clusters import announce
from clusters.services.tokens import KIND
from core import secrets
from core.errors import DomainError, InvalidInput, Unauthenticated
from core.locks import hold

SIGNED_PREFIX = b"imp-register\n"
KEY_BYTES = 32
MAX_CLASSES = 16
VERSION = re.compile(r"[ -~]{0,40}")
GATEWAY_CLASS = re.compile(r"[a-z0-9][-a-z0-9._]{0,31}")


def register_agent(
    *,
    token: str,
    name: str,
    public_key: bytes,
    signature: bytes,
    version: str,
    gateway_classes: Iterable[str],
) -> Agent:
    """Join a cluster. The token is spent by whoever comes first; the same key again is the same agent.

    A repeat with the same key works even when its token is spent by now: the answer to the first call may
    have been lost, and the key proves more than the token does.
    """
    rules.name(name)
    version, classes = clean_version(version), known_classes(gateway_classes)
    row = _known_token(token)
    _prove(public_key, signature, token)
    try:
        with transaction.atomic():
            # The cluster first, as its deletion does; that would take the token along.
            hold(Cluster, row.cluster_id)
            # Racers with one token queue here, so that twins with one key see each other.
            RegistrationToken.objects.select_for_update().get(pk=row.pk)
            return _same_agent(row, public_key, version, classes) or _join(
                row, name=name, public_key=public_key, version=version, gateway_classes=classes
            )
    except IntegrityError:
        # A racer with another token was first: all of ours is rolled back, so look again.
        with transaction.atomic():
            agent = _same_agent(row, public_key, version, classes)
            if agent is None:
                raise _conflict(row, name, public_key) from None
            return agent


def check_invitation(
    *, token: str, name: str, version: str, gateway_classes: Iterable[str]
) -> RegistrationToken:
    """What `register_agent` would refuse is refused here, too; nothing is spent."""
    rules.name(name)
    clean_version(version)
    known_classes(gateway_classes)
    row = _known_token(token)
    if not row.usable:
        raise _spent(row)
    if Agent.objects.filter(revoked_at=None, cluster=row.cluster_id, name=name).exists():
        raise _conflict(row, name, b"")
    return row


def clean_version(version: str) -> str:
    if not VERSION.fullmatch(version):
        raise InvalidInput(
            _("A version has at most 40 printable ASCII characters."), field="version"
        )
    return version


def known_classes(gateway_classes: Iterable[str]) -> list[str]:
    classes = sorted(set(gateway_classes))
    if len(classes) > MAX_CLASSES or not all(map(GATEWAY_CLASS.fullmatch, classes)):
        raise InvalidInput(
            _(
                "At most %(limit)d gateway classes, each of up to 32 lower-case letters, digits, "
                "“-”, “.” and “_”."
            )
            % {"limit": MAX_CLASSES},
            field="gateway_classes",
        )
    return classes


def _known_token(token: str) -> RegistrationToken:
    prefix = secrets.prefix_of(KIND, token)
    rows = RegistrationToken.objects.select_related("cluster")
    row = rows.filter(prefix=prefix).first() if prefix else None
    if row is None or not secrets.matches(token, row.digest):
        raise Unauthenticated(
            _(
                "This registration token is unknown. Copy the whole join command again, "
                "or create a new token on the cluster's page."
            ),
            code="token_unknown",
        )
    return row


def _prove(public_key: bytes, signature: bytes, token: str) -> None:
    """Whoever sends a public key must hold the private one, or could take over another's identity."""
    if len(public_key) != KEY_BYTES:
        raise InvalidInput(_("An Ed25519 public key has 32 bytes."), field="public_key")
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(signature, SIGNED_PREFIX + token.encode())
    except (InvalidSignature, ValueError):
        raise Unauthenticated(
            _("The signature does not prove that the sender holds the key."),
            code="signature_invalid",
        ) from None


def _same_agent(
    row: RegistrationToken, public_key: bytes, version: str, classes: list[str]
) -> Agent | None:
    agent = (
        Agent.objects.select_related("cluster")
        .filter(cluster=row.cluster_id, public_key=public_key, revoked_at=None)
        .first()
    )
    if agent and (agent.version, agent.gateway_classes) != (version, classes):
        agent.version, agent.gateway_classes = version, classes
        agent.save(update_fields=["version", "gateway_classes"])
    return agent


def _join(row: RegistrationToken, *, name: str, public_key: bytes, **about: object) -> Agent:
    if not _consume(row):
        raise _spent(row)
    taken = Agent.objects.filter(revoked_at=None)
    if (
        taken.filter(cluster=row.cluster_id, name=name).exists()
        or taken.filter(public_key=public_key).exists()
    ):
        raise _conflict(row, name, public_key)
    agent = Agent.objects.create(cluster=row.cluster, name=name, public_key=public_key, **about)
    audit.record(
        actor=agent,
        action="agent.register",
        target=agent,
        organization_id=row.cluster.organization_id,
        after={"cluster": row.cluster.name, "name": name, "token": row.prefix, **about},
    )
    announce(row.cluster)
    return agent


def _consume(row: RegistrationToken) -> bool:
    """One conditional UPDATE: of any number of racers exactly as many win as uses are left."""
    now = timezone.now()
    usable = RegistrationToken.objects.filter(
        pk=row.pk, revoked_at=None, expires_at__gt=now, use_count__lt=F("max_uses")
    )
    return usable.update(use_count=F("use_count") + 1, last_used_at=now) == 1


def _spent(row: RegistrationToken) -> Unauthenticated:
    row.refresh_from_db()
    if row.revoked_at is not None:
        code, why = "token_revoked", _("This registration token was revoked.")
    elif row.use_count >= row.max_uses:
        code, why = "token_used", _("This registration token is already used.")
    else:
        code, why = "token_expired", _("This registration token has expired.")
    fix = _("Create a new one on the cluster's page.")
    return Unauthenticated(f"{why} {fix}", code=code)


def _conflict(row: RegistrationToken, name: str, public_key: bytes) -> DomainError:
    mine = Agent.objects.filter(public_key=public_key, revoked_at=None)
    if mine.exclude(cluster=row.cluster_id).exists():
        return DomainError(
            _(
                "This key already belongs to an agent of another cluster. "
                "Join with another, empty state directory."
            ),
            code="key_taken",
        )
    return DomainError(
        _(
            "Another agent of this cluster is already named %(name)s. "
            "Choose another name with --name, or revoke that agent first."
        )
        % {"name": name},
        code="name_taken",
    )
