"""Plans, applications, subscriptions and keys over REST."""

from __future__ import annotations

import hashlib
import uuid

import pytest
from rest_framework.test import APIClient

from subscriptions.models import AccessEntry, Application, Credential, Plan, Subscription
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.clusters import AgentFactory
from tests.factories.publishing import ProductPublishFactory
from tests.factories.subscriptions import (
    ApplicationFactory,
    CredentialFactory,
    PlanFactory,
    SubscriptionFactory,
)

pytestmark = pytest.mark.django_db
V1 = "/api/v1"
APPLICATIONS = f"{V1}/customer/applications"
SUBSCRIPTIONS = f"{V1}/customer/subscriptions"
CREDENTIALS = f"{V1}/customer/credentials"
PROVIDED = f"{V1}/provider/subscriptions"
PLANS = f"{V1}/provider/plans"
PUBLIC = f"{V1}/public/products"


def client_of(user) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


def data(response, status=200):
    assert response.status_code == status, response.content
    return response.json()["data"]


def error(response, status, code=None):
    assert response.status_code == status, response.content
    found = response.json()["error"]
    assert code is None or found["code"] == code, found
    return found


def plans_of(publish):
    return f"{V1}/provider/product-publishes/{publish.pk}/plans"


@pytest.fixture
def as_member(member):
    return client_of(member)


@pytest.fixture
def as_admin(admin):
    return client_of(admin)


@pytest.fixture
def as_provider(provider_member):
    return client_of(provider_member)


@pytest.fixture
def as_provider_admin(provider_admin):
    return client_of(provider_admin)


@pytest.fixture
def subscription(application, plan):
    return SubscriptionFactory(application=application, plan=plan)


@pytest.fixture
def credential(as_member, subscription):
    return data(as_member.post(CREDENTIALS, {"subscription_id": str(subscription.pk)}), 201)


# --- Plans -----------------------------------------------------------------------------------------


def test_plans_over_rest(as_provider, as_provider_admin, publish):
    body = {"name": "Basic", "price": "29", "quota_per_day": 10_000, "rate_per_minute": 100}
    made = data(as_provider.post(plans_of(publish), body), 201)

    assert made == {
        "id": made["id"],
        "product_publish_id": str(publish.pk),
        "name": "Basic",
        "price": "29.00",
        "currency": "USD",
        "quota_per_day": 10_000,
        "rate_per_minute": 100,
        "approval_required": None,
        "created_at": made["created_at"],
        "subscription_count": 0,
    }
    url = f"{PLANS}/{made['id']}"
    assert data(as_provider.get(url)) == made
    assert data(as_provider.get(plans_of(publish)))["items"] == [made]
    changed = data(as_provider.put(url, {**body, "rate_per_minute": None}))
    assert changed["rate_per_minute"] is None
    assert AccessEntry.objects.get(pk=made["id"]).rate_per_minute == 0
    error(as_provider.delete(url), 403)
    assert as_provider_admin.delete(url).status_code == 204


def test_a_plan_counts_its_open_subscriptions(as_provider_admin, plan):
    SubscriptionFactory(plan=plan, pending=True)
    SubscriptionFactory(plan=plan)
    SubscriptionFactory(plan=plan, cancelled=True)
    assert data(as_provider_admin.get(f"{PLANS}/{plan.pk}"))["subscription_count"] == 2
    found = error(as_provider_admin.delete(f"{PLANS}/{plan.pk}"), 409, "plan_in_use")
    assert found["details"] == {"subscriptions": 2}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": ["x"]}, "name"),
        ({"name": "x" * 300_000}, "name"),
        ({"price": "free"}, "price"),
        ({"price": -1}, "price"),
        ({"price": "1.005"}, "price"),
        ({"currency": "U$D"}, "currency"),
        ({"quota_per_day": 0}, "quota_per_day"),
        ({"quota_per_day": "many"}, "quota_per_day"),
        ({"rate_per_minute": 10**20}, "rate_per_minute"),
        ({"rate_per_minute": []}, "rate_per_minute"),
        ({"approval_required": "perhaps"}, "approval_required"),
    ],
)
def test_what_is_wrong_with_a_plan_is_named(as_provider, publish, change, field):
    found = error(as_provider.post(plans_of(publish), {"name": "Basic", **change}), 400)
    assert field in found["details"]
    assert not Plan.objects.exists()


# --- The consumer's way ----------------------------------------------------------------------------


