"""Imports of OpenAPI documents: read, looked at, then applied to a new service or to one that exists."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from procrastinate.contrib.django import app

from accounts import access, audit
from accounts.models import Kind
from catalog.models import ApiImport, ApiService, ImportSource, ImportStatus
from catalog.openapi import changes, problems, reading, text
from catalog.openapi.changes import Changes
from catalog.openapi.problems import MAX_BYTES, Unreadable
from catalog.services import apis
from catalog.services.parts import Values
from catalog.text import line
from core import fetch, notify
from core.errors import DomainError, InvalidInput
from core.locks import hold

TASK = "catalog.read_import"
MAX_OPEN = 50
STUCK_AFTER = timedelta(seconds=60)
KEEP = timedelta(days=30)


@transaction.atomic
def start(
    *,
    actor: Any,
    organization_id: UUID,
    document: str | bytes = "",
    url: str = "",
    file_name: str = "",
    service_id: UUID | None = None,
) -> ApiImport:
    """Read a document at once, or let the worker fetch one. With `service_id` it is for that service.

    What is wrong with a document is said about the field `document`; nothing is kept then.
    """
    provider = access.organization_for(actor, organization_id, kind=Kind.PROVIDER)
    service = _service(actor, service_id, provider.pk) if service_id else None
    _refuse_hoarding(provider.pk)
    row = ApiImport(organization=provider, service=service, created_by=actor)
    if document and url:
        raise InvalidInput(_("Give a document or a link, not both."), field="url")
    if document:
        _take(row, document, file_name)
    else:
        _ask(row, url)
    row.save()
    if row.status == ImportStatus.PENDING:
        app.configure_task(name=TASK).defer(import_id=str(row.pk))
    return row


def read(*, import_id: UUID) -> None:
    """The worker's part: fetch, then read. An import that is gone or settled is left alone."""
    row = ApiImport.objects.filter(pk=import_id, status=ImportStatus.PENDING).first()
    if row is None:
        return
    found: dict[str, Any]
    try:
        fetched = fetch.fetch(
            row.origin, limit=MAX_BYTES, allowed_networks=settings.FETCH_ALLOWED_NETWORKS
        )
        found = _read(fetched.body, fetched.url)
    except fetch.FetchFailed as error:
        found = _failed(f"fetch.{error.code}", error.details)
    except Unreadable as error:
        found = _failed(error.code, error.details)
    with transaction.atomic():
        waiting = ApiImport.objects.filter(pk=import_id, status=ImportStatus.PENDING)
        if waiting.update(**found):
            notify.on_commit(group(import_id))


@transaction.atomic
def retry(*, actor: Any, import_id: UUID) -> ApiImport:
    """Fetch once more: after a failure, or when no worker took it for a minute."""
    row = _locked(actor, import_id)
    if row.source != ImportSource.URL or not (row.status == ImportStatus.FAILED or is_stuck(row)):
        raise DomainError(
            _("Only an import from a link that failed can be tried again."),
            code="import_not_failed",
        )
    row.status, row.problem, row.asked_at = ImportStatus.PENDING, {}, timezone.now()
    row.save(update_fields=["status", "problem", "asked_at"])
    app.configure_task(name=TASK).defer(import_id=str(row.pk))
    notify.on_commit(group(row.pk))
    return row


@transaction.atomic
def apply(
    *,
    actor: Any,
    import_id: UUID,
    name: str | None = None,
    version: str | None = None,
    base_path: str | None = None,
    backends: Iterable[Values] | None = None,
    remove_missing: bool = True,
    fingerprint: str = "",
) -> ApiService:
    """Make the service, or change the routes of the one that the import is for.

    What is left out is taken from the document; an existing service keeps its name, base path and backends
    unless they are given. `fingerprint` is of the changes that the actor saw: 409 when they differ by now.
    """
    row = _locked(actor, import_id)
    _require_ready(row)
    if row.service_id is None:
        service = _create(actor, row, name, version, base_path, backends)
        told = {"routes": len(row.preview["routes"])}
    else:
        # From here on nobody edits the routes that the changes are computed from.
        ApiService.objects.select_for_update(of=("self",)).get(pk=row.service_id)
        _require_seen(changes_of(row), fingerprint)
        found = changes_of(row, remove_missing=remove_missing)
        service = apis.update(
            actor=actor,
            service_id=row.service_id,
            name=name,
            version=version,
            base_path=base_path,
            backends=backends,
            routes=found.routes,
        )
        told = found.counts
    _settle(row, service, actor, told)
    return service


@transaction.atomic
def discard(*, actor: Any, import_id: UUID) -> None:
    row = _locked(actor, import_id)
    if row.status == ImportStatus.APPLIED:
        raise DomainError(
            _("This import is applied. It stays as the record of where the routes came from."),
            code="import_applied",
        )
    row.delete()


def changes_of(row: ApiImport, *, remove_missing: bool = True) -> Changes:
    """What applying would do to the routes as they are now."""
    routes = list(row.service.routes.all()) if row.service else []
    return changes.compare(row.preview.get("routes", []), routes, remove_missing=remove_missing)


