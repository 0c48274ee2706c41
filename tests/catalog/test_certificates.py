"""Uploading and replacing certificates: what is refused, what is kept, what nobody reads again."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.core.management import call_command
from django.db import IntegrityError, transaction

from accounts.models import AuditEvent
from catalog.models import Certificate, Validity
from catalog.services import certificates, gateways
from clusters.models import ClusterState
from core.errors import DomainError, InvalidInput
from core.sealing import unseal
from tests.factories.accounts import OrganizationFactory
from tests.factories.catalog import CertificateFactory, GatewayFactory, ListenerFactory
from tests.factories.publishing import ProductPublishFactory
from tests.factories.tls import authority, intermediate, issue, key_pem, pem

pytestmark = pytest.mark.django_db


def upload(actor, issued, name="web", **changes):
    values = {"certificate": issued.chain, "private_key": issued.private_key} | changes
    owner = actor.memberships.get().organization_id
    return certificates.upload(actor=actor, organization_id=owner, name=name, **values)


# --- What is kept ----------------------------------------------------------------------------------


def test_a_certificate_says_what_it_is_for(member):
    issued = issue("api.example.com", "*.api.example.com", by=intermediate(), with_chain=True)
    row = upload(member, issued)

    assert row.hosts == ["*.api.example.com", "api.example.com"]
    assert row.fingerprint == issued.fingerprint
    assert (row.subject, row.issuer) == ("CN=api.example.com", "CN=Test Intermediate")
    assert (row.key_type, row.version, row.status) == ("ECDSA P-256", 1, Validity.VALID)
    assert row.days_left == 89
    assert row.chain == issued.chain


def test_the_key_is_sealed_for_its_row(member):
    issued = issue("api.example.com")
    row = upload(member, issued)

    assert "PRIVATE KEY" not in row.sealed_key
    assert unseal(row.sealed_key, place=row.sealing_place).decode() == issued.private_key
    assert certificates.for_gateways(row)["tls"]["private_key"] == issued.private_key


def test_the_audit_trail_names_no_secret(member):
    issued = issue("api.example.com")
    row = upload(member, issued)
    certificates.replace(
        actor=member,
        certificate_id=row.pk,
        certificate=issue("api.example.com", key=issued.key).chain,
    )

    events = AuditEvent.objects.filter(object_id=str(row.pk))
    assert set(events.values_list("action", flat=True)) == {
        "certificate.upload",
        "certificate.replace",
    }
    assert not any("KEY" in str((event.before, event.after)) for event in events)


@pytest.mark.parametrize(
    ("host", "covered"),
    [
        ("api.example.com", True),
        ("a.shop.example.com", True),
        ("a.b.shop.example.com", False),
        ("shop.example.com", False),
        ("example.com", False),
    ],
)
def test_a_wildcard_covers_one_label(host, covered):
    row = Certificate(hosts=["*.shop.example.com", "api.example.com"])

    assert row.covers(host) is covered


def test_rsa_keys_and_elliptic_ones_are_taken(member):
    for place, key in enumerate(
        [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())]
    ):
        upload(member, issue("api.example.com", key=key), name=f"web {place}")

    kinds = Certificate.objects.values_list("key_type", flat=True)
    assert set(kinds) == {"RSA 2048", "ECDSA P-384"}


# --- What is refused -------------------------------------------------------------------------------


def wrong_inputs():
    good = issue("api.example.com")
    ordered = issue("api.example.com", by=intermediate(), with_chain=True)
    client = issue("api.example.com", usage=[ExtendedKeyUsageOID.CLIENT_AUTH])
    small = issue("api.example.com", key=rsa.generate_private_key(65537, 1024))
    odd = issue("api.example.com", key=ed25519.Ed25519PrivateKey.generate())
    reversed_chain = pem(intermediate().certificate) + pem(ordered.certificate)
    unrelated = pem(ordered.certificate) + pem(authority("Another Root").certificate)
    return {
        "empty": ("", good.private_key, "certificate", "Upload a certificate"),
        "not PEM": ("hello", good.private_key, "certificate", "BEGIN CERTIFICATE"),
        "broken PEM": (good.chain[:200], good.private_key, "certificate", "BEGIN CERTIFICATE"),
        "too large": ("x" * 70_000, good.private_key, "certificate", "64 KiB"),
        "a key inside": (
            good.chain + good.private_key,
            good.private_key,
            "certificate",
            "own field",
        ),
        "too many": (good.chain * 11, good.private_key, "certificate", "At most 10"),
        "no key": (good.chain, " ", "private_key", "Upload the certificate's private key"),
        "not a key": (good.chain, good.chain, "private_key", "no private key"),
        "large key": (good.chain, "x" * 20_000, "private_key", "16 KiB"),
        "encrypted key": (good.chain, key_pem(good.key, b"secret"), "private_key", "passphrase"),
        "another key": (
            good.chain,
            issue("api.example.com").private_key,
            "private_key",
            "belongs to another certificate",
        ),
        "small RSA": (small.chain, small.private_key, "private_key", "2048"),
        "odd kind": (odd.chain, odd.private_key, "private_key", "P-256"),
        "reversed": (
            reversed_chain,
            ordered.private_key,
            "certificate",
            "certificate 2 of the chain",
        ),
        "not its issuer": (unrelated, ordered.private_key, "certificate", "not issued by"),
        "for clients": (client.chain, client.private_key, "certificate", "not meant for servers"),
    }


WRONG = wrong_inputs()


@pytest.mark.parametrize("name", WRONG)
def test_what_no_gateway_could_serve_is_refused(member, name):
    chain, key, field, words = WRONG[name]

    with pytest.raises(InvalidInput, match=words) as refused:
        upload(member, issue("x.test"), certificate=chain, private_key=key)
    assert refused.value.field == field
    assert not Certificate.objects.exists()


@pytest.mark.parametrize(
    ("issued", "words"),
    [
        (issue("api.example.com", days=-1, began=30), "expired on"),
        (issue("api.example.com", began=-2), "not valid before"),
        (issue(), "names no host"),
    ],
)
def test_a_certificate_must_be_good_for_a_host_now(member, issued, words):
    with pytest.raises(InvalidInput, match=words) as refused:
        upload(member, issued)
    assert refused.value.field == "certificate"


def test_a_name_is_there_once(member):
    upload(member, issue("api.example.com"))

    with pytest.raises(InvalidInput, match="already have a certificate named web") as refused:
        upload(member, issue("api.example.com"))
    assert refused.value.code == "duplicate"


# --- Who may ---------------------------------------------------------------------------------------


def test_viewers_and_strangers_change_nothing(provider, viewer, stranger):
    row, issued = CertificateFactory(organization=provider), issue("a.example.com")
    pair = {"certificate": issued.chain, "private_key": issued.private_key}

    with pytest.raises(PermissionDenied):
        upload(viewer, issued)
    for call, values in (
        (certificates.replace, pair),
        (certificates.rename, {"name": "x"}),
        (certificates.delete, {}),
    ):
        with pytest.raises(PermissionDenied):
            call(actor=viewer, certificate_id=row.pk, **values)
        with pytest.raises(ObjectDoesNotExist):
            call(actor=stranger, certificate_id=row.pk, **values)


def test_only_admins_delete(provider, member, admin):
    row = CertificateFactory(organization=provider)

    with pytest.raises(PermissionDenied):
        certificates.delete(actor=member, certificate_id=row.pk)
    certificates.delete(actor=admin, certificate_id=row.pk)
    assert not Certificate.objects.exists()


# --- Replacing -------------------------------------------------------------------------------------


def test_the_next_version_takes_the_place_of_the_one_before(member):
    row = upload(member, issue("api.example.com"))
    fresh = issue("api.example.com", "www.example.com")
    found = certificates.replace(
        actor=member,
        certificate_id=row.pk,
        certificate=fresh.chain,
        private_key=fresh.private_key,
    )

    assert (found.pk, found.version, found.fingerprint) == (row.pk, 2, fresh.fingerprint)
    assert found.tag != row.tag
    assert certificates.for_gateways(found)["tls"]["private_key"] == fresh.private_key


def test_a_renewal_for_the_same_key_needs_no_key(member):
    issued = issue("api.example.com", days=5)
    row = upload(member, issued)
    assert row.status == Validity.EXPIRING
    renewed = issue("api.example.com", key=issued.key)
    found = certificates.replace(actor=member, certificate_id=row.pk, certificate=renewed.chain)

    assert (found.version, found.fingerprint) == (2, renewed.fingerprint)


def test_the_same_again_is_no_new_version(member):
    issued = issue("api.example.com")
    row = upload(member, issued)
    found = certificates.replace(
        actor=member,
        certificate_id=row.pk,
        certificate=issued.chain,
        private_key=issued.private_key,
    )

    assert found.version == 1


def live_publish(provider, certificate, host="api.example.com"):
    gateway = GatewayFactory(organization=provider, listener=None)
    ListenerFactory(gateway=gateway, https=True, certificate=certificate)
    return ProductPublishFactory(
        organization=provider, gateway=gateway, hostname_base=host, published=True
    )


def test_a_host_that_is_served_stays_covered(provider, member):
    row = CertificateFactory(organization=provider)
    publish = live_publish(provider, row)
    other = issue("shop.example.com")

    with pytest.raises(InvalidInput, match=r"serves api\.example\.com") as refused:
        certificates.replace(
            actor=member,
            certificate_id=row.pk,
            certificate=other.chain,
            private_key=other.private_key,
        )
    assert refused.value.code == "certificate_mismatch"
    assert publish.live_revision.secret_ids == [str(row.pk)]


def test_a_listener_keeps_its_hostname_covered(provider, member):
    row = CertificateFactory(organization=provider, issued=issue("a.example.com"))
    ListenerFactory(
        gateway=GatewayFactory(organization=provider),
        https=True,
        certificate=row,
        hostname="a.example.com",
    )
    other = issue("b.example.com")

    with pytest.raises(InvalidInput, match=r"a\.example\.com"):
        certificates.replace(
            actor=member,
            certificate_id=row.pk,
            certificate=other.chain,
            private_key=other.private_key,
        )


def test_the_clusters_that_serve_it_hear_of_a_new_version(provider, member):
    row = CertificateFactory(organization=provider)
    publish, elsewhere = live_publish(provider, row), ProductPublishFactory(published=True)
    generations = dict(ClusterState.objects.values_list("pk", "desired_generation"))
    fresh = issue("*.example.com")
    certificates.replace(
        actor=member, certificate_id=row.pk, certificate=fresh.chain, private_key=fresh.private_key
    )

    moved = dict(ClusterState.objects.values_list("pk", "desired_generation"))
    assert moved[publish.cluster_id] == generations[publish.cluster_id] + 1
    assert moved[elsewhere.cluster_id] == generations[elsewhere.cluster_id]


def test_a_new_name_reaches_no_gateway(provider, member):
    row = CertificateFactory(organization=provider)
    publish = live_publish(provider, row)
    before = ClusterState.objects.get(pk=publish.cluster_id).desired_generation
    certificates.rename(actor=member, certificate_id=row.pk, name="new")

    assert ClusterState.objects.get(pk=publish.cluster_id).desired_generation == before


# --- Deleting --------------------------------------------------------------------------------------


def test_a_certificate_stays_while_a_listener_uses_it(provider, admin):
    row = CertificateFactory(organization=provider)
    gateway = GatewayFactory(organization=provider, name="edge", listener=None)
    ListenerFactory(gateway=gateway, https=True, certificate=row)

    with pytest.raises(DomainError, match="used by: edge") as refused:
        certificates.delete(actor=admin, certificate_id=row.pk)
    assert refused.value.code == "certificate_in_use"


def test_a_certificate_stays_while_a_live_publish_serves_with_it(provider, admin):
    row = CertificateFactory(organization=provider)
    publish = live_publish(provider, row)
    publish.gateway.listeners.all().delete()

    with pytest.raises(DomainError) as refused:
        certificates.delete(actor=admin, certificate_id=row.pk)
    assert refused.value.details["publishes"] == [{"id": str(publish.pk), "name": str(publish)}]


# --- At rest ---------------------------------------------------------------------------------------


def test_reseal_takes_the_first_key(provider, settings, capsys):
    row = CertificateFactory(organization=provider)
    new = "a new sealing key 0123456789-0123456789"
    settings.ENCRYPTION_KEYS = [new, *settings.ENCRYPTION_KEYS]
    call_command("reseal")
    settings.ENCRYPTION_KEYS = [new]
    row.refresh_from_db()

    assert "1 " in capsys.readouterr().out
    assert b"PRIVATE KEY" in unseal(row.sealed_key, place=row.sealing_place)
    assert certificates.reseal() == 0


def test_a_key_that_no_setting_opens_can_be_uploaded_again(provider, member, settings):
    issued = issue("api.example.com")
    row = CertificateFactory(organization=provider, issued=issued)
    settings.ENCRYPTION_KEYS = ["another sealing key 0123456789-0123456789"]

    with pytest.raises(DomainError, match="cannot be opened any more") as refused:
        certificates.for_gateways(row)
    assert refused.value.code == "key_lost"
    found = certificates.replace(
        actor=member,
        certificate_id=row.pk,
        certificate=issued.chain,
        private_key=issued.private_key,
    )
    assert certificates.for_gateways(found)["tls"]["private_key"] == issued.private_key


@pytest.mark.parametrize(
    "wrong",
    [{"sealed_key": "-----BEGIN PRIVATE KEY-----"}, {"hosts": []}],
)
def test_the_database_refuses(wrong):
    with pytest.raises(IntegrityError), transaction.atomic():
        CertificateFactory(**wrong)


# --- Listeners -------------------------------------------------------------------------------------


def create_gateway(actor, *listeners, name="edge"):
    owner = actor.memberships.get().organization_id
    return gateways.create(
        actor=actor, organization_id=owner, name=name, gateway_class="envoy", listeners=listeners
    )


def test_several_hosts_share_a_port(provider, member):
    a = CertificateFactory(organization=provider, issued=issue("a.example.com"))
    b = CertificateFactory(organization=provider, issued=issue("*.b.example.com"))
    gateway = create_gateway(
        member,
        {"port": 8443, "protocol": "HTTPS", "hostname": "A.example.com", "certificate_id": a.pk},
        {"port": 8443, "protocol": "HTTPS", "hostname": "*.b.example.com", "certificate": b},
        {"port": 8080},
    )

    assert list(map(str, gateway.listeners.all())) == [
        "8080/HTTP",
        "8443/HTTPS *.b.example.com",
        "8443/HTTPS a.example.com",
    ]
    event = AuditEvent.objects.get(object_id=str(gateway.pk))
    assert event.after["listeners"][1] == f"8443/HTTPS *.b.example.com ({b.name})"


def wrong_listeners():
    return {
        "no certificate": ({"port": 8443, "protocol": "HTTPS"}, "certificate_id", "needs a certif"),
        "plain with one": (
            {"port": 8080, "certificate_id": "mine"},
            "certificate_id",
            "Only HTTPS",
        ),
        "a stranger's": (
            {"port": 8443, "protocol": "HTTPS", "certificate_id": "theirs"},
            "certificate_id",
            "no such certificate",
        ),
        "no id": (
            {"port": 8443, "protocol": "HTTPS", "certificate_id": "what"},
            "certificate_id",
            "no such certificate",
        ),
        "another host": (
            {"port": 8443, "protocol": "HTTPS", "certificate_id": "mine", "hostname": "x.test"},
            "certificate_id",
            r"is for \*\.example\.com, not for x\.test",
        ),
        "an address": ({"port": 8080, "hostname": "192.0.2.1"}, "hostname", "DNS name"),
        "all hosts": ({"port": 8080, "hostname": "*"}, "hostname", "DNS name"),
        "inner star": ({"port": 8080, "hostname": "a.*.test"}, "hostname", "not a DNS name"),
        "odd protocol": ({"port": 8080, "protocol": "TCP"}, "protocol", "Choose one of"),
    }


@pytest.mark.parametrize("name", wrong_listeners())
def test_listeners_that_cannot_be(provider, member, name):
    mine = CertificateFactory(organization=provider)
    theirs = CertificateFactory(organization=OrganizationFactory(provider=True))
    listener, field, words = wrong_listeners()[name]
    known = {"mine": mine.pk, "theirs": theirs.pk}
    if listener.get("certificate_id") in known:
        listener["certificate_id"] = known[listener["certificate_id"]]

    with pytest.raises(InvalidInput, match=words) as refused:
        create_gateway(member, listener)
    assert refused.value.field == f"listeners.0.{field}"


def test_a_port_speaks_one_protocol(provider, member):
    mine = CertificateFactory(organization=provider)
    secure = {
        "port": 8443,
        "protocol": "HTTPS",
        "certificate_id": mine.pk,
        "hostname": "a.example.com",
    }

    with pytest.raises(InvalidInput, match="speaks HTTPS") as refused:
        create_gateway(member, secure, {"port": 8443})
    assert refused.value.field == "listeners.1.protocol"


def test_a_place_is_listened_on_once(member):
    with pytest.raises(DomainError, match="twice") as refused:
        create_gateway(member, {"port": 8080}, {"port": 8080})
    assert refused.value.code == "listener_exists"


@pytest.mark.parametrize("wrong", [{"protocol": "HTTPS"}, {"https": True, "protocol": "HTTP"}])
def test_the_database_ties_certificate_and_protocol(provider, wrong):
    with pytest.raises(IntegrityError), transaction.atomic():
        ListenerFactory(gateway=GatewayFactory(organization=provider, listener=None), **wrong)