def test_from_an_application_to_a_revoked_key(as_member, plan, consumer):
    agent = AgentFactory(cluster=plan.publish.cluster, live=True)
    application = data(as_member.post(APPLICATIONS, {"name": "Shop"}), 201)
    assert application["consumer_tenant_id"] == str(consumer.pk)

    body = {"application_id": application["id"], "plan_id": str(plan.pk)}
    subscription = data(as_member.post(SUBSCRIPTIONS, body), 201)
    assert (subscription["status"], subscription["plan"]["id"]) == ("active", str(plan.pk))
    assert subscription["product_publish_id"] == str(plan.publish.pk)
    assert subscription["publish_status"] == "PUBLISHED"

    response = as_member.post(CREDENTIALS, {"subscription_id": subscription["id"], "name": "prod"})
    assert response["Cache-Control"] == "no-store"
    made = data(response, 201)
    entry = AccessEntry.objects.get(pk=made["id"])
    assert entry.digest == hashlib.sha256(made["key"].encode()).hexdigest()

    url = f"{CREDENTIALS}/{made['id']}"
    shown = data(as_member.get(url))
    assert (shown["status"], shown["receipt"]) == ("active", None)
    revoked = data(as_member.post(f"{url}/revoke"))
    assert revoked["status"] == "revoked"
    assert revoked["receipt"]["gateways"] == [{"id": str(agent.pk), "status": "pending"}]
    agent.access_version = revoked["receipt"]["revoked_version"]
    agent.save()
    assert data(as_member.get(url))["receipt"]["confirmed"] == 1


def test_the_secret_is_in_the_answer_that_made_it_and_nowhere_else(as_member, credential):
    key, url = credential["key"], f"{CREDENTIALS}/{credential['id']}"
    digest = hashlib.sha256(key.encode()).hexdigest()
    for response in (
        as_member.get(url),
        as_member.get(CREDENTIALS),
        as_member.post(f"{url}/revoke"),
    ):
        text = response.content.decode()
        assert key not in text
        assert digest not in text


def test_deleting_a_key_is_revoking_it(as_member, credential):
    url = f"{CREDENTIALS}/{credential['id']}"
    assert data(as_member.delete(url))["status"] == "revoked"
    assert data(as_member.get(url))["receipt"]["pending"] == 0
    assert Credential.objects.get().revoked_at is not None


def test_cancelling_and_changing_the_plan(as_member, subscription, plan):
    other = PlanFactory(publish=plan.publish)
    url = f"{SUBSCRIPTIONS}/{subscription.pk}"
    assert data(as_member.put(f"{url}/plan", {"plan_id": str(other.pk)}))["plan"]["id"] == str(
        other.pk
    )
    error(as_member.put(f"{url}/plan", {"plan_id": str(PlanFactory().pk)}), 404)
    error(as_member.put(f"{url}/plan", {"plan_id": "nonsense"}), 400)
    assert data(as_member.post(f"{url}/cancel"))["status"] == "cancelled"
    error(as_member.post(f"{url}/cancel"), 409, "invalid_state")


def test_an_application_is_deleted_when_nothing_uses_it(as_member, as_admin, application, plan):
    url = f"{APPLICATIONS}/{application.pk}"
    row = SubscriptionFactory(application=application, plan=plan)
    error(as_member.delete(url), 403)
    error(as_admin.delete(url), 409, "application_in_use")
    data(as_admin.post(f"{SUBSCRIPTIONS}/{row.pk}/cancel"))
    assert as_admin.delete(url).status_code == 204
    error(as_admin.get(url), 404)


def test_conflicts_of_subscribing(as_member, application, plan):
    body = {"application_id": str(application.pk), "plan_id": str(plan.pk)}
    data(as_member.post(SUBSCRIPTIONS, body), 201)
    error(as_member.post(SUBSCRIPTIONS, body), 409, "already_subscribed")
    draft = PlanFactory(publish=ProductPublishFactory())
    error(as_member.post(SUBSCRIPTIONS, {**body, "plan_id": str(draft.pk)}), 404)
    foreign = ApplicationFactory()
    error(as_member.post(SUBSCRIPTIONS, {**body, "application_id": str(foreign.pk)}), 404)


def test_lists_filter_search_and_order(as_member, application, plan, consumer):
    active = SubscriptionFactory(application=application, plan=plan)
    past = SubscriptionFactory(
        application=ApplicationFactory(organization=consumer, name="Till"),
        plan=plan,
        cancelled=True,
    )
    SubscriptionFactory(plan=plan)
    CredentialFactory(subscription=active, name="one")
    CredentialFactory(subscription=past, name="two", revoked=True)

    def ids(url, query):
        return [row["id"] for row in data(as_member.get(f"{url}?{query}"))["items"]]

    assert set(ids(SUBSCRIPTIONS, "")) == {str(active.pk), str(past.pk)}
    assert ids(SUBSCRIPTIONS, "status=cancelled") == [str(past.pk)]
    assert ids(SUBSCRIPTIONS, f"application_id={application.pk}") == [str(active.pk)]
    assert ids(SUBSCRIPTIONS, "search=till") == [str(past.pk)]
    assert len(ids(SUBSCRIPTIONS, f"plan_id={plan.pk}&product_publish_id={plan.publish_id}")) == 2
    error(as_member.get(f"{SUBSCRIPTIONS}?status=lapsed"), 400)
    assert len(ids(APPLICATIONS, "search=shop")) == 1
    assert len(ids(CREDENTIALS, "revoked=true")) == 1
    assert len(ids(CREDENTIALS, "revoked=false")) == 1
    assert len(ids(CREDENTIALS, f"subscription_id={active.pk}")) == 1
    assert len(ids(CREDENTIALS, "ordering=name")) == 2
    error(as_member.get(f"{CREDENTIALS}?ordering=digest"), 400)


