"""What the endpoints of publishes read and answer with."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet
from django.db.models.functions import JSONObject
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import (
    OpenApiResponse,
)
from rest_framework.response import Response

from catalog.models import Product, Route
from core import versions
from core.api import ok
from core.queries import prepared
from publishing import stories
from publishing.api import serializers as shapes
from publishing.models import (
    Deployment,
    DeploymentVerdict,
    ProductPublish,
    ProductPublishQuerySet,
    PublishPartQuerySet,
)
from publishing.states import Progress

TAGS = ["Publishes"]
OWN = [field.name for field in Deployment._meta.concrete_fields]
CONFLICT = OpenApiResponse(description="A rule says no; `error.code` says which.")


def publishes_for(user: Any) -> QuerySet[ProductPublish]:
    return _publishes().visible_to(user)


@prepared
def _publishes() -> ProductPublishQuerySet:
    """With all that one answer shows, in a number of queries that does not grow with the rows."""
    links = Product.services.through.objects.filter(product=OuterRef("product"))
    routes = Route.objects.filter(service__products=OuterRef("product"))
    return (
        stories.named(*stories.OWN)
        .prefetch_related(stories.under_way())
        .annotate(
            service_ids=ArraySubquery(links.values("apiservice")),
            route_ids=ArraySubquery(routes.order_by().values("pk")),
        )
    )


def deployments_for(user: Any) -> QuerySet[Deployment]:
    return with_verdicts().visible_to(user)


@prepared
def with_verdicts() -> PublishPartQuerySet:
    """Deployments with all that one answer shows. There are many verdicts: they come as JSON."""
    verdicts = DeploymentVerdict.objects.filter(deployment=OuterRef("pk")).order_by("agent__name")
    shown = {name: name for name in shapes.VerdictSerializer.Meta.fields} | {"agent": "agent__name"}
    return (
        Deployment.objects.select_related("revision")
        .only(*OWN, "revision__number", "revision__digest")
        .annotate(listed_verdicts=ArraySubquery(verdicts.values(json=JSONObject(**shown))))
    )


def proof_of(publish: ProductPublish) -> list[DeploymentVerdict]:
    """The verdicts of the deployment that made live what is live."""
    if publish.live_revision_id is None:
        return []
    newest = publish.deployments.filter(
        revision=publish.live_revision_id, status=Progress.SUCCEEDED
    ).order_by("-number")
    verdicts = DeploymentVerdict.objects.filter(deployment__in=newest[:1]).exclude(probe=[])
    return list(verdicts.select_related("agent"))


def shown(user: Any, pk: UUID) -> dict[str, Any]:
    row = get_object_or_404(publishes_for(user), pk=pk)
    return shapes.ProductPublishDetailSerializer(row, context={"proof": proof_of(row)}).data


def answer(user: Any, pk: UUID, status: int = 200) -> Response:
    """With its version. Read first: a change in between makes the ETag too old, never too new."""
    moment = get_object_or_404(ProductPublish.objects.visible_to(user), pk=pk).updated_at
    return Response(shown(user, pk), status=status, headers=versions.headers(moment))


def started(user: Any, deployment: Deployment, message: str) -> Response:
    row = get_object_or_404(publishes_for(user), pk=deployment.publish_id)
    context = {
        "proof": proof_of(row),
        "deployment": deployments_for(user).get(pk=deployment.pk),
    }
    data = shapes.StartedSerializer(row, context=context).data
    return ok(data, status=202, message=message)
