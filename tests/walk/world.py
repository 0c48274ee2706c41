"""One of everything, each in the organization of the kind that owns it."""

from __future__ import annotations

from types import SimpleNamespace

from accounts import services
from accounts.models import Kind, Organization, Role, User
from tests.factories.accounts import MembershipFactory, OrganizationFactory, UserFactory
from tests.factories.catalog import (
    ApiImportFactory,
    BackendFactory,
    CertificateFactory,
    PolicyFactory,
    RouteFactory,
)
from tests.factories.clusters import AgentFactory, ClusterFactory, RegistrationTokenFactory
from tests.factories.publishing import DeploymentFactory, ProductPublishFactory
from tests.factories.subscriptions import (
    ApplicationFactory,
    CredentialFactory,
    PlanFactory,
    SubscriptionFactory,
)


class World:
    def __init__(self) -> None:
        self.organizations = {kind: OrganizationFactory(kind=kind) for kind in Kind.values}
        self.cluster = ClusterFactory(organization=self.organizations[Kind.OPERATOR])
        self.registration_token = RegistrationTokenFactory(cluster=self.cluster)
        self.agent = AgentFactory(cluster=self.cluster)
        self.publish = ProductPublishFactory(
            organization=self.organizations[Kind.PROVIDER], cluster=self.cluster, published=True
        )
        self.product, self.gateway = self.publish.product, self.publish.gateway
        # Paths name a revision by its number.
        self.revision_number = SimpleNamespace(pk=self.publish.live_revision.number)
        self.service = self.product.services.get()
        self.route = RouteFactory(service=self.service, path="/extra")
        self.backend = BackendFactory(service=self.service)
        self.policy_kind = SimpleNamespace(pk=PolicyFactory(service=self.service).kind)
        self.certificate = CertificateFactory(organization=self.organizations[Kind.PROVIDER])
        self.api_import = ApiImportFactory(organization=self.organizations[Kind.PROVIDER])
        self.deployment = DeploymentFactory(
            publish=self.publish, revision=self.publish.live_revision
        )
        self.plan = PlanFactory(publish=self.publish)
        self.application = ApplicationFactory(organization=self.organizations[Kind.CONSUMER])
        self.subscription = SubscriptionFactory(application=self.application, plan=self.plan)
        self.credential = CredentialFactory(subscription=self.subscription)
        owner = self.somebody(Kind.PROVIDER, Role.ADMIN)
        self.api_token, _secret = services.create_api_token(
            actor=owner, organization_id=self.organizations[Kind.PROVIDER].pk, name="CI"
        )

    def somebody(self, kind: str, role: Role) -> User:
        return UserFactory(member_of=self.organizations[kind], role=role)

    def stranger(self) -> User:
        """An admin of other organizations, one of each kind."""
        user: User = UserFactory()
        for kind in Kind.values:
            organization: Organization = OrganizationFactory(kind=kind)
            MembershipFactory(user=user, organization=organization, admin=True)
        return user
