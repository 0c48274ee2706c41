from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from accounts import audit, services
from accounts.models import ApiToken, AuditEvent, Membership, Organization, Role, SignIn, User
from core.context import Origin, origin
from core.errors import DomainError, InvalidInput
from tests.factories.accounts import (
    PASSWORD,
    MembershipFactory,
    OrganizationFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db


def actions():
    return list(AuditEvent.objects.order_by("created_at").values_list("action", flat=True))


class TestOrganizations:
    def test_the_system_opens_one_with_its_admin(self):
        user = UserFactory()

        made = services.create_organization(
            actor=None, kind="provider", name=" Payments ", admin=user
        )

        assert made.name == "Payments"
        assert made.memberships.get().role == Role.ADMIN
        assert actions() == ["organization.create", "membership.add"]

    def test_an_admin_of_another_one_may_not(self):
        with pytest.raises(PermissionDenied):
            services.create_organization(
                actor=MembershipFactory(admin=True).user, kind="operator", name="X"
            )

    @pytest.mark.parametrize(
        ("kind", "name", "field"),
        [
            ("other", "X", "kind"),
            ("operator", " ", "name"),
            ("operator", "x" * 121, "name"),
            ("operator", "Taken", "name"),
        ],
    )
    def test_bad_values_name_their_field(self, kind, name, field):
        OrganizationFactory(name="Taken")

        with pytest.raises(InvalidInput) as refused:
            services.create_organization(actor=None, kind=kind, name=name)
        assert refused.value.field == field

    def test_renaming_is_recorded(self):
        organization = OrganizationFactory(name="Old")

        services.rename_organization(actor=None, organization_id=organization.pk, name="New")

        event = AuditEvent.objects.get()
        assert (event.before, event.after) == ({"name": "Old"}, {"name": "New"})


class TestUsers:
    def test_a_person_can_sign_in_with_any_spelling(self):
        user = services.create_user(actor=None, email=" New@Example.com ", password=PASSWORD)

        assert user.email == "new@example.com"
        assert User.objects.get_by_natural_key("NEW@example.com") == user
        assert user.check_password(PASSWORD)
        assert PASSWORD not in str(AuditEvent.objects.get().after)

    @pytest.mark.parametrize(
        ("email", "password", "field"),
        [
            ("nobody", PASSWORD, "email"),
            ("TAKEN@example.com", PASSWORD, "email"),
            ("a@example.com", "short", "password"),
            ("a@example.com", "password1234", "password"),
        ],
    )
    def test_bad_values_name_their_field(self, email, password, field):
        UserFactory(email="taken@example.com")

        with pytest.raises(InvalidInput) as refused:
            services.create_user(actor=None, email=email, password=password)
        assert refused.value.field == field

    def test_only_a_superuser_creates_people(self):
        with pytest.raises(PermissionDenied):
            services.create_user(
                actor=MembershipFactory(admin=True).user, email="a@example.com", password=None
            )

    def test_a_token_of_a_superuser_is_no_superuser(self):
        actor = UserFactory(superuser=True)
        actor.scope = uuid4()

        with pytest.raises(PermissionDenied):
            services.create_user(actor=actor, email="a@example.com", password=None)

    def test_language(self):
        user = UserFactory()

        services.set_locale(actor=user, locale="ko")

        user.refresh_from_db()
        assert user.locale == "ko"
        event = AuditEvent.objects.get(action="user.locale")
        assert (event.before, event.after) == ({"locale": ""}, {"locale": "ko"})
        with pytest.raises(InvalidInput):
            services.set_locale(actor=user, locale="xx")


class TestMemberships:
    @pytest.fixture
    def boss(self):
        return MembershipFactory(admin=True)

    def test_an_admin_adds_somebody(self, boss):
        user = UserFactory()

        made = services.add_member(
            actor=boss.user,
            organization_id=boss.organization_id,
            email=user.email.upper(),
            role="viewer",
        )

        assert (made.user, made.role) == (user, Role.VIEWER)
        assert actions() == ["membership.add"]

    @pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER])
    def test_others_may_not(self, boss, role):
        actor = UserFactory(member_of=boss.organization, role=role)

        with pytest.raises(PermissionDenied):
            services.add_member(
                actor=actor, organization_id=boss.organization_id, email="x", role="viewer"
            )

    def test_for_a_stranger_the_organization_does_not_exist(self, boss):
        with pytest.raises(ObjectDoesNotExist):
            services.add_member(
                actor=UserFactory(), organization_id=boss.organization_id, email="x", role="viewer"
            )

    def test_unknown_people_and_roles(self, boss):
        add = {"actor": boss.user, "organization_id": boss.organization_id}

        with pytest.raises(InvalidInput) as refused:
            services.add_member(**add, email="nobody@example.com", role="viewer")
        assert refused.value.field == "email"
        with pytest.raises(InvalidInput) as refused:
            services.add_member(**add, email=UserFactory().email, role="boss")
        assert refused.value.field == "role"

    def test_twice_is_refused(self, boss):
        with pytest.raises(DomainError) as refused:
            services.add_member(
                actor=boss.user,
                organization_id=boss.organization_id,
                email=boss.user.email,
                role="viewer",
            )
        assert refused.value.code == "already_member"

    def test_a_role_changes(self, boss):
        other = MembershipFactory(organization=boss.organization)

        services.change_role(actor=boss.user, membership_id=other.pk, role="admin")

        other.refresh_from_db()
        assert other.role == Role.ADMIN
        event = AuditEvent.objects.get()
        assert (event.before, event.after) == ({"role": "member"}, {"role": "admin"})

    def test_the_last_admin_stays(self, boss):
        MembershipFactory(organization=boss.organization, admin=True, user__is_active=False)

        for refuse in (
            lambda: services.change_role(actor=boss.user, membership_id=boss.pk, role="member"),
            lambda: services.remove_member(actor=boss.user, membership_id=boss.pk),
        ):
            with pytest.raises(DomainError) as refused:
                refuse()
            assert refused.value.code == "last_admin"

    def test_tokens_end_with_the_membership(self, boss):
        leaver = MembershipFactory(organization=boss.organization)
        _token, secret = services.create_api_token(
            actor=leaver.user, organization_id=leaver.organization_id, name="CI"
        )

        services.remove_member(actor=boss.user, membership_id=leaver.pk)

        assert services.find_api_token(secret) is None
        assert not Membership.objects.filter(pk=leaver.pk).exists()