def test_a_list_costs_the_same_however_long(
    as_member, as_provider, application, plan, django_assert_max_num_queries
):
    for _ in range(5):
        row = SubscriptionFactory(
            application=ApplicationFactory(organization=application.organization), plan=plan
        )
        CredentialFactory(subscription=row)
    for client, url in (
        (as_member, SUBSCRIPTIONS),
        (as_member, CREDENTIALS),
        (as_provider, PROVIDED),
        (as_provider, plans_of(plan.publish)),
    ):
        with django_assert_max_num_queries(7):
            assert data(client.get(url))["total"] >= 1


# --- The provider's way ----------------------------------------------------------------------------


def test_the_provider_sees_who_waits_and_decides(as_provider, application, plan):
    waiting = SubscriptionFactory(application=application, plan=plan, pending=True)
    SubscriptionFactory(pending=True)  # of another provider
    items = data(as_provider.get(f"{PROVIDED}?status=pending"))["items"]
    assert [row["id"] for row in items] == [str(waiting.pk)]
    assert items[0]["consumer_name"] == application.organization.name
    assert items[0]["application_name"] == "Shop"

    url = f"{PROVIDED}/{waiting.pk}"
    assert data(as_provider.post(f"{url}/approve"))["status"] == "active"
    error(as_provider.post(f"{url}/approve"), 409, "invalid_state")
    error(as_provider.post(f"{url}/suspend"), 400)
    assert data(as_provider.post(f"{url}/suspend", {"reason": "Unpaid"}))["status"] == "suspended"
    assert data(as_provider.post(f"{url}/resume"))["status"] == "active"


def test_a_rejection_needs_a_reason(as_provider, plan):
    waiting = SubscriptionFactory(plan=plan, pending=True)
    url = f"{PROVIDED}/{waiting.pk}/reject"
    for body in ({}, {"reason": ""}, {"reason": None}, {"reason": "x" * 300_000}, [], "x"):
        error(as_provider.post(url, body), 400)
    shown = data(as_provider.post(url, {"reason": "Unknown company"}))
    assert (shown["status"], shown["reason"]) == ("rejected", "Unknown company")


# --- For everybody ---------------------------------------------------------------------------------


def test_everybody_sees_what_is_on_offer(plan):
    product = plan.publish.product
    ProductPublishFactory()
    ProductPublishFactory(withdrawn=True)
    ProductPublishFactory(published=True, visibility="private")
    PlanFactory(
        publish=ProductPublishFactory(
            product=product, organization=product.organization, environment="dev"
        )
    )

    for client in (APIClient(), client_of(UserFactory())):
        items = data(client.get(PUBLIC))["items"]
        assert [row["id"] for row in items] == [str(product.pk)]
        assert items[0]["provider_name"] == product.organization.name
        assert [row["id"] for row in items[0]["publishes"]] == [str(plan.publish_id)]
        assert [row["name"] for row in items[0]["publishes"][0]["plans"]] == ["Basic"]
        assert data(client.get(f"{PUBLIC}/{product.pk}")) == items[0]


def test_what_is_not_on_offer_is_nobodys_business():
    hidden = ProductPublishFactory(published=True, visibility="private").product
    error(APIClient().get(f"{PUBLIC}/{hidden.pk}"), 404)


def test_the_public_list_is_searched_and_costs_the_same(plan, django_assert_max_num_queries):
    PlanFactory.create_batch(4)
    product = plan.publish.product
    product.categories = ["payments"]
    product.save()
    client = APIClient()
    with django_assert_max_num_queries(5):
        assert data(client.get(PUBLIC))["total"] == 5
    assert data(client.get(f"{PUBLIC}?search={product.name}&category=payments"))["total"] == 1
    assert data(client.get(f"{PUBLIC}?category=other"))["total"] == 0


def test_nobody_writes_to_what_is_public(plan, as_member):
    for method in ("post", "put", "patch", "delete"):
        assert getattr(as_member, method)(PUBLIC, {}).status_code == 405


# --- Who may ---------------------------------------------------------------------------------------


