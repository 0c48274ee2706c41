from __future__ import annotations

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from catalog.models import ApiImport
from tests.catalog.test_imports import PETS
from tests.factories.catalog import ApiImportFactory, ApiServiceFactory, RouteFactory

pytestmark = pytest.mark.django_db
URL = "/api/v1/provider/api-services/imports"


@pytest.fixture
def api(member):
    client = APIClient()
    client.force_login(member)
    return client


def data(response, status=200):
    assert response.status_code == status, response.content[:500]
    return response.json()["data"]


def test_from_document_to_service(api):
    made = data(api.post(URL, {"document": json.dumps(PETS)}), 201)
    assert (made["status"], made["name"], made["problem"]) == ("ready", "Pets", None)
    assert made["preview"]["routes"][0]["methods"] == ["GET", "POST"]
    assert made["changes"]["counts"] == {"added": 2, "changed": 0, "removed": 0, "kept": 0}

    service = data(api.post(f"{URL}/{made['id']}/apply", {"name": "Animals"}))
    assert (service["name"], len(service["routes"])) == ("Animals", 2)

    after = data(api.get(f"{URL}/{made['id']}"))
    assert (after["status"], after["service_id"], after["changes"]) == (
        "applied",
        service["id"],
        None,
    )
    assert [row["id"] for row in data(api.get(f"{URL}?status=applied"))["items"]] == [made["id"]]


def test_an_upload(client, member):
    client.force_login(member)
    yaml = b"swagger: '2.0'\ninfo: {title: Old, version: 1}\npaths: {/a/: {get: {}}}\n"
    upload = SimpleUploadedFile("old.yaml", yaml)
    made = data(client.post(URL, {"file": upload}), 201)
    assert (made["source"], made["origin"], made["format"]) == ("file", "old.yaml", "Swagger 2.0")
    note = made["preview"]["notes"][0]
    assert (note["where"], note["code"], note["skipped"]) == ("/a/", "trailing", False)
    assert "prefix" in note["reason"]


def test_changes_name_what_comes_and_goes(api, provider):
    service = ApiServiceFactory(organization=provider)
    RouteFactory(service=service, match="exact", path="/pets", methods=["GET", "DELETE"])
    body = {"document": json.dumps(PETS), "service_id": str(service.pk)}
    changes = data(api.post(URL, body), 201)["changes"]
    assert changes["rows"][0] == {
        "kind": "changed",
        "match": "exact",
        "path": "/pets",
        "methods": ["GET"],
        "added_methods": ["POST"],
        "removed_methods": ["DELETE"],
    }
    answer = api.post(f"{URL}/{ApiImport.objects.get().pk}/apply", {"fingerprint": "other"})
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "changes_differ"


def test_a_link_is_accepted_and_can_be_discarded(api):
    made = data(api.post(URL, {"url": "https://specs.example.com/pets.json"}), 202)
    assert (made["status"], made["preview"]) == ("pending", None)
    assert api.post(f"{URL}/{made['id']}/retry").status_code == 409
    ApiImport.objects.update(
        status="failed", problem={"code": "fetch.forbidden", "details": {"host": "localhost"}}
    )
    assert "localhost" in data(api.get(f"{URL}/{made['id']}"))["problem"]["message"]
    assert data(api.post(f"{URL}/{made['id']}/retry"), 202)["status"] == "pending"
    assert api.delete(f"{URL}/{made['id']}").status_code == 204
    assert not ApiImport.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "document"),
        ({"document": "hello"}, "document"),
        ({"document": "x" * (6 * 1024 * 1024)}, "document"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"document": "{}", "service_id": "x"}, "service_id"),
    ],
)
def test_what_is_wrong_is_named(api, body, field):
    answer = api.post(URL, body)
    assert answer.status_code == 400
    assert field in answer.json()["error"]["details"]


def test_far_too_much_is_not_even_read(api):
    answer = api.post(URL, {"document": "x" * (17 * 1024 * 1024)})
    assert answer.status_code == 413


def test_lists_without_previews_and_in_few_queries(api, provider, django_assert_max_num_queries):
    for _ in range(30):
        ApiImportFactory(organization=provider)
    with django_assert_max_num_queries(6):
        items = data(api.get(URL, {"page_size": 30}))["items"]
    assert len(items) == 30
    assert "preview" not in items[0]