class TestApiTokens:
    @pytest.fixture
    def member(self):
        return MembershipFactory()

    def make(self, member, **more):
        return services.create_api_token(
            actor=member.user, organization_id=member.organization_id, name="CI", **more
        )

    def test_the_secret_is_returned_once_and_not_stored(self, member):
        token, secret = self.make(member)

        kind, prefix, random = secret.split("_")
        assert (kind, prefix) == ("imp", token.prefix)
        assert len(random) >= 40
        row = ApiToken.objects.filter(pk=token.pk).values().get()
        assert random not in str(row)
        assert random not in str(AuditEvent.objects.values())

    def test_it_is_found_again(self, member):
        token, secret = self.make(member)

        assert services.find_api_token(secret) == token

    def test_wrong_ones_are_not(self, member):
        token, secret = self.make(member)

        for wrong in (
            "",
            "imp",
            "imp__",
            f"imp_{token.prefix}_{'0' * 64}",
            secret[:-1],
            f"{secret}0",
            secret.replace("imp", "reg"),
            f"imp_{token.prefix}_{'x' * 10_000}",
            f"imp_{token.prefix}\x00_{'0' * 64}",
            "imp_é_é",
        ):
            assert services.find_api_token(wrong) is None

    def test_expired_revoked_and_orphaned_ones_are_not(self, member):
        _expired, first = self.make(member, expires_at=timezone.now() + timedelta(hours=1))
        ApiToken.objects.update(expires_at=timezone.now())
        revoked, second = self.make(member)
        services.revoke_api_token(actor=member.user, token_id=revoked.pk)
        _token, third = self.make(member)

        assert services.find_api_token(first) is None
        assert services.find_api_token(second) is None
        assert services.find_api_token(third)
        User.objects.update(is_active=False)
        assert services.find_api_token(third) is None

    def test_use_is_noted_once_a_minute(self, member, django_assert_num_queries):
        token, secret = self.make(member)

        with django_assert_num_queries(2):
            services.find_api_token(secret)
        with django_assert_num_queries(1):
            services.find_api_token(secret)
        long_ago = timezone.now() - timedelta(minutes=2)
        ApiToken.objects.update(last_used_at=long_ago)
        services.find_api_token(secret)
        token.refresh_from_db()
        assert token.last_used_at > long_ago

    def test_viewers_make_none(self):
        viewer = MembershipFactory(viewer=True)

        with pytest.raises(PermissionDenied):
            self.make(viewer)

    @pytest.mark.parametrize(
        ("more", "field"),
        [({"name": " "}, "name"), ({"name": "x" * 81}, "name")],
    )
    def test_bad_names(self, member, more, field):
        with pytest.raises(InvalidInput) as refused:
            services.create_api_token(
                actor=member.user, organization_id=member.organization_id, **more
            )
        assert refused.value.field == field

    def test_a_colleague_may_not_revoke_it_but_an_admin_may(self, member):
        token, _secret = self.make(member)
        colleague = UserFactory(member_of=member.organization)
        boss = UserFactory(member_of=member.organization, role=Role.ADMIN)

        with pytest.raises(PermissionDenied):
            services.revoke_api_token(actor=colleague, token_id=token.pk)
        first = services.revoke_api_token(actor=boss, token_id=token.pk).revoked_at
        again = services.revoke_api_token(actor=boss, token_id=token.pk).revoked_at
        assert again == first
        assert actions().count("api_token.revoke") == 1


