"""The pages of gateways and certificates. A private key is on none of them."""

from __future__ import annotations

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from catalog.models import Certificate, Gateway
from tests.factories.catalog import CertificateFactory, GatewayFactory, ListenerFactory
from tests.factories.publishing import ProductPublishFactory
from tests.factories.tls import issue

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
GATEWAYS = "/provider/gateways"
CERTIFICATES = "/provider/certificates"


@pytest.fixture
def browser(client, member):
    client.force_login(member)
    return client


@pytest.fixture
def administrator(client, admin):
    client.force_login(admin)
    return client


def text(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def names(response, kind="gateway") -> list[str]:
    pattern = rf'class="ig-main" id="{kind}-[^>]*>([^<]+)<'
    return re.findall(pattern, response.content.decode())


def body(*listeners, **more):
    """Each listener: port, and then protocol, hostname and certificate as far as they are given."""
    columns = [[*row, "", "", ""][:4] for row in listeners]
    return {
        "name": "edge",
        "gateway_class": "envoy",
        "listener_port": [row[0] for row in columns],
        "listener_protocol": [row[1] or "HTTP" for row in columns],
        "listener_hostname": [row[2] for row in columns],
        "listener_certificate_id": [row[3] for row in columns],
    } | more


# --- gateways ----------------------------------------------------------------


def test_the_list_searches_names_and_ports(browser, provider):
    edge = GatewayFactory(organization=provider, name="edge")
    ListenerFactory(gateway=edge, port=9443)
    GatewayFactory(organization=provider, name="inner")
    GatewayFactory(name="theirs")

    assert names(browser.get(GATEWAYS)) == ["edge", "inner"]
    assert names(browser.get(f"{GATEWAYS}?search=inn")) == ["inner"]
    assert names(browser.get(f"{GATEWAYS}?search=9443")) == ["edge"]
    assert "No gateway matches" in text(browser.get(f"{GATEWAYS}?search=nothing"))
    assert "There is no order “x”" in text(browser.get(f"{GATEWAYS}?order=x"))
    part = browser.get(GATEWAYS, headers=HTMX).content.decode()
    assert part.strip().startswith('<div class="ig-stack" id="gateway-rows"')


def test_no_gateway_yet_says_how_to_begin(browser):
    assert "One with a single HTTP port is enough" in text(browser.get(GATEWAYS))


@pytest.mark.parametrize("count", [10, 200])
def test_queries_do_not_grow(browser, provider, count, django_assert_max_num_queries):
    GatewayFactory.create_batch(count, organization=provider)

    with django_assert_max_num_queries(12):
        browser.get(GATEWAYS)


def test_a_gateway_shows_its_listeners_and_publishes(browser, provider):
    publish = ProductPublishFactory(organization=provider, published=True)
    ListenerFactory(gateway=publish.gateway, https=True, hostname="a.example.com")

    page = text(browser.get(f"{GATEWAYS}/{publish.gateway.pk}"))

    assert "8080" in page
    assert "HTTPS" in page
    assert "a.example.com" in page
    assert publish.cluster.name in page
    assert "1 live publish" in page


def test_a_gateway_is_created_with_its_listeners(browser, provider):
    tls = CertificateFactory(organization=provider)

    response = browser.post(
        f"{GATEWAYS}/new",
        body((8080,), (8443, "HTTPS", "*.example.com", tls.pk), description="For all"),
    )

    gateway = Gateway.objects.get()
    assert response["Location"] == f"{GATEWAYS}/{gateway.pk}"
    assert [str(row) for row in gateway.listeners.all()] == [
        "8080/HTTP",
        "8443/HTTPS *.example.com",
    ]


@pytest.mark.parametrize(
    ("listener", "said"),
    [
        (("",), "Enter a whole number from 1 to 65535."),
        (("eighty",), "Enter a whole number from 1 to 65535."),
        (("99999",), "Enter a whole number from 1 to 65535."),
        ((8443, "HTTPS"), "HTTPS needs a certificate."),
        ((8080, "HTTP", "not a host"), "listener-error-1"),
    ],
)
def test_what_is_wrong_is_told_in_its_row(browser, listener, said):
    response = browser.post(f"{GATEWAYS}/new", body((8081,), listener))

    page = response.content.decode()
    assert response.status_code == 422
    assert said in page
    assert 'id="listener-error-1"' in page
    assert 'value="8081"' in page
    assert not Gateway.objects.exists()


def test_the_same_place_twice_is_refused_in_words(browser):
    response = browser.post(f"{GATEWAYS}/new", body((8080,), (8080,)))

    assert response.status_code == 422
    assert "Port 8080 is listened on twice" in text(response)


def test_rows_come_and_go_without_losing_what_was_typed(browser):
    typed = body((8080,), (9090, "HTTP", "b.example.com"))

    more = browser.post(f"{GATEWAYS}/new", typed | {"add_listener": "1"}, headers=HTMX)
    less = browser.post(f"{GATEWAYS}/new", typed | {"remove_listener": "0"})

    assert more.content.decode().count('name="listener_port"') == 3
    assert 'value="b.example.com"' in more.content.decode()
    assert less.content.decode().count('name="listener_port"') == 1
    assert 'value="9090"' in less.content.decode()
    assert 'value="edge"' in less.content.decode()
    assert not Gateway.objects.exists()


def test_editing_starts_from_what_is_there(browser, provider):
    gateway = GatewayFactory(organization=provider, name="edge")
    listener = ListenerFactory(gateway=gateway, https=True, hostname="a.example.com")
    url = f"{GATEWAYS}/{gateway.pk}/edit"
    page = browser.get(url).content.decode()
    assert 'value="a.example.com"' in page
    assert f'value="{listener.certificate.pk}" selected' in page

    browser.post(url, body((8090,), (8443, "HTTPS", "a.example.com", listener.certificate.pk)))

    assert [row.port for row in gateway.listeners.all()] == [8090, 8443]
    assert gateway.listeners.filter(pk=listener.pk).exists()


def test_a_gateway_in_use_is_not_deleted(administrator, provider):
    publish = ProductPublishFactory(organization=provider)
    url = f"{GATEWAYS}/{publish.gateway.pk}/delete"

    assert publish.cluster.name in text(administrator.get(url))
    assert administrator.post(url).status_code == 422

    free = GatewayFactory(organization=provider)
    assert administrator.post(f"{GATEWAYS}/{free.pk}/delete")["Location"] == GATEWAYS


@pytest.mark.parametrize("verb", ["", "/edit", "/delete"])
def test_a_stranger_finds_no_gateway(client, stranger, provider, verb):
    client.force_login(stranger)
    gateway = GatewayFactory(organization=provider)

    assert client.get(f"{GATEWAYS}/{gateway.pk}{verb}").status_code == 404


def test_a_viewer_changes_no_gateway(client, viewer, provider):
    client.force_login(viewer)
    gateway = GatewayFactory(organization=provider)

    assert "Edit" not in text(client.get(f"{GATEWAYS}/{gateway.pk}"))
    assert client.post(f"{GATEWAYS}/new", body((1,))).status_code == 403
    assert client.post(f"{GATEWAYS}/{gateway.pk}/edit", body((1,))).status_code == 403
    assert client.post(f"{GATEWAYS}/{gateway.pk}/delete").status_code == 403


# --- certificates ------------------------------------------------------------


def test_certificates_are_listed_with_their_end(browser, provider):
    CertificateFactory(organization=provider, name="shop", issued=issue("shop.example.com"))
    CertificateFactory(name="theirs")

    page = browser.get(CERTIFICATES)

    assert names(page, "certificate") == ["shop"]
    assert "shop.example.com" in text(page)
    assert "left" in text(page)
    assert names(browser.get(f"{CERTIFICATES}?search=shop.ex"), "certificate") == ["shop"]
    assert "No certificate matches" in text(browser.get(f"{CERTIFICATES}?search=zzz"))


def test_pasting_one_shows_what_it_is_and_never_its_key(browser):
    made = issue("shop.example.com")

    response = browser.post(
        f"{CERTIFICATES}/new",
        {"name": "shop", "certificate": made.chain, "private_key": made.private_key},
        follow=True,
    )

    page = response.content.decode()
    assert Certificate.objects.get().hosts == ["shop.example.com"]
    assert made.fingerprint[:2].upper() + ":" + made.fingerprint[2:4].upper() in page
    assert "PRIVATE KEY" not in page
    assert "sealed, never shown again" in page


def test_files_do_as_well(browser):
    made = issue("shop.example.com")

    browser.post(
        f"{CERTIFICATES}/new",
        {
            "name": "shop",
            "certificate_file": SimpleUploadedFile("tls.crt", made.chain.encode()),
            "private_key_file": SimpleUploadedFile("tls.key", made.private_key.encode()),
        },
    )

    assert Certificate.objects.get().fingerprint == made.fingerprint


def test_a_key_of_another_certificate_is_refused_and_not_sent_back(browser):
    made, other = issue("shop.example.com"), issue("other.example.com")

    response = browser.post(
        f"{CERTIFICATES}/new",
        {"name": "shop", "certificate": made.chain, "private_key": other.private_key},
    )

    page = response.content.decode()
    assert response.status_code == 422
    assert "-----BEGIN CERTIFICATE-----" in page
    assert other.private_key.splitlines()[1] not in page
    assert "Give them again" in page
    assert response["Cache-Control"].startswith("max-age=0")
    assert not Certificate.objects.exists()


def test_without_anything_each_field_says_what_it_needs(browser):
    page = text(browser.post(f"{CERTIFICATES}/new", {"name": "shop"}))

    assert "Paste the certificate or choose its file." in page
    assert "Paste the private key or choose its file." in page


def test_replacing_is_the_next_version(browser, provider):
    row = CertificateFactory(organization=provider, issued=issue("shop.example.com"))
    fresh = issue("shop.example.com")
    url = f"{CERTIFICATES}/{row.pk}/replace"

    response = browser.post(
        url, {"certificate": fresh.chain, "private_key": fresh.private_key}, follow=True
    )

    row.refresh_from_db()
    assert (row.version, row.fingerprint) == (2, fresh.fingerprint)
    assert "Gateways take it over without a new publish." in text(response)


def test_renaming_is_for_people(browser, provider):
    row = CertificateFactory(organization=provider, name="old")
    CertificateFactory(organization=provider, name="taken")
    url = f"{CERTIFICATES}/{row.pk}/rename"

    assert browser.post(url, {"name": "taken"}).status_code == 422
    browser.post(url, {"name": "new"})

    row.refresh_from_db()
    assert (row.name, row.version) == ("new", 1)


def test_a_certificate_in_use_names_its_gateways(administrator, provider):
    listener = ListenerFactory(
        gateway=GatewayFactory(organization=provider, name="edge"), https=True
    )
    url = f"{CERTIFICATES}/{listener.certificate.pk}/delete"

    assert "edge" in text(administrator.get(url))
    assert administrator.post(url).status_code == 422
    free = CertificateFactory(organization=provider)
    assert administrator.post(f"{CERTIFICATES}/{free.pk}/delete")["Location"] == CERTIFICATES


@pytest.mark.parametrize("verb", ["", "/replace", "/rename", "/delete"])
def test_a_stranger_finds_no_certificate(client, stranger, provider, verb):
    client.force_login(stranger)
    row = CertificateFactory(organization=provider)

    assert client.get(f"{CERTIFICATES}/{row.pk}{verb}").status_code == 404


def test_a_viewer_changes_no_certificate(client, viewer, provider):
    client.force_login(viewer)
    row = CertificateFactory(organization=provider)

    assert client.get(f"{CERTIFICATES}/{row.pk}").status_code == 200
    for verb in ("replace", "rename", "delete"):
        assert client.post(f"{CERTIFICATES}/{row.pk}/{verb}", {"name": "x"}).status_code == 403


def test_two_editors_do_not_overwrite_each_other(browser, provider):
    gateway = GatewayFactory(organization=provider)
    url = f"{GATEWAYS}/{gateway.pk}/edit"
    seen = browser.get(url).context["seen"]
    browser.post(url, body((8090,), seen=seen, name="theirs"))
    more = browser.post(url, body((9000,), seen=seen, name="mine", add_listener="1"))
    assert more.context["seen"] == seen

    stale = browser.post(url, body((9000,), seen=seen, name="mine"))

    assert stale.status_code == 422
    for words in ("Somebody else changed this", "Name: theirs", "8090 HTTP"):
        assert words in text(stale)
    assert 'value="mine"' in stale.content.decode()
    gateway.refresh_from_db()
    assert gateway.name == "theirs"
    again = body((9000,), seen=stale.context["seen"], name="mine")
    assert browser.post(url, again).status_code == 302
