"""/api/v1/provider/certificates: everything about a certificate but its key."""

from __future__ import annotations

import pytest

from catalog.models import Certificate
from tests.catalog.test_api import client_of, data, error
from tests.factories.catalog import CertificateFactory, GatewayFactory, ListenerFactory
from tests.factories.tls import issue

pytestmark = pytest.mark.django_db
URL = "/api/v1/provider/certificates"
GATEWAYS = "/api/v1/provider/gateways"


@pytest.fixture
def as_member(member):
    return client_of(member)


@pytest.fixture
def as_admin(admin):
    return client_of(admin)


def body(issued, **changes):
    values = {"name": "web", "certificate": issued.chain, "private_key": issued.private_key}
    return values | changes


def test_an_upload_comes_back_without_its_key(as_member, provider):
    issued = issue("api.example.com")
    response = as_member.post(URL, body(issued))
    made = data(response, 201)

    assert "PRIVATE" not in response.content.decode()
    assert made["provider_tenant_id"] == str(provider.pk)
    assert made["certificate"] == issued.chain
    assert made["fingerprint_sha256"] == issued.fingerprint
    assert made["hosts"] == ["api.example.com"]
    assert (made["version"], made["status"], made["days_left"]) == (1, "valid", 89)
    assert made["gateway_ids"] == []


def test_no_answer_holds_a_key(as_member, as_admin, provider):
    row = CertificateFactory(organization=provider)
    ListenerFactory(gateway=GatewayFactory(organization=provider), https=True, certificate=row)
    sealed = row.sealed_key
    for path in (URL, f"{URL}/{row.pk}", GATEWAYS):
        text = as_member.get(path).content.decode()
        assert "PRIVATE" not in text
        assert sealed not in text


def test_what_is_wrong_is_named_by_field(as_member):
    mine, other = issue("api.example.com"), issue("api.example.com")
    wrong_key = error(as_member.post(URL, body(mine, private_key=other.private_key)), 400)
    old = error(as_member.post(URL, body(issue("a.test", days=-1, began=9))), 400)

    assert list(wrong_key["details"]) == ["private_key"]
    assert list(old["details"]) == ["certificate"]
    assert "expired" in old["message"]


def test_put_makes_the_next_version_and_patch_a_name(as_member, provider):
    row = CertificateFactory(organization=provider, issued=issue("api.example.com"))
    fresh = issue("api.example.com")
    second = data(as_member.put(f"{URL}/{row.pk}", body(fresh, name="new")))
    renamed = data(as_member.patch(f"{URL}/{row.pk}", {"name": "newer"}))
    third = data(
        as_member.patch(
            f"{URL}/{row.pk}", {"certificate": issue("api.example.com", key=fresh.key).chain}
        )
    )

    assert (second["version"], second["name"]) == (2, "new")
    assert (renamed["version"], renamed["name"]) == (2, "newer")
    assert (third["version"], third["name"]) == (3, "newer")


def test_nobody_elses_change_is_overwritten(as_member, provider):
    row = CertificateFactory(organization=provider)
    url = f"{URL}/{row.pk}"
    read = as_member.get(url)["ETag"]
    data(as_member.patch(url, {"name": "theirs"}))

    stale = as_member.patch(url, {"name": "mine"}, headers={"If-Match": read})
    assert error(stale, 412)["code"] == "stale"
    fresh = as_member.get(url)["ETag"]
    assert as_member.patch(url, {"name": "mine"}, headers={"If-Match": fresh}).status_code == 200
    stale = as_member.put(url, body(issue("*.example.com")), headers={"If-Match": fresh})
    assert stale.status_code == 412


def test_a_key_alone_replaces_nothing(as_member, provider):
    row = CertificateFactory(organization=provider)
    found = error(
        as_member.patch(f"{URL}/{row.pk}", {"private_key": issue("a.test").private_key}), 400
    )

    assert list(found["details"]) == ["certificate"]


def test_one_in_use_stays(as_member, as_admin, provider):
    row = CertificateFactory(organization=provider)
    gateway = GatewayFactory(organization=provider, name="edge", listener=None)
    ListenerFactory(gateway=gateway, https=True, certificate=row)
    shown = data(as_member.get(f"{URL}/{row.pk}"))

    assert shown["gateway_ids"] == [str(gateway.pk)]
    assert error(as_admin.delete(f"{URL}/{row.pk}"), 409)["code"] == "certificate_in_use"
    assert as_member.delete(f"{URL}/{row.pk}").status_code == 403
    gateway.delete()
    assert as_admin.delete(f"{URL}/{row.pk}").status_code == 204
    assert not Certificate.objects.exists()


def test_lists_are_narrowed(as_member, provider):
    CertificateFactory(organization=provider, name="old", issued=issue("a.test", days=-1, began=9))
    CertificateFactory(organization=provider, name="soon", issued=issue("*.b.test", days=9))
    CertificateFactory(organization=provider, name="fine", issued=issue("c.test"))

    def names(query):
        return [row["name"] for row in data(as_member.get(f"{URL}?{query}"))["items"]]

    assert names("status=expired") == ["old"]
    assert names("status=expiring") == ["soon"]
    assert names("status=valid") == ["fine"]
    assert names("host=X.b.test") == ["soon"]
    assert names("search=in") == ["fine"]
    assert names("ordering=not_after") == ["old", "soon", "fine"]
    assert as_member.get(f"{URL}?status=what").status_code == 400


def test_a_gateway_over_rest_speaks_https(as_member, provider):
    row = CertificateFactory(organization=provider)
    listener = {
        "port": 8443,
        "protocol": "HTTPS",
        "hostname": "api.example.com",
        "certificate_id": str(row.pk),
    }
    made = data(
        as_member.post(
            GATEWAYS, {"name": "edge", "gateway_class": "envoy", "listeners": [listener]}
        ),
        201,
    )
    again = data(as_member.put(f"{GATEWAYS}/{made['id']}", made))

    assert {**made["listeners"][0], "id": None} == {"id": None, **listener}
    assert again["listeners"] == made["listeners"]


def test_lists_cost_the_same_for_many(as_member, provider, django_assert_max_num_queries):
    for number in range(5):
        row = CertificateFactory(organization=provider, name=f"c{number}")
        ListenerFactory(gateway=GatewayFactory(organization=provider), https=True, certificate=row)

    with django_assert_max_num_queries(12):
        as_member.get(URL)
