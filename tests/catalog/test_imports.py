"""Imports from the document to the service, and once more for a service that exists."""

from __future__ import annotations

import json
import socket
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils import timezone, translation
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts.models import AuditEvent
from catalog.models import ApiImport, ApiService
from catalog.openapi import problems
from catalog.services import imports
from core.errors import DomainError, InvalidInput
from tests.factories.catalog import ApiImportFactory, ApiServiceFactory, RouteFactory

pytestmark = pytest.mark.django_db
PETS = {
    "openapi": "3.1.0",
    "info": {"title": "Pets", "version": "1.1", "description": "All of them."},
    "servers": [{"url": "https://pets.example.com/v1"}],
    "paths": {"/pets": {"get": {}, "post": {}}, "/pets/{id}": {"get": {}}},
}


def start(member, provider, document=PETS, **values):
    text = document if isinstance(document, str | bytes) else json.dumps(document)
    return imports.start(actor=member, organization_id=provider.pk, document=text, **values)


def routes(service):
    return {route.path: route.methods for route in service.routes.all()}


def test_a_document_becomes_a_service(member, provider):
    row = start(member, provider)
    assert (row.status, row.source, row.preview["name"]) == ("ready", "paste", "Pets")
    assert not ApiService.objects.exists()

    service = imports.apply(actor=member, import_id=row.pk)

    assert (service.name, service.version, service.base_path) == ("Pets", "1.1", "/v1")
    assert service.description == "All of them."
    assert routes(service) == {"/pets": ["GET", "POST"], "/pets/{id}": ["GET"]}
    backend = service.backends.get()
    assert (backend.host, backend.port, backend.tls) == ("pets.example.com", 443, True)
    row.refresh_from_db()
    assert (row.status, row.service) == ("applied", service)
    told = AuditEvent.objects.get(action="api_service.import")
    assert (told.object_id, told.after["routes"]) == (str(service.pk), 2)


def test_what_is_given_wins_over_the_document(member, provider):
    row = start(member, provider)
    service = imports.apply(
        actor=member,
        import_id=row.pk,
        name="Animals",
        version="9",
        base_path="/animals",
        backends=[{"host": "animals.example.com", "port": 8080}],
    )
    assert (service.name, service.version, service.base_path) == ("Animals", "9", "/animals")
    assert service.backends.get().host == "animals.example.com"


def test_a_document_without_servers_leaves_the_backend_to_its_reader(member, provider):
    row = start(member, provider, {key: PETS[key] for key in PETS if key != "servers"})
    assert row.preview["backends"] == []
    assert not imports.apply(actor=member, import_id=row.pk).backends.exists()


def test_a_second_import_changes_the_routes_and_nothing_else(member, provider):
    service = ApiServiceFactory(organization=provider, name="Mine", complete=True)
    service.routes.all().delete()
    slow = RouteFactory(
        service=service, match="exact", path="/pets", methods=["GET"], timeout_ms=60_000
    )
    RouteFactory(service=service, match="exact", path="/old", methods=["GET"])
    row = start(member, provider, service_id=service.pk)
    found = imports.changes_of(row)
    assert found.counts == {"added": 1, "changed": 1, "removed": 1, "kept": 0}

    again = imports.apply(actor=member, import_id=row.pk, fingerprint=found.fingerprint)

    assert (again.pk, again.name, again.base_path) == (service.pk, "Mine", service.base_path)
    assert again.backends.count() == 1
    assert routes(again) == {"/pets": ["GET", "POST"], "/pets/{id}": ["GET"]}
    slow.refresh_from_db()
    assert (slow.timeout_ms, slow.methods) == (60_000, ["GET", "POST"])


def test_routes_that_the_document_lacks_can_stay(member, provider):
    service = ApiServiceFactory(organization=provider)
    RouteFactory(service=service, path="/old", methods=["GET"])
    row = start(member, provider, service_id=service.pk)
    imports.apply(actor=member, import_id=row.pk, remove_missing=False, version="2")
    service.refresh_from_db()
    assert "/old" in routes(service)
    assert service.version == "2"


def test_changes_that_nobody_saw_are_not_applied(member, provider):
    service = ApiServiceFactory(organization=provider)
    row = start(member, provider, service_id=service.pk)
    seen = imports.changes_of(row).fingerprint
    RouteFactory(service=service, path="/meanwhile")
    with pytest.raises(DomainError) as refused:
        imports.apply(actor=member, import_id=row.pk, fingerprint=seen)
    assert refused.value.code == "changes_differ"
    assert routes(service) == {"/meanwhile": ["GET", "POST"]}


