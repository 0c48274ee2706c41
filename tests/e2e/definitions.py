"""API services and imports for the scene: with everything that their pages can show."""

from __future__ import annotations

import json
from typing import Any

from catalog.models import ApiImport
from catalog.services import apis, imports
from tests.e2e.scene import Scene
from tests.factories.catalog import ApiImportFactory

PETS: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Pet store", "version": "2.0"},
    "servers": [{"url": "https://pets.example.com/v2"}, {"url": "https://staging.example.com"}],
    "paths": {
        "/pets": {"get": {"summary": "List pets"}, "post": {"summary": "Add one"}},
        "/pets/{id}": {"get": {"deprecated": True, "summary": "One pet"}, "put": {}},
        "/admin/": {"get": {}},
        "/files/{name}.json": {"get": {}},
        "/remote": {"$ref": "https://example.com/other.yaml#/pets"},
    },
}
POLICIES = [
    {"kind": "headers", "config": {"request": {"x-team": "pets"}, "remove_response": ["server"]}},
    {"kind": "cors", "config": {"allow_origins": ["https://*.example.com"]}},
    {"kind": "ip", "config": {"allow": ["10.0.0.0/8"], "deny": ["10.1.0.0/16"]}},
]


def define(scene: Scene) -> dict[str, Any]:
    """Rows by the names that the tests use."""
    actor = scene.people["jihoon.park"]
    pets = apis.create(
        actor=actor,
        organization_id=scene.payments.pk,
        name="Pet store",
        description="Pets of every kind, their keepers and their food. " * 20,
        base_path="/v1",
        routes=[
            {"path": f"/pets/{{id}}/part-{number:02}", "methods": ["GET"], "match": "exact"}
            for number in range(12)
        ]
        + [{"path": "/pets", "methods": ["DELETE", "GET"], "match": "exact"}],
        backends=[
            {"host": "pets-1.payments.svc.cluster.local", "port": 8443, "tls": True},
            {"host": "pets-2.example.com", "port": 8080, "health_check_path": "/healthz"},
        ],
        policies=POLICIES,
    )
    made = {"actor": actor, "organization_id": scene.payments.pk, "document": json.dumps(PETS)}
    return {
        "pets": pets,
        "billing": scene.publishes["refused"].product.services.get(),
        "import-new": imports.start(**made),
        "import-again": imports.start(**made, service_id=pets.pk),
        "import-failed": _failed(scene),
        "import-pending": ApiImportFactory(
            organization=scene.payments, created_by=actor, pending=True
        ),
    }


def _failed(scene: Scene) -> ApiImport:
    return ApiImportFactory(
        organization=scene.payments,
        pending=True,
        status="failed",
        problem={"code": "fetch.forbidden", "details": {"host": "metadata.google.internal"}},
    )
