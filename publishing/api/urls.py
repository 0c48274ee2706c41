from django.urls import path

from publishing import filters
from publishing.api import drafts
from publishing.api.deployments import DeploymentViewSet
from publishing.api.operated import OperatedDeploymentViewSet, OperatedPublishViewSet
from publishing.api.overview import Overview
from publishing.api.publishes import ProductPublishViewSet, ProductsPublishesViewSet
from publishing.models import Deployment, PublishEvent, PublishRevision

READ_LIST, READ = {"get": "list"}, {"get": "retrieve"}
COLLECTION = {"get": "list", "post": "create"}
ONE = {"get": "retrieve", "put": "update", "delete": "destroy"}
publishes, deployments = ProductPublishViewSet, DeploymentViewSet

# Lists of what belongs to one publish, each with filters and orders of its own.
PARTS = {
    "deployments": {
        "queryset": Deployment.objects.none(),
        "filterset_class": filters.DeploymentFilter,
        "ordering_fields": DeploymentViewSet.ordering_fields,
    },
    "revisions": {
        "queryset": PublishRevision.objects.none(),
        "filterset_class": filters.RevisionFilter,
        "ordering_fields": ["number", "created_at"],
    },
    "events": {
        "queryset": PublishEvent.objects.none(),
        "filterset_class": filters.EventFilter,
        "ordering_fields": ["created_at"],
    },
}

urlpatterns = [
    path(
        "operator/product-publishes",
        OperatedPublishViewSet.as_view(READ_LIST),
        name="api-operated-publishes",
    ),
    path(
        "operator/product-publishes/<uuid:pk>",
        OperatedPublishViewSet.as_view(READ),
        name="api-operated-publish",
    ),
    path(
        "operator/deployments",
        OperatedDeploymentViewSet.as_view(READ_LIST),
        name="api-operated-deployments",
    ),
    path(
        "operator/deployments/<uuid:pk>",
        OperatedDeploymentViewSet.as_view(READ),
        name="api-operated-deployment",
    ),
    path("provider/overview", Overview.as_view({"get": "retrieve"}), name="api-provider-overview"),
    path(
        "provider/products/<uuid:product_pk>/publishes",
        ProductsPublishesViewSet.as_view(COLLECTION),
        name="api-products-publishes",
    ),
    path(
        "provider/products/<uuid:product_pk>/publish-draft",
        drafts.DraftViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"}),
        name="api-publish-draft",
    ),
    path(
        "provider/products/<uuid:product_pk>/publish-draft/create",
        drafts.DraftViewSet.as_view({"post": "create_publish"}),
        name="api-publish-draft-create",
    ),
    path(
        "provider/publish-drafts",
        drafts.DraftListViewSet.as_view({"get": "list"}),
        name="api-publish-drafts",
    ),
    path("provider/product-publishes", publishes.as_view(COLLECTION), name="api-publishes"),
    path(
        "provider/product-publishes/preview",
        drafts.PreviewViewSet.as_view({"post": "preview"}),
        name="api-publish-preview",
    ),
    path("provider/product-publishes/<uuid:pk>", publishes.as_view(ONE), name="api-publish"),
    *(
        path(
            f"provider/product-publishes/<uuid:pk>/{action}",
            publishes.as_view({method: action}),
            name=f"api-publish-{action}",
        )
        for action, method in {
            "publish": "post",
            "withdraw": "post",
            "rollback": "post",
            "restore": "post",
            "changes": "get",
        }.items()
    ),
    *(
        path(
            f"provider/product-publishes/<uuid:pk>/{action}",
            publishes.as_view({"get": action}, **options),
            name=f"api-publish-{action}",
        )
        for action, options in PARTS.items()
    ),
    path(
        "provider/product-publishes/<uuid:pk>/revisions/<int:number>/compare",
        publishes.as_view({"get": "compare"}),
        name="api-publish-compare",
    ),
    path("provider/deployments", deployments.as_view({"get": "list"}), name="api-deployments"),
    path(
        "provider/deployments/<uuid:pk>",
        deployments.as_view({"get": "retrieve"}),
        name="api-deployment",
    ),
    path(
        "provider/deployments/<uuid:pk>/cancel",
        deployments.as_view({"post": "cancel"}),
        name="api-deployment-cancel",
    ),
    path(
        "provider/deployments/<uuid:pk>/waivers",
        deployments.as_view({"post": "waivers"}),
        name="api-deployment-waivers",
    ),
]