def test_an_import_is_applied_once(member, provider):
    row = start(member, provider)
    imports.apply(actor=member, import_id=row.pk)
    with pytest.raises(DomainError) as refused:
        imports.apply(actor=member, import_id=row.pk)
    assert refused.value.code == "import_applied"
    with pytest.raises(DomainError):
        imports.discard(actor=member, import_id=row.pk)


def test_a_taken_name_is_told_and_the_import_stays_ready(member, provider):
    ApiServiceFactory(organization=provider, name="Pets", version="1.1")
    row = start(member, provider)
    with pytest.raises(InvalidInput) as refused:
        imports.apply(actor=member, import_id=row.pk)
    assert refused.value.field == "name"
    row.refresh_from_db()
    assert row.status == "ready"


def test_two_thousand_operations_in_five_seconds(member, provider):
    document = PETS | {
        "paths": {f"/a{n}/{{id}}/b{n % 7}": {"get": {"summary": "x"}} for n in range(2000)}
    }
    started = time.perf_counter()
    row = start(member, provider, document)
    service = imports.apply(actor=member, import_id=row.pk)
    assert time.perf_counter() - started < 5
    assert service.routes.count() == 2000

    document["paths"].pop("/a7/{id}/b0")
    document["paths"]["/new"] = {"get": {}}
    started = time.perf_counter()
    row = start(member, provider, document, service_id=service.pk)
    assert imports.changes_of(row).counts == {"added": 1, "changed": 0, "removed": 1, "kept": 1999}
    imports.apply(actor=member, import_id=row.pk)
    assert time.perf_counter() - started < 5


def test_more_routes_than_a_service_may_have(member, provider):
    document = PETS | {"paths": {f"/a{n}": {"get": {}} for n in range(2003)}}
    row = start(member, provider, document)
    assert [note["code"] for note in row.preview["notes"]] == ["too_many"] * 3
    assert imports.apply(actor=member, import_id=row.pk).routes.count() == 2000


BAD = [("", "Give a document"), ("hello", "object"), (b"x" * (6 * 1024 * 1024), "5 MB are read")]


@pytest.mark.parametrize(("document", "said"), BAD)
def test_what_is_wrong_with_a_document_is_said_and_nothing_kept(member, provider, document, said):
    with pytest.raises(InvalidInput, match=said) as refused:
        start(member, provider, document)
    assert refused.value.field == "document"
    assert not ApiImport.objects.exists()


def test_half_a_surrogate_pair_is_no_text(member, provider):
    with pytest.raises(InvalidInput):
        imports.start(actor=member, organization_id=provider.pk, document="{\ud800}")


def test_names_with_emoji_and_both_directions_survive(member, provider):
    title = "متجر 🐈 쇼핑"
    row = start(member, provider, PETS | {"info": {"title": title, "description": "설" * 10_000}})
    service = imports.apply(actor=member, import_id=row.pk)
    service.refresh_from_db()
    assert (service.name, len(service.description)) == (title, 10_000)


# --- Links ------------------------------------------------------------------------------------------


def ask(member, provider, url="https://specs.example.com/openapi.json", **values):
    return imports.start(actor=member, organization_id=provider.pk, url=url, **values)


def test_a_link_waits_for_the_worker(member, provider):
    row = ask(member, provider)
    assert (row.status, row.source) == ("pending", "url")
    job = ProcrastinateJob.objects.get()
    assert (job.task_name, job.args) == ("catalog.read_import", {"import_id": str(row.pk)})
    with pytest.raises(DomainError) as refused:
        imports.apply(actor=member, import_id=row.pk)
    assert refused.value.code == "import_not_ready"


@pytest.mark.parametrize("url", ["ftp://x.example.com", "x", "https://u:p@x.example.com/"])
def test_what_is_no_link_is_refused_at_once(member, provider, url):
    with pytest.raises(InvalidInput) as refused:
        ask(member, provider, url)
    assert refused.value.field == "url"


def test_a_document_or_a_link(member, provider):
    with pytest.raises(InvalidInput):
        ask(member, provider, document="{}")


