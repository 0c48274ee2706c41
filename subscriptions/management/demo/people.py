"""Who signs in: five people in three organizations, and an administrator of the portal."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from accounts import services
from accounts.models import Kind, Membership, Organization, Role, User

# Known to everybody who reads this, which is why the command refuses to run outside DEBUG.
PASSWORD = "demo-gateway-2026"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Login:
    role: str
    email: str
    name: str
    organization: str | None
    rank: Role = Role.ADMIN


PLATFORM, PAYMENTS, SHOP = "Platform Team", "Payments", "Shop"
ORGANIZATIONS = {PLATFORM: Kind.OPERATOR, PAYMENTS: Kind.PROVIDER, SHOP: Kind.CONSUMER}
LOGINS = (
    Login("operator", "operator@demo.example", "Olivia Operator", PLATFORM),
    Login("operator (reads)", "viewer@demo.example", "Victor Viewer", PLATFORM, Role.VIEWER),
    Login("provider", "provider@demo.example", "Paula Provider", PAYMENTS),
    Login("provider (member)", "member@demo.example", "Min-jun Member", PAYMENTS, Role.MEMBER),
    Login("consumer", "consumer@demo.example", "Carl Consumer", SHOP),
    Login("admin", "admin@demo.example", "Ada Admin", None),
)


@dataclass(frozen=True, slots=True)
class People:
    platform: Organization
    payments: Organization
    shop: Organization
    operator: User
    provider: User
    consumer: User


@transaction.atomic
def ensure() -> People:
    users = {login.role: _user(login) for login in LOGINS}
    found = {name: _organization(name, kind) for name, kind in ORGANIZATIONS.items()}
    for login in LOGINS:
        if login.organization:
            _join(found[login.organization], login)
    return People(
        platform=found[PLATFORM],
        payments=found[PAYMENTS],
        shop=found[SHOP],
        operator=users["operator"],
        provider=users["provider"],
        consumer=users["consumer"],
    )


def logins() -> list[dict[str, str]]:
    return [{"role": row.role, "email": row.email, "password": PASSWORD} for row in LOGINS]


def _user(login: Login) -> User:
    return User.objects.filter(email=login.email).first() or services.create_user(
        actor=None,
        email=login.email,
        password=PASSWORD,
        name=login.name,
        superuser=login.organization is None,
    )


def _organization(name: str, kind: Kind) -> Organization:
    found = Organization.objects.filter(name=name).first()
    return found or services.create_organization(actor=None, kind=kind, name=name)


def _join(organization: Organization, login: Login) -> None:
    if not Membership.objects.filter(organization=organization, user__email=login.email).exists():
        services.add_member(
            actor=None, organization_id=organization.pk, email=login.email, role=login.rank
        )
