from django.urls import path
from rest_framework.parsers import MultiPartParser

from catalog import filters
from catalog.api import certificates, imports, views
from catalog.models import Backend, Policy, Route

COLLECTION = {"get": "list", "post": "create"}
ONE = {"get": "retrieve", "put": "update", "delete": "destroy"}
ONE_OR_PART = ONE | {"patch": "partial_update"}

services = views.ApiServiceViewSet
documents = imports.ImportViewSet
urlpatterns = [
    path("provider/api-services/imports", documents.as_view(COLLECTION), name="imports"),
    path(
        "provider/api-services/imports/<uuid:pk>",
        documents.as_view({"get": "retrieve", "delete": "destroy"}),
        name="import",
    ),
    path(
        "provider/api-services/imports/<uuid:pk>/apply",
        documents.as_view({"post": "apply"}),
        name="import-apply",
    ),
    path(
        "provider/api-services/imports/<uuid:pk>/retry",
        documents.as_view({"post": "retry"}),
        name="import-retry",
    ),
    path("provider/api-services", services.as_view(COLLECTION), name="api-services"),
    path("provider/api-services/<uuid:pk>", services.as_view(ONE_OR_PART), name="api-service"),
    path(
        "provider/api-services/<uuid:pk>/routes",
        services.as_view(
            {"get": "routes", "post": "add_route"},
            queryset=Route.objects.none(),
            filterset_class=filters.RouteFilter,
            ordering_fields=("path", "match"),
        ),
        name="api-service-routes",
    ),
    path(
        "provider/api-services/<uuid:pk>/backends",
        services.as_view(
            {"get": "backends", "post": "add_backend"},
            queryset=Backend.objects.none(),
            filterset_class=filters.BackendFilter,
            ordering_fields=("host", "port", "weight"),
        ),
        name="api-service-backends",
    ),
    path(
        "provider/api-services/<uuid:pk>/policies",
        services.as_view(
            {"get": "policies"},
            queryset=Policy.objects.none(),
            filterset_class=filters.PolicyFilter,
            ordering_fields=("kind",),
        ),
        name="api-service-policies",
    ),
    path(
        "provider/api-services/<uuid:pk>/policies/<slug:kind>",
        services.as_view(
            {"get": "policy", "put": "put_policy", "delete": "delete_policy"},
            queryset=Policy.objects.none(),
        ),
        name="api-service-policy",
    ),
    path("provider/routes/<uuid:pk>", views.RouteViewSet.as_view(ONE), name="route"),
    path("provider/backends/<uuid:pk>", views.BackendViewSet.as_view(ONE), name="backend"),
    path("provider/products", views.ProductViewSet.as_view(COLLECTION), name="products"),
    path("provider/products/<uuid:pk>", views.ProductViewSet.as_view(ONE_OR_PART), name="product"),
    path(
        "provider/products/<uuid:pk>/logo",
        views.ProductViewSet.as_view(
            {"put": "logo", "delete": "remove_logo"}, parser_classes=[MultiPartParser]
        ),
        name="product-logo",
    ),
    path("provider/gateways", views.GatewayViewSet.as_view(COLLECTION), name="gateways"),
    path("provider/gateways/<uuid:pk>", views.GatewayViewSet.as_view(ONE_OR_PART), name="gateway"),
    path(
        "provider/certificates",
        certificates.CertificateViewSet.as_view(COLLECTION),
        name="certificates",
    ),
    path(
        "provider/certificates/<uuid:pk>",
        certificates.CertificateViewSet.as_view(ONE_OR_PART),
        name="certificate",
    ),
]
