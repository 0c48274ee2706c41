"""What a publish may serve HTTPS with, and what is said before a certificate ends."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from catalog.models import Certificate, Gateway
from catalog.services import certificates, gateways
from core.errors import DomainError
from publishing import services
from publishing.compile import compile_publish
from publishing.models import ProductPublish, RouteClaim
from publishing.services import revisions, tls
from tests.factories.catalog import CertificateFactory, GatewayFactory, ListenerFactory
from tests.factories.publishing import ProductPublishFactory
from tests.factories.tls import issue
from tests.publishing.stage import Stage

pytestmark = pytest.mark.django_db
HOST = "api.example.com"


@pytest.fixture
def stage() -> Stage:
    return Stage(settings={"hostname_base": HOST})


def serve_with(stage: Stage, issued=None, **listener) -> Certificate:
    """Give the publish's gateway one HTTPS listener more."""
    owner = stage.publish.organization
    row = CertificateFactory(organization=owner, issued=issued or issue("*.example.com"))
    ListenerFactory(gateway=stage.publish.gateway, https=True, certificate=row, **listener)
    return row


def listeners(publish: ProductPublish) -> list[dict]:
    return compile_publish(publish).bundle.get("listeners", [])


def refusal(stage: Stage) -> DomainError:
    with pytest.raises(DomainError) as refused:
        stage.click()
    return refused.value


# --- What is compiled ------------------------------------------------------------------------------


def test_a_bundle_refers_to_the_certificate_of_each_port(stage):
    row = serve_with(stage)

    assert listeners(stage.publish) == [
        {"port": 8080, "protocol": "HTTP"},
        {"port": 8443, "protocol": "HTTPS", "tls": {"secret_id": str(row.pk)}},
    ]


def test_a_new_version_is_no_other_bundle(stage):
    row = serve_with(stage)
    before = compile_publish(stage.publish).digest
    fresh = issue("*.example.com")
    certificates.replace(
        actor=stage.user,
        certificate_id=row.pk,
        certificate=fresh.chain,
        private_key=fresh.private_key,
    )

    assert compile_publish(stage.publish).digest == before


@pytest.mark.parametrize(
    ("hostnames", "chosen"),
    [
        (["", "api.example.com"], "api.example.com"),
        (["", "*.example.com"], "*.example.com"),
        (["*.example.com", "api.example.com"], "api.example.com"),
        (["*.example.com", "b.example.com"], "*.example.com"),
        (["b.example.com"], None),
    ],
)
def test_the_most_specific_listener_of_a_port_is_the_hosts(stage, hostnames, chosen):
    rows = {name: serve_with(stage, hostname=name) for name in hostnames}

    found = {row["port"]: row for row in listeners(stage.publish)}.get(8443)
    assert found == (
        {"port": 8443, "protocol": "HTTPS", "tls": {"secret_id": str(rows[chosen].pk)}}
        if chosen is not None
        else None
    )


# --- What is refused -------------------------------------------------------------------------------


def test_a_certificate_of_another_host_is_refused(stage):
    serve_with(stage, issue("shop.example.com", "*.shop.example.com"))
    error = refusal(stage)

    assert error.code == "certificate_mismatch"
    assert "for *.shop.example.com, shop.example.com, not for api.example.com" in error.message


def test_an_expired_certificate_is_refused(stage):
    serve_with(stage, issue("*.example.com", days=-2, began=30))

    assert refusal(stage).code == "certificate_expired"


def test_no_listener_for_the_host_is_refused(stage):
    stage.publish.gateway.listeners.update(hostname="b.example.com")
    error = refusal(stage)

    assert error.code == "no_listener_for_host"
    assert HOST in error.message


def test_a_host_has_one_certificate_on_a_port(stage):
    serve_with(stage)
    stage.click()
    other = another(stage)
    theirs = CertificateFactory(organization=stage.publish.organization)
    ListenerFactory(gateway=other.gateway, https=True, certificate=theirs)

    with pytest.raises(DomainError, match="on port 8443 with another") as refused:
        services.publish(actor=stage.user, publish_id=other.pk)
    assert refused.value.code == "certificate_conflict"


def test_publishes_of_a_host_share_its_certificate(stage):
    row = serve_with(stage)
    stage.click()
    other = another(stage)
    ListenerFactory(gateway=other.gateway, https=True, certificate=row)

    services.publish(actor=stage.user, publish_id=other.pk)
    other.refresh_from_db()
    assert other.wanted_revision.secret_ids == [str(row.pk)]