class Site(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/inside":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1/")
            self.end_headers()
            return
        body = json.dumps(PETS if self.path == "/pets" else {"hello": 1}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def site(settings):
    settings.FETCH_ALLOWED_NETWORKS = ["127.0.0.2/32"]
    server = ThreadingHTTPServer(("127.0.0.2", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.2:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_worker_reads_what_the_link_leads_to(member, provider, site):
    row = ask(member, provider, f"{site}/pets")
    imports.read(import_id=row.pk)
    row.refresh_from_db()
    assert (row.status, row.preview["name"]) == ("ready", "Pets")
    assert json.loads(row.document) == PETS


@pytest.mark.parametrize(
    ("path", "code"), [("/inside", "fetch.forbidden"), ("/other", "not_openapi")]
)
def test_what_went_wrong_is_kept_in_words_of_any_language(member, provider, site, path, code):
    row = ask(member, provider, f"{site}{path}")
    imports.read(import_id=row.pk)
    row.refresh_from_db()
    assert (row.status, row.problem["code"]) == ("failed", code)
    with translation.override("ko"):
        assert problems.words(code, row.problem["details"])


def test_a_name_that_resolves_to_loopback_fails(member, provider, monkeypatch):
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: answer)
    row = ask(member, provider, "http://specs.example.com/")
    imports.read(import_id=row.pk)
    row.refresh_from_db()
    assert row.problem["code"] == "fetch.forbidden"


def test_the_worker_leaves_alone_what_is_settled_or_gone(member, provider):
    row = start(member, provider)
    imports.read(import_id=row.pk)
    row.delete()
    imports.read(import_id=row.id or "00000000-0000-4000-8000-000000000000")


def test_a_failure_can_be_tried_again(member, provider):
    row = ask(member, provider)
    with pytest.raises(DomainError):
        imports.retry(actor=member, import_id=row.pk)
    ApiImport.objects.update(status="failed", problem={"code": "stuck", "details": {}})

    row = imports.retry(actor=member, import_id=row.pk)

    assert (row.status, row.problem, ProcrastinateJob.objects.count()) == ("pending", {}, 2)
    ApiImport.objects.update(asked_at=timezone.now() - timedelta(minutes=2))
    imports.retry(actor=member, import_id=row.pk)


@pytest.mark.django_db(transaction=True)
def test_a_real_worker_takes_the_job_once_it_is_committed(member, provider, site):
    row = ask(member, provider, f"{site}/pets")
    with app.replace_connector(app.connector.get_worker_connector()) as worker:
        worker.run_worker(wait=False, install_signal_handlers=False, listen_notify=False)
    row.refresh_from_db()
    assert row.status == "ready"


# --- Who, and how many ----------------------------------------------------------------------------


def test_for_whom(viewer, stranger, member, provider):
    row = ApiImportFactory(organization=provider)
    with pytest.raises(PermissionDenied):
        imports.apply(actor=viewer, import_id=row.pk)
    with pytest.raises(ApiImport.DoesNotExist):
        imports.apply(actor=stranger, import_id=row.pk)
    with pytest.raises(ApiService.DoesNotExist):
        start(member, provider, service_id=ApiServiceFactory().pk)


def test_no_more_than_fifty_wait(member, provider):
    for _ in range(50):
        ApiImportFactory(organization=provider)
    with pytest.raises(DomainError) as refused:
        start(member, provider)
    assert refused.value.code == "too_many_imports"
    imports.discard(actor=member, import_id=ApiImport.objects.first().pk)
    start(member, provider)


def test_housekeeping_keeps_the_newest_record_of_each_service(provider):
    old = timezone.now() - timedelta(days=40)
    service = ApiServiceFactory(organization=provider)
    applied = [
        ApiImportFactory(
            organization=provider, service=service, status="applied", applied_at=old + step
        )
        for step in (timedelta(), timedelta(hours=1))
    ]
    forgotten = ApiImportFactory(organization=provider)
    ApiImport.objects.update(created_at=old)
    fresh = ApiImportFactory(organization=provider)

    assert imports.keep_house() == {"imports": 2}
    assert set(ApiImport.objects.all()) == {applied[1], fresh}
    assert forgotten not in ApiImport.objects.all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "odd"},
        {"source": "odd"},
        {"source": "url", "origin": ""},
        {"document": ""},
        {"status": "applied"},
        {"applied_at": timezone.now()},
    ],
)
def test_the_database_says_no(provider, wrong):
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiImportFactory(organization=provider, **wrong)
