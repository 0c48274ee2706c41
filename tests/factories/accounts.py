"""People and organizations. A user made `in_` an organization holds the role `member` there."""

from __future__ import annotations

import factory
from factory.django import DjangoModelFactory

from accounts.models import Kind, Membership, Notice, Organization, Role, User

PASSWORD = "correct horse battery staple"


class OrganizationFactory(DjangoModelFactory):
    class Meta:
        model = Organization

    kind = Kind.OPERATOR
    name = factory.Sequence("Organization {}".format)

    class Params:
        operator = factory.Trait(kind=Kind.OPERATOR)
        provider = factory.Trait(kind=Kind.PROVIDER)
        consumer = factory.Trait(kind=Kind.CONSUMER)


class UserFactory(DjangoModelFactory):
    """UserFactory(member_of=organization, role="viewer"); without member_of a stranger everywhere."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    email = factory.Sequence("user{}@example.com".format)
    name = factory.Sequence("User {}".format)

    class Params:
        superuser = factory.Trait(is_staff=True, is_superuser=True)

    @classmethod
    def _create(cls, model_class, *_args, member_of=None, role=Role.MEMBER, **kwargs):
        user = model_class.objects.create_user(
            kwargs.pop("email"), kwargs.pop("password", None), **kwargs
        )
        if member_of is not None:
            MembershipFactory(user=user, organization=member_of, role=role)
        return user


class MembershipFactory(DjangoModelFactory):
    class Meta:
        model = Membership

    user = factory.SubFactory(UserFactory)
    organization = factory.SubFactory(OrganizationFactory)
    role = Role.MEMBER

    class Params:
        viewer = factory.Trait(role=Role.VIEWER)
        admin = factory.Trait(role=Role.ADMIN)


class NoticeFactory(DjangoModelFactory):
    class Meta:
        model = Notice

    organization = factory.SubFactory(OrganizationFactory)
    topic = factory.Sequence("cluster.maintenance:{}".format)
    text = "%(cluster)s is in maintenance: new publishes are refused, what is live keeps serving."
    params = factory.LazyFunction(lambda: {"cluster": "kr-main", "reason": ""})
