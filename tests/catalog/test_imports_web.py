"""The pages of an import: give a document, look at it, apply it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from channels.testing import WebsocketCommunicator
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from catalog.models import ApiImport, ApiService
from tests.catalog.test_imports import PETS
from tests.catalog.test_services_web import HTMX, LIST, text
from tests.factories.catalog import ApiImportFactory, ApiServiceFactory, RouteFactory

pytestmark = pytest.mark.django_db
NEW = f"{LIST}/import"


@pytest.fixture
def client_of(client):
    def sign_in(user):
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def ours(client_of, member):
    return client_of(member)


def test_from_paste_to_service(ours):
    assert "Preview" in text(ours.get(NEW))
    answer = ours.post(NEW, {"document": json.dumps(PETS)})
    row = ApiImport.objects.get()
    assert answer.url == f"/provider/api-services/imports/{row.pk}"

    page = ours.get(answer.url)
    assert "3 operations in 2 routes" in text(page)
    assert "/pets/{id}" in text(page)
    assert 'value="pets.example.com"' in page.content.decode()
    assert not ApiService.objects.exists()

    form = {
        "name": "Pets",
        "version": "1.1",
        "base_path": "/v1",
        "host": "p.example.com",
        "port": "",
    }
    done = ours.post(f"{answer.url}/apply", form | {"tls": "on"})
    service = ApiService.objects.get()
    assert done.url == f"{LIST}/{service.pk}"
    assert service.backends.get().port == 443
    assert "Applied" in text(ours.get(answer.url))


def test_a_file_wins(ours):
    upload = SimpleUploadedFile("pets.json", json.dumps(PETS).encode())
    assert ours.post(NEW, {"file": upload, "document": ""}).status_code == 302
    assert ApiImport.objects.get().origin == "pets.json"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({}, "Give a document"),
        ({"document": "openapi: [", "url": ""}, "not valid YAML: line 2"),
        ({"document": "hello: world"}, "not an OpenAPI document"),
        ({"document": "x" * (6 * 1024 * 1024)}, "6.0 MB; 5 MB are read"),
        ({"url": "ftp://example.com"}, "starts with https"),
        ({"url": "https://a.example.com", "document": "{}"}, "not both"),
    ],
)
def test_what_is_wrong_is_said_beside_what_was_typed(ours, typed, said):
    answer = ours.post(NEW, typed)
    assert answer.status_code == 422
    assert said in text(answer)
    for value in typed.values():
        assert value[:40].replace('"', "&quot;") in answer.content.decode()
    assert not ApiImport.objects.exists()


def test_a_file_that_is_too_large_is_refused_by_its_field(ours):
    answer = ours.post(NEW, {"file": SimpleUploadedFile("x.yaml", b"x" * (6 * 1024 * 1024))})
    assert answer.status_code == 422
    assert "5 MB are read" in text(answer)
    assert 'id="id_file_error"' in answer.content.decode()


def test_far_too_much_is_not_even_read(ours):
    answer = ours.post(NEW, {"document": "x" * (17 * 1024 * 1024)})
    assert answer.status_code == 413
    assert "16 MB" in text(answer)


def test_apply_says_what_is_wrong_and_keeps_what_was_typed(ours, provider):
    ApiServiceFactory(organization=provider, name="Pets", version="1.0")
    row = ApiImportFactory(organization=provider)
    typed = {"name": "Pets", "version": "1.0", "base_path": "/kept", "host": "a b", "port": "70000"}
    for wrong, said in ((typed, "a b"), (typed | {"host": ""}, "already have Pets")):
        answer = ours.post(f"/provider/api-services/imports/{row.pk}/apply", wrong)
        assert answer.status_code == 422
        assert said in text(answer) + answer.content.decode()
        assert 'value="/kept"' in answer.content.decode()
    assert ApiService.objects.count() == 1


def test_a_second_import_shows_what_changes(ours, provider):
    service = ApiServiceFactory(organization=provider, name="Mine")
    RouteFactory(service=service, match="exact", path="/pets", methods=["DELETE", "GET"])
    RouteFactory(service=service, match="exact", path="/old", methods=["GET"])
    answer = ours.post(f"{LIST}/{service.pk}/import", {"document": json.dumps(PETS)})

    page = ours.get(answer.url)
    for said in ("added", "removed", "changed", "+POST", "Apply changes", "Remove the routes"):
        assert said in text(page)
    only = text(ours.get(f"{answer.url}?kind=removed"))
    assert "/old" in only
    assert "/pets/{id}" not in only

    row = ApiImport.objects.get()
    seen = {"version": "3", "remove_missing": "on", "fingerprint": "0123456789abcdef"}
    stale = ours.post(f"{answer.url}/apply", seen)
    assert stale.status_code == 422
    assert "changed meanwhile" in text(stale)
    fresh = stale.context["changes"].fingerprint
    assert f'value="{fresh}"' in stale.content.decode()
    assert ours.post(f"{answer.url}/apply", seen | {"fingerprint": fresh}).status_code == 302
    service.refresh_from_db()
    row.refresh_from_db()
    assert (service.name, service.version, row.status) == ("Mine", "3", "applied")
    assert {route.path for route in service.routes.all()} == {"/pets", "/pets/{id}"}


def test_what_is_left_out_is_told(ours):
    document = PETS | {"paths": PETS["paths"] | {"/x.{y}": {"get": {}}, "/z/": {"get": {}}}}
    answer = ours.post(NEW, {"document": json.dumps(document)})
    page = text(ours.get(answer.url))
    assert "Left out" in page
    assert "whole part between slashes" in page
    assert "prefix route" in page


def test_no_server_asks_for_a_backend(ours):
    document = {key: PETS[key] for key in PETS if key != "servers"}
    answer = ours.post(NEW, {"document": json.dumps(document)})
    assert "names no server" in text(ours.get(answer.url))


def test_many_routes_are_paged(ours):
    document = PETS | {"paths": {f"/a{n:03}": {"get": {}} for n in range(150)}}
    answer = ours.post(NEW, {"document": json.dumps(document)})
    assert "1–100 of 150" in text(ours.get(answer.url))
    assert "/a149" in text(ours.get(f"{answer.url}?page=2"))


# --- While the worker fetches -----------------------------------------------------------------------


def test_a_link_is_shown_live_until_it_is_read(ours, provider):
    answer = ours.post(NEW, {"url": "https://specs.example.com/pets.json"})
    row = ApiImport.objects.get()
    page = ours.get(answer.url)
    assert f'data-ig-socket="/ws/imports/{row.pk}"' in page.content.decode()
    assert "being fetched" in text(page)
    assert "Fetch again" not in text(page)

    ApiImport.objects.update(asked_at=timezone.now() - timedelta(minutes=2))
    assert "Fetch again" in text(ours.get(answer.url, headers=HTMX))
    problem = {"code": "fetch.forbidden", "details": {"host": "specs.example.com"}}
    ApiImport.objects.update(status="failed", problem=problem)
    part = ours.get(answer.url, headers=HTMX)
    assert "internal address" in text(part)
    assert "hx-get" not in part.content.decode().split(">")[0]
    assert ours.post(f"{answer.url}/retry").status_code == 302
    row.refresh_from_db()
    assert row.status == "pending"


def test_discard_asks_first(ours, provider):
    row = ApiImportFactory(organization=provider)
    path = f"/provider/api-services/imports/{row.pk}/discard"
    assert "<dialog" in ours.get(path, headers=HTMX).content.decode()
    assert "Discard this import?" in text(ours.get(path))
    assert ours.post(path).url == LIST
    assert not ApiImport.objects.exists()


def test_the_list_reminds_of_open_imports(ours, provider):
    ApiImportFactory(organization=provider)
    assert "Imports not applied yet" in text(ours.get(LIST))
    assert "ready to apply" in text(ours.get(LIST))


def test_for_whom(client_of, viewer, stranger, provider):
    row = ApiImportFactory(organization=provider)
    path = f"/provider/api-services/imports/{row.pk}"
    page = client_of(viewer).get(path)
    assert page.status_code == 200
    assert "Create API service" not in text(page)
    assert client_of(viewer).get(NEW).status_code == 403
    for verb in ("apply", "retry", "discard"):
        assert client_of(viewer).post(f"{path}/{verb}").status_code == 403
        assert client_of(stranger).post(f"{path}/{verb}").status_code == 404
    assert client_of(stranger).get(path).status_code == 404


@pytest.mark.django_db(transaction=True)
async def test_the_page_is_told_when_the_worker_is_done(settings):
    from asgiref.sync import sync_to_async

    from catalog.consumers import ImportConsumer
    from catalog.services import imports
    from tests.factories.accounts import UserFactory

    row = await sync_to_async(ApiImportFactory)(pending=True, origin="http://127.0.0.1/")
    user = await sync_to_async(UserFactory)(member_of=row.organization)
    page = WebsocketCommunicator(ImportConsumer.as_asgi(), "/")
    page.scope |= {"user": user, "url_route": {"kwargs": {"pk": row.pk}}}
    assert (await page.connect())[0]
    await sync_to_async(imports.read)(import_id=row.pk)
    assert await page.receive_from(timeout=5) == "pulse"
    await page.disconnect()