class TestAudit:
    def test_it_knows_where_from(self):
        user, organization = UserFactory(name="Kim"), OrganizationFactory()
        token = origin.set(Origin(request_id="r-1", ip="10.0.0.1", user_agent="x" * 400))
        event = audit.record(
            actor=user, action="thing.do", target=organization, organization_id=organization.pk
        )
        origin.reset(token)

        assert (event.actor_label, event.object_type) == ("Kim", "accounts.organization")
        assert (event.request_id, event.ip, len(event.user_agent)) == ("r-1", "10.0.0.1", 300)

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE accounts_auditevent SET action = 'x'",
            "DELETE FROM accounts_auditevent",
            "TRUNCATE accounts_auditevent",
        ],
    )
    def test_the_database_refuses_to_change_it(self, statement):
        services.create_user(actor=None, email="a@example.com", password=None)
        with connection.cursor() as cursor:
            # Off in tests otherwise; see conftest.py.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(
                "ALTER TABLE accounts_auditevent ENABLE TRIGGER accounts_audit_no_truncate"
            )
            with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
                cursor.execute(statement)

        assert AuditEvent.objects.count() == 1

    def test_members_see_their_organizations_trail(self):
        boss = MembershipFactory(admin=True)
        services.create_api_token(actor=boss.user, organization_id=boss.organization_id, name="CI")

        assert AuditEvent.objects.visible_to(boss.user).count() == 1
        assert AuditEvent.objects.visible_to(UserFactory()).count() == 0


class TestTheDatabaseSaysNo:
    @pytest.mark.parametrize(
        ("make", "constraint"),
        [
            (lambda: User.objects.create(email="A@example.com"), "accounts_user_email_lower"),
            (
                lambda: Organization.objects.create(kind="x", name="X"),
                "accounts_organization_kind_known",
            ),
            (lambda: MembershipFactory(role="boss"), "accounts_membership_role_known"),
            (
                lambda: SignIn.objects.create(
                    user=UserFactory(), expires_at=timezone.now(), revoked_because="logout"
                ),
                "accounts_signin_revoked_with_reason",
            ),
        ],
    )
    def test_to(self, make, constraint):
        with pytest.raises(IntegrityError, match=constraint):
            make()

    def test_a_second_membership(self):
        first = MembershipFactory()

        with pytest.raises(IntegrityError, match="accounts_membership_once"):
            MembershipFactory(user=first.user, organization=first.organization)