def test_another_protocol_on_a_port_of_others_is_refused(stage):
    serve_with(stage)
    stage.click()
    other = another(stage, hostname_base="b.example.com")
    ListenerFactory(gateway=other.gateway, port=8443)

    with pytest.raises(DomainError, match="Port 8443 of cluster") as refused:
        services.publish(actor=stage.user, publish_id=other.pk)
    assert refused.value.code == "protocol_conflict"


def another(stage: Stage, **values) -> ProductPublish:
    owner = stage.publish.organization
    gateway: Gateway = GatewayFactory(organization=owner, listener=None)
    values = {"hostname_base": HOST, "gateway": gateway} | values
    return ProductPublishFactory(organization=owner, cluster=stage.cluster, **values)


# --- Going back, and changing ----------------------------------------------------------------------


def test_going_back_to_a_certificate_that_was_deleted_is_refused(stage):
    row = serve_with(stage)
    stage.click()
    stage.dispatch()
    stage.say("applied")
    stage.publish.gateway.listeners.filter(protocol="HTTPS").delete()
    stage.click()
    stage.dispatch()
    stage.say("applied")
    certificates.delete(actor=stage.user, certificate_id=row.pk)

    with pytest.raises(DomainError) as refused:
        services.roll_back(actor=stage.user, publish_id=stage.publish.pk, revision=1)
    assert refused.value.code == "certificate_gone"


def test_a_port_can_change_its_protocol(stage):
    """Both revisions are claimed at once: the place is one, and what is wanted says how it speaks."""
    stage.publish.gateway.listeners.update(port=8443)
    stage.click()
    stage.dispatch()
    stage.say("applied")
    row = CertificateFactory(organization=stage.publish.organization)
    stage.publish.gateway.listeners.update(protocol="HTTPS", certificate=row)
    stage.click()
    claimed = RouteClaim.objects.filter(publish=stage.publish)
    assert set(claimed.values_list("protocol", flat=True)) == {"HTTPS"}
    stage.dispatch()
    stage.say("failed")

    assert set(claimed.values_list("protocol", flat=True)) == {"HTTP"}


def test_a_gateway_can_be_edited_under_a_live_publish(stage):
    """Nothing reaches the gateways; the publish says that something is not published yet."""
    row = serve_with(stage)
    stage.click()
    stage.dispatch()
    stage.say("applied")
    stage.publish.refresh_from_db()
    assert revisions.unpublished([stage.publish]) == set()
    generation = stage.generation()
    secure = {"port": 8444, "protocol": "HTTPS", "certificate_id": row.pk}
    gateways.update(
        actor=stage.user, gateway_id=stage.publish.gateway_id, listeners=[{"port": 8080}, secure]
    )

    assert revisions.unpublished([stage.publish]) == {stage.publish.pk}
    assert stage.generation() == generation
    changed = revisions.pending(stage.publish).comparison
    assert "8444" in str(changed)


# --- What is said ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "code"),
    [(90, None), (30.5, None), (12.5, "certificate_expiring"), (-1, "certificate_expired")],
)
def test_a_publish_warns_before_its_certificate_ends(stage, days, code):
    end = timezone.now() + timedelta(days=days)
    serve_with(stage)
    stage.click()
    Certificate.objects.update(not_before=end - timedelta(days=40), not_after=end)
    stage.publish.refresh_from_db()
    (found,) = tls.serving([stage.publish]).values()
    warned = tls.warnings(found)

    assert [each["code"] for each in warned] == ([code] if code else [])
    if code == "certificate_expiring":
        assert "expires in 12 days" in warned[0]["message"]


def test_certificates_of_many_publishes_cost_two_queries(stage, django_assert_num_queries):
    serve_with(stage)
    stage.click()
    stage.publish.refresh_from_db()
    plain = ProductPublishFactory(published=True)

    with django_assert_num_queries(2):
        found = tls.serving([stage.publish, plain])
    assert [len(found[each.pk]) for each in (stage.publish, plain)] == [1, 0]


def test_page_and_api_of_a_publish_warn(stage, client):
    row = serve_with(stage)
    stage.click()
    stage.dispatch()
    stage.say("applied")
    client.force_login(stage.user)
    page, api = (
        reverse("publishing:detail", args=[stage.publish.pk]),
        f"/api/v1/provider/product-publishes/{stage.publish.pk}",
    )
    assert row.name not in client.get(page).content.decode()
    assert client.get(api).json()["data"]["warnings"] == []
    Certificate.objects.update(not_after=timezone.now() + timedelta(days=3.5))

    shown = client.get(page).content.decode()
    assert f"Certificate {row.name} expires in 3 days" in shown
    assert reverse("catalog:certificate", args=[row.pk]) in shown
    (warned,) = client.get(api).json()["data"]["warnings"]
    assert warned["code"] == "certificate_expiring"
    assert warned["details"]["days_left"] == 3
