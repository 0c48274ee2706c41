"""How lists of clusters and agents are narrowed, for pages and API alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import django_filters
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.functional import cached_property

from accounts.models import AuditEvent
from clusters.models import (
    Agent,
    Cluster,
    Region,
    RegistrationToken,
    Status,
    live_agents,
    out_of_sync,
)
from core.filters import Flag

MOST_LABELS = 200


class OfferedClusterFilter(django_filters.FilterSet):
    """Without what only its operator may know."""

    status = django_filters.ChoiceFilter(choices=Status.choices)
    region = django_filters.ChoiceFilter(
        help_text="One of the list, or of a cluster that you see: anything else is refused."
    )
    label = django_filters.CharFilter(
        method="labelled",
        max_length=400,
        help_text="`key` or `key=value`; several times: clusters that have them all.",
    )
    search = django_filters.CharFilter(
        method="matching", max_length=100, help_text="In name, description, region and labels."
    )

    class Meta:
        model = Cluster
        fields = ["status", "region", "label", "search"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.data.get("region"):
            names = sorted(self._regions())
            self.filters["region"].extra["choices"] = list(zip(names, names, strict=True))

    def _regions(self) -> set[str]:
        organization = getattr(self.request, "organization", None)
        listed = Region.objects.offered_to(organization).values_list("name", flat=True)
        return {*listed, *self.queryset.order_by().values_list("region", flat=True).distinct()}

    def labelled(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        for wanted in self._labels(value):
            key, equals, content = wanted.partition("=")
            with_it = {"labels__contains": {key: content}} if equals else {"labels__has_key": key}
            rows = rows.filter(**with_it)
        return rows

    def _labels(self, last: str) -> Iterable[str]:
        """A query string may say it several times; a dict says it once."""
        every = self.data.getlist("label") if hasattr(self.data, "getlist") else [last]
        return [label for label in every if label and "\x00" not in label]

    def matching(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        return rows.filter(
            Q(name__icontains=value)
            | Q(description__icontains=value)
            | Q(region__icontains=value)
            | Q(labels__icontains=value)
        )


class ClusterFilter(OfferedClusterFilter):
    in_sync = Flag(
        method="synced", help_text="Whether its agents run what is desired, without an error."
    )

    def synced(self, rows: QuerySet, name: str, value: bool) -> QuerySet:
        return rows.filter(~out_of_sync() if value else out_of_sync())


class RegionFilter(django_filters.FilterSet):
    search = django_filters.CharFilter(
        field_name="name", lookup_expr="icontains", max_length=100, help_text="In names."
    )

    class Meta:
        model = Region
        fields = ["name"]


class TokenFilter(django_filters.FilterSet):
    usable = Flag(method="of_use", help_text="Only those that can still be used, or not.")

    class Meta:
        model = RegistrationToken
        fields: list[str] = []

    def of_use(self, rows: QuerySet, name: str, value: bool) -> QuerySet:
        usable = Q(revoked_at=None, use_count__lt=F("max_uses"), expires_at__gt=timezone.now())
        return rows.filter(usable) if value else rows.exclude(usable)


class TrailFilter(django_filters.FilterSet):
    actor_id = django_filters.UUIDFilter()

    class Meta:
        model = AuditEvent
        fields = ["action", "object_type", "object_id"]


class AgentFilter(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(
        method="in_state",
        choices=[("active", "active"), ("inactive", "inactive"), ("revoked", "revoked")],
    )
    version = django_filters.CharFilter(max_length=40)
    cluster_id = django_filters.UUIDFilter()
    search = django_filters.CharFilter(method="matching", max_length=100, help_text="In names.")

    class Meta:
        model = Agent
        fields = ["status", "version", "cluster_id", "search"]

    def in_state(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        if value == "active":
            return rows.filter(live_agents())
        if value == "inactive":
            return rows.filter(revoked_at=None).exclude(live_agents())
        return rows.exclude(revoked_at=None)

    def matching(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        return rows.filter(Q(name__icontains=value) | Q(cluster__name__icontains=value))


class Choices:
    """What the clusters have to choose from: asked when a page shows it, not for what a pulse reads."""

    def __init__(self, clusters: QuerySet) -> None:
        self._clusters = clusters

    @cached_property
    def _found(self) -> list[tuple[str, dict[str, str]]]:
        rows = self._clusters.order_by("region")
        return list(rows.values_list("region", "labels").distinct())

    @cached_property
    def regions(self) -> list[str]:
        return list(dict.fromkeys(region for region, _labels in self._found))

    @cached_property
    def labels(self) -> list[str]:
        """Every key=value."""
        pairs = {f"{key}={value}" for _region, of in self._found for key, value in of.items()}
        return sorted(pairs)[:MOST_LABELS]
