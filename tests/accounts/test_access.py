import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied

from accounts import access
from accounts.models import ApiToken, Organization, Role
from tests.factories.accounts import MembershipFactory, OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("held", list(Role))
@pytest.mark.parametrize("needed", list(Role))
def test_roles_are_ranked(held, needed):
    membership = MembershipFactory(role=held)
    enough = access.RANK[held] >= access.RANK[needed]

    assert access.can(membership.user, membership.organization_id, needed) is enough
    if enough:
        access.require(membership.user, membership.organization_id, needed)
    else:
        with pytest.raises(PermissionDenied, match=str(needed.label)):
            access.require(membership.user, membership.organization_id, needed)


def test_strangers_have_no_role():
    organization = OrganizationFactory()

    assert access.role_in(UserFactory(), organization.pk) is None
    assert access.role_in(AnonymousUser(), organization.pk) is None
    with pytest.raises(PermissionDenied):
        access.require(UserFactory(), organization.pk, Role.VIEWER)


def test_a_superuser_is_an_admin_everywhere_but_through_a_token():
    user, organization = UserFactory(superuser=True), OrganizationFactory()

    assert access.role_in(user, organization.pk) == Role.ADMIN
    assert list(Organization.objects.visible_to(user)) == [organization]
    user.scope = organization.pk
    assert access.role_in(user, organization.pk) is None
    assert list(Organization.objects.visible_to(user)) == []


def test_a_token_sees_one_organization():
    here = MembershipFactory(admin=True)
    there = MembershipFactory(admin=True, user=here.user)
    here.user.scope = here.organization_id

    assert access.can(here.user, here.organization_id)
    assert not access.can(here.user, there.organization_id)
    assert list(Organization.objects.visible_to(here.user)) == [here.organization]


def test_nobody_sees_nothing():
    MembershipFactory()

    assert not ApiToken.objects.visible_to(AnonymousUser()).exists()
    assert not Organization.objects.visible_to(AnonymousUser()).exists()


def test_the_organization_of_a_new_object():
    member = MembershipFactory(organization__kind="provider")
    found = access.organization_for(member.user, member.organization_id, kind="provider")

    assert found == member.organization
    with pytest.raises(PermissionDenied):
        access.organization_for(member.user, member.organization_id, kind="operator")