def is_stuck(row: ApiImport) -> bool:
    return row.status == ImportStatus.PENDING and row.asked_at < timezone.now() - STUCK_AFTER


def group(import_id: UUID) -> str:
    """Whom to tell when the worker is done."""
    return f"import.{import_id}"


def keep_house() -> dict[str, int]:
    """Drop imports nobody came back to, and records that a later one replaced, after 30 days."""
    old = ApiImport.objects.filter(created_at__lt=timezone.now() - KEEP)
    applied = ApiImport.objects.filter(status=ImportStatus.APPLIED)
    newest = applied.order_by("service_id", "-applied_at").distinct("service_id").values("pk")
    gone, _by_model = old.exclude(pk__in=newest).delete()
    return {"imports": gone}


# --- Reading -----------------------------------------------------------------------------------------


def _take(row: ApiImport, document: str | bytes, file_name: str) -> None:
    row.source = ImportSource.FILE if file_name else ImportSource.PASTE
    row.origin = line(file_name[-200:], field="file_name", limit=200, required=False)
    try:
        raw = document.encode() if isinstance(document, str) else document
        found = _read(raw, "")
    except UnicodeEncodeError:
        raise InvalidInput(problems.words("encoding", {}), field="document") from None
    except Unreadable as error:
        message = problems.words(error.code, error.details)
        raise InvalidInput(message, field="document", code=error.code) from None
    for name, value in found.items():
        setattr(row, name, value)


def _ask(row: ApiImport, url: str) -> None:
    row.source, row.status = ImportSource.URL, ImportStatus.PENDING
    row.origin = url.strip()
    if not row.origin:
        raise InvalidInput(_("Give a document, a file or a link."), field="document")
    try:
        fetch.checked_url(row.origin)
    except fetch.FetchFailed as error:
        raise InvalidInput(fetch.words(error.code, error.details), field="url") from None


def _read(raw: bytes, source_url: str) -> dict[str, Any]:
    """The fields of an import that could be read. Raises Unreadable."""
    preview = reading.read(text.load(raw), source_url=source_url)
    return {"status": ImportStatus.READY, "document": text.decoded(raw), "preview": preview}


def _failed(code: str, details: dict[str, Any]) -> dict[str, Any]:
    return {"status": ImportStatus.FAILED, "problem": {"code": code, "details": details}}


# --- Applying ----------------------------------------------------------------------------------------


def _create(
    actor: Any,
    row: ApiImport,
    name: str | None,
    version: str | None,
    base_path: str | None,
    backends: Iterable[Values] | None,
) -> ApiService:
    said = row.preview
    return apis.create(
        actor=actor,
        organization_id=row.organization_id,
        name=said["name"] if name is None else name,
        version=said["version"] if version is None else version,
        description=said["description"],
        base_path=said["base_path"] if base_path is None else base_path,
        backends=said["backends"] if backends is None else backends,
        routes=changes_of(row).routes,
    )


def _require_ready(row: ApiImport) -> None:
    if row.status == ImportStatus.APPLIED:
        raise DomainError(
            _("This import is applied already."),
            code="import_applied",
            details={"service_id": str(row.service_id)},
        )
    if row.status != ImportStatus.READY:
        raise DomainError(_("The document is not read yet."), code="import_not_ready")


def _require_seen(found: Changes, fingerprint: str) -> None:
    if fingerprint and fingerprint != found.fingerprint:
        raise DomainError(
            _(
                "The service's routes changed meanwhile. Look at the changes again, then apply them."
            ),
            code="changes_differ",
            details={"fingerprint": found.fingerprint},
        )


def _settle(row: ApiImport, service: ApiService, actor: Any, told: dict[str, int]) -> None:
    row.service, row.status, row.applied_at = service, ImportStatus.APPLIED, timezone.now()
    row.save(update_fields=["service", "status", "applied_at"])
    audit.note(
        service,
        actor,
        "api_service.import",
        after={"format": row.preview["format"], "source": row.source, "from": row.origin, **told},
    )
    notify.on_commit(group(row.pk))


def _locked(actor: Any, import_id: UUID) -> ApiImport:
    rows = ApiImport.objects.visible_to(actor).select_for_update(of=("self",))
    row = rows.get(pk=import_id)
    access.require(actor, row.organization_id)
    return row


def _service(actor: Any, service_id: UUID, organization_id: UUID) -> ApiService:
    rows = ApiService.objects.visible_to(actor).filter(organization=organization_id)
    service = rows.get(pk=service_id)
    hold(ApiService, service_id)
    return service


def _refuse_hoarding(organization_id: UUID) -> None:
    waiting = ApiImport.objects.filter(organization=organization_id)
    if waiting.exclude(status=ImportStatus.APPLIED).count() >= MAX_OPEN:
        raise DomainError(
            _("%(limit)d imports wait to be applied. Apply or discard some first.")
            % {"limit": MAX_OPEN},
            code="too_many_imports",
        )
