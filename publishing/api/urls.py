from django.urls import path

from publishing.api import drafts, views
from publishing.api.overview import Overview

COLLECTION = {"get": "list", "post": "create"}
ONE = {"get": "retrieve", "put": "update", "delete": "destroy"}
publishes, deployments = views.ProductPublishViewSet, views.DeploymentViewSet

urlpatterns = [
    path("provider/overview", Overview.as_view({"get": "retrieve"}), name="api-provider-overview"),
    path(
        "provider/products/<uuid:product_pk>/publishes",
        views.ProductsPublishesViewSet.as_view(COLLECTION),
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
            "deployments": "get",
            "revisions": "get",
            "events": "get",
            "changes": "get",
        }.items()
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
