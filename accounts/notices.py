"""Telling organizations what concerns them, so that whoever comes later reads it, too."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.models import Notice


@transaction.atomic
def tell(
    *,
    organization_ids: Collection[UUID],
    topic: str,
    text: str,
    params: Mapping[str, Any],
    url: str = "",
    until: datetime | None = None,
) -> None:
    """One open notice for each organization and topic: saying it again replaces it, unread by all.

    `text` must be in the catalogue (mark it with gettext_noop); `params` fill its placeholders.
    """
    wanted = set(organization_ids)
    open_ones = Notice.objects.filter(topic=topic, ended_at=None)
    known = {row.organization_id: row for row in open_ones.select_for_update()}
    said = {"text": text, "params": dict(params), "url": url, "until": until}
    now = timezone.now()
    for organization_id in sorted(wanted):
        row = known.get(organization_id) or Notice(organization_id=organization_id, topic=topic)
        for field, value in said.items():
            setattr(row, field, value)
        row.created_at = now
        row.save()
        row.readers.clear()


@transaction.atomic
def end(*, topic: str) -> None:
    """It is not so any more; the notice stays readable as one that is over."""
    Notice.objects.filter(topic=topic, ended_at=None).update(ended_at=timezone.now())


@transaction.atomic
def mark_read(*, actor: Any, notice_id: UUID) -> Notice:
    """By this reader; others still see it."""
    notice: Notice = Notice.objects.visible_to(actor).get(pk=notice_id)
    notice.readers.add(actor)
    return notice