@pytest.fixture
def customer_urls(application, subscription, credential):
    return {
        f"{APPLICATIONS}/{application.pk}": ["get", "delete"],
        f"{SUBSCRIPTIONS}/{subscription.pk}": ["get"],
        f"{SUBSCRIPTIONS}/{subscription.pk}/cancel": ["post"],
        f"{SUBSCRIPTIONS}/{subscription.pk}/plan": ["put"],
        f"{CREDENTIALS}/{credential['id']}": ["get", "delete"],
        f"{CREDENTIALS}/{credential['id']}/revoke": ["post"],
    }


@pytest.fixture
def provider_urls(plan, subscription):
    url = f"{PROVIDED}/{subscription.pk}"
    return {
        plans_of(plan.publish): ["get", "post"],
        f"{PLANS}/{plan.pk}": ["get", "put", "delete"],
        url: ["get"],
        **{f"{url}/{verb}": ["post"] for verb in ("approve", "reject", "suspend", "resume")},
    }


def test_a_stranger_finds_nothing(stranger, provider_member, customer_urls, provider_urls):
    foreigner = UserFactory(member_of=OrganizationFactory(provider=True), role="admin")
    for user, urls in (
        (stranger, customer_urls),
        (provider_member, customer_urls),
        (foreigner, provider_urls),
    ):
        client = client_of(user)
        for url, methods in urls.items():
            for method in methods:
                error(getattr(client, method)(url, {}), 404, "not_found")
    for url in (APPLICATIONS, SUBSCRIPTIONS, CREDENTIALS, PROVIDED):
        assert data(client_of(stranger).get(url))["total"] == 0


def test_a_consumer_does_not_decide_about_itself(as_admin, provider_urls):
    for url, methods in provider_urls.items():
        for method in methods:
            error(getattr(as_admin, method)(url, {}), 404)


def test_a_viewer_reads_and_may_not_write_whatever_is_sent(
    viewer, provider_viewer, customer_urls, provider_urls
):
    for user, urls in ((viewer, customer_urls), (provider_viewer, provider_urls)):
        client = client_of(user)
        for url, methods in urls.items():
            for method in methods:
                response = getattr(client, method)(url, {})
                if method == "get":
                    data(response)
                else:
                    error(response, 403, "permission_denied")
    for url in (APPLICATIONS, SUBSCRIPTIONS, CREDENTIALS):
        error(client_of(viewer).post(url, {}), 403)


def test_nobody_is_let_in_without_signing_in(customer_urls, provider_urls):
    for urls in (customer_urls, provider_urls):
        for url, methods in urls.items():
            for method in methods:
                error(getattr(APIClient(), method)(url, {}), 401)


@pytest.mark.parametrize("kind", ["operator", "provider"])
def test_other_kinds_of_organization_subscribe_to_nothing(kind):
    client = client_of(UserFactory(member_of=OrganizationFactory(kind=kind), role="admin"))
    for url in (APPLICATIONS, SUBSCRIPTIONS, CREDENTIALS):
        error(client.post(url, {"name": "X"}), 403)


@pytest.mark.parametrize("pk", ["nonsense", "1", "0" * 32])
def test_ids_of_another_form_do_not_exist(as_member, as_provider, pk):
    for client, url in (
        (as_member, APPLICATIONS), (as_member, SUBSCRIPTIONS), (as_member, CREDENTIALS), (as_member, PUBLIC),
        (as_provider, PLANS), (as_provider, PROVIDED),
    ):  # fmt: skip
        error(client.get(f"{url}/{pk}"), 404)
    error(as_provider.get(f"{V1}/provider/product-publishes/{pk}/plans"), 404)
    error(as_provider.get(f"{V1}/provider/product-publishes/{uuid.uuid4()}/plans"), 404)


@pytest.mark.parametrize("url", [APPLICATIONS, SUBSCRIPTIONS, CREDENTIALS])
@pytest.mark.parametrize(
    "body", ["", "null", "[]", "5", "{", '{"name": {}}', '{"application_id": 5}']
)
def test_a_body_that_makes_no_sense_is_a_400(as_member, url, body):
    error(as_member.post(url, body, content_type="application/json"), 400)
    assert not Application.objects.exists()
    assert not Subscription.objects.exists()


@pytest.mark.parametrize("name", ["", "x" * 121, "x" * 300_000, "a\nb", None, {}, "\x00"])
def test_an_applications_name_is_a_line_of_text(as_member, name):
    assert "name" in error(as_member.post(APPLICATIONS, {"name": name}), 400)["details"]


def test_a_key_named_with_300_bytes_is_refused(as_member, subscription):
    body = {"subscription_id": str(subscription.pk), "name": "x" * 300}
    assert "name" in error(as_member.post(CREDENTIALS, body), 400)["details"]
