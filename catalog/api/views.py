"""/api/v1/provider/{api-services,routes,backends,products,gateways}"""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import access
from accounts.models import Kind, Role
from catalog import filters
from catalog.api import examples, serializers
from catalog.logos import MAX_BYTES
from catalog.models import ApiService, Backend, Gateway, Policy, PolicyKind, Product, Route
from catalog.services import apis, backends, gateways, logos, policies, products, routes
from core import versions
from core.api import SharedListMixin, VersionedMixin, VisibleMixin, validated

KIND = OpenApiParameter("kind", str, OpenApiParameter.PATH, enum=PolicyKind.values)


class ProviderViewSet(SharedListMixin, VisibleMixin, viewsets.ReadOnlyModelViewSet):
    """Rows of the providers that the user works for."""

    roles = {"destroy": Role.ADMIN}

    def creating_in(self) -> Any:
        """The active organization's id. Whoever may not write is told so before the body is read."""
        organization = self.request.organization
        if organization is None:
            raise Http404
        return access.organization_for(self.request.user, organization.pk, kind=Kind.PROVIDER).pk

    def writing_to(self, role: Role = Role.MEMBER) -> Any:
        """The row's id, on the same terms."""
        row = self.get_object()
        access.require(self.request.user, _provider_of(row), role)
        return row.pk

    def answer(self, row: Any, status: int = 200) -> Response:
        fresh = self.get_queryset().get(pk=row.pk)
        return Response(self.get_serializer(fresh).data, status=status)


class VersionedViewSet(VersionedMixin, ProviderViewSet):
    """Rows that several people edit."""


def _provider_of(row: Any) -> Any:
    return getattr(row, "service", row).organization_id


class ApiServiceViewSet(VersionedViewSet):
    model = ApiService
    queryset = ApiService.objects.none()
    serializer_class = serializers.ApiServiceSerializer
    filterset_class = filters.ApiServiceFilter
    ordering_fields = ("name", "version", "base_path", "created_at", "updated_at")
    versioned_actions = ("update", "partial_update", "destroy", "put_policy", "delete_policy")
    versioned_reads = ("retrieve", "create", "policy")

    def get_queryset(self):
        return super().get_queryset().prefetch_related(*serializers.ApiServiceSerializer.PARTS)

    @extend_schema(
        request=serializers.ApiServiceBody, responses={201: serializers.ApiServiceSerializer}
    )
    def create(self, request: Request) -> Response:
        """Define an API in the active organization, with its parts or without.

        409 `route_exists`, `backend_exists` or `policy_exists` if two of the parts are the same.
        """
        organization_id = self.creating_in()
        body = validated(serializers.ApiServiceBody, request)
        row = apis.create(actor=request.user, organization_id=organization_id, **body)
        return self.answer(row, status=201)

    @extend_schema(request=serializers.ApiServiceBody, responses=serializers.ApiServiceSerializer)
    def update(self, request: Request, pk: str) -> Response:
        """Describe it anew. Parts that are given replace all of their kind; unchanged ones keep their id.

        409 `route_exists`, `backend_exists` or `policy_exists` if two of the parts are the same.
        """
        return self._change(request, partial=False)

    @extend_schema(
        request=serializers.ApiServiceBody(partial=True),
        responses=serializers.ApiServiceSerializer,
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change only what is given. 409 `route_exists` and the like as with PUT."""
        return self._change(request, partial=True)

    def _change(self, request: Request, *, partial: bool) -> Response:
        service_id, seen = self.writing_to(), versions.asked(request)
        body = validated(serializers.ApiServiceBody, request, partial=partial)
        row = apis.update(actor=request.user, service_id=service_id, seen=seen, **body)
        return self.answer(row)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """409 `service_in_use` while a product has it."""
        service_id = self.writing_to(Role.ADMIN)
        apis.delete(actor=request.user, service_id=service_id, seen=versions.asked(request))
        return Response(status=204)

    @extend_schema(
        summary="List a service's routes", responses=serializers.RouteSerializer(many=True)
    )
    @action(detail=True, methods=["get"])
    def routes(self, request: Request, pk: str) -> Response:
        """In pages. All of them at once are with the service itself."""
        return self._listed(self.get_object().routes.all(), serializers.RouteSerializer)

    @extend_schema(
        summary="Add a route",
        request=serializers.RouteBody,
        responses={201: serializers.RouteSerializer},
    )
    @routes.mapping.post
    def add_route(self, request: Request, pk: str) -> Response:
        """409 `route_exists` if another route of the service takes one of the methods there."""
        service_id = self.writing_to()
        body = validated(serializers.RouteBody, request)
        row = routes.create(actor=request.user, service_id=service_id, **body)
        return Response(serializers.RouteSerializer(row).data, status=201)

    @extend_schema(
        summary="List a service's backends", responses=serializers.BackendSerializer(many=True)
    )
    @action(detail=True, methods=["get"])
    def backends(self, request: Request, pk: str) -> Response:
        """In pages. All of them at once are with the service itself."""
        return self._listed(self.get_object().backends.all(), serializers.BackendSerializer)

    @extend_schema(
        summary="Add a backend",
        request=serializers.BackendBody,
        responses={201: serializers.BackendSerializer},
    )
    @backends.mapping.post
    def add_backend(self, request: Request, pk: str) -> Response:
        """409 `backend_exists` if the service has this host and port already."""
        service_id = self.writing_to()
        body = validated(serializers.BackendBody, request)
        row = backends.create(actor=request.user, service_id=service_id, **body)
        return Response(serializers.BackendSerializer(row).data, status=201)

    @extend_schema(
        summary="List a service's policies",
        responses=serializers.PolicySerializer(many=True),
    )
    @action(detail=True, methods=["get"])
    def policies(self, request: Request, pk: str) -> Response:
        """What happens to every call of the service, by kind: at most one of each."""
        return self._listed(self.get_object().policies.all(), serializers.PolicySerializer)

    @extend_schema(
        summary="Read a policy",
        parameters=[KIND],
        responses=serializers.PolicySerializer,
        examples=examples.POLICIES,
    )
    @action(detail=True, methods=["get"])
    def policy(self, request: Request, pk: str, kind: str) -> Response:
        """404 when the service has no policy of this kind."""
        return _policy(get_object_or_404(self.get_object().policies, kind=kind))

    @extend_schema(
        summary="Set a policy",
        parameters=[KIND],
        request=serializers.PolicyConfigBody,
        responses=serializers.PolicySerializer,
        examples=examples.CONFIGS,
    )
    @policy.mapping.put
    def put_policy(self, request: Request, pk: str, kind: str) -> Response:
        """Set the policy of this kind, whether there was one or not. It counts from the next publish.

        400 names what is wrong with it: `config.allow_origins.0`.
        """
        service_id = self.writing_to()
        body = validated(serializers.PolicyConfigBody, request)
        body["seen"] = versions.asked(request)
        row = policies.put(actor=request.user, service_id=service_id, kind=kind, **body)
        row.refresh_from_db()
        return _policy(row)

    @extend_schema(summary="Remove a policy", parameters=[KIND], responses={204: None})
    @policy.mapping.delete
    def delete_policy(self, request: Request, pk: str, kind: str) -> Response:
        """Calls pass without it from the next publish. 404 when there is none of this kind."""
        which = {"service_id": self.writing_to(), "kind": kind}
        policies.delete(actor=request.user, **which, seen=versions.asked(request))
        return Response(status=204)

    def _listed(self, rows: Any, shape: Any) -> Response:
        page = self.paginate_queryset(self.filter_queryset(rows))
        return self.get_paginated_response(shape(page, many=True).data)


def _policy(row: Policy) -> Response:
    return Response(serializers.PolicySerializer(row).data, headers=versions.headers(row))


class RouteViewSet(VersionedViewSet):
    model = Route
    queryset = Route.objects.none()
    serializer_class = serializers.RouteSerializer
    roles = {"destroy": Role.MEMBER}

    def get_queryset(self):
        return super().get_queryset().select_related("service")

    @extend_schema(request=serializers.RouteBody, responses=serializers.RouteSerializer)
    def update(self, request: Request, pk: str) -> Response:
        """What is left out goes back to its default.

        409 `route_exists` if another route of the service takes one of the methods there.
        """
        route_id = self.writing_to()
        body = validated(serializers.RouteBody, request) | {"seen": versions.asked(request)}
        return self.answer(routes.update(actor=request.user, route_id=route_id, **body))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Its service goes on without it from the next publish."""
        route_id = self.writing_to()
        routes.delete(actor=request.user, route_id=route_id, seen=versions.asked(request))
        return Response(status=204)


class BackendViewSet(VersionedViewSet):
    model = Backend
    queryset = Backend.objects.none()
    serializer_class = serializers.BackendSerializer
    roles = {"destroy": Role.MEMBER}

    def get_queryset(self):
        return super().get_queryset().select_related("service")

    @extend_schema(request=serializers.BackendBody, responses=serializers.BackendSerializer)
    def update(self, request: Request, pk: str) -> Response:
        """What is left out goes back to its default.

        409 `backend_exists` if the service has this host and port already.
        """
        backend_id = self.writing_to()
        body = validated(serializers.BackendBody, request) | {"seen": versions.asked(request)}
        return self.answer(backends.update(actor=request.user, backend_id=backend_id, **body))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Its service goes on without it from the next publish."""
        backend_id = self.writing_to()
        backends.delete(actor=request.user, backend_id=backend_id, seen=versions.asked(request))
        return Response(status=204)


class ProductViewSet(VersionedViewSet):
    model = Product
    queryset = Product.objects.none()
    serializer_class = serializers.ProductSerializer
    filterset_class = filters.ProductFilter
    ordering_fields = ("name", "version", "created_at", "updated_at")
    versioned_actions = ("update", "partial_update", "destroy", "logo", "remove_logo")

    def get_queryset(self):
        return super().get_queryset().prefetch_related(*serializers.ProductSerializer.PARTS)

    @extend_schema(request=serializers.ProductBody, responses={201: serializers.ProductSerializer})
    def create(self, request: Request) -> Response:
        """Bundle services of the active organization. 400 `duplicate` if it has this name and version."""
        organization_id = self.creating_in()
        body = validated(serializers.ProductBody, request)
        row = products.create(actor=request.user, organization_id=organization_id, **body)
        return self.answer(row, status=201)

    @extend_schema(request=serializers.ProductBody, responses=serializers.ProductSerializer)
    def update(self, request: Request, pk: str) -> Response:
        """Describe it anew; without `service_ids` its services stay."""
        return self._change(request, partial=False)

    @extend_schema(
        request=serializers.ProductBody(partial=True), responses=serializers.ProductSerializer
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change only what is given."""
        return self._change(request, partial=True)

    def _change(self, request: Request, *, partial: bool) -> Response:
        product_id = self.writing_to()
        body = validated(serializers.ProductBody, request, partial=partial)
        body["seen"] = versions.asked(request)
        return self.answer(products.update(actor=request.user, product_id=product_id, **body))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """409 `product_in_use` while a publish is made of it."""
        product_id = self.writing_to(Role.ADMIN)
        products.delete(actor=request.user, product_id=product_id, seen=versions.asked(request))
        return Response(status=204)

    @extend_schema(
        summary="Set a product's logo",
        request={"multipart/form-data": serializers.LogoBody},
        responses=serializers.ProductSerializer,
        examples=[examples.LOGO],
    )
    @action(detail=True, methods=["put"])
    def logo(self, request: Request, pk: str) -> Response:
        """A PNG, JPEG or WebP of at most 1 MB and 4,096 px a side. It is drawn anew as a PNG of 256 px."""
        product_id = self.writing_to()
        picture = validated(serializers.LogoBody, request)["logo"]
        given = {"data": picture.read(MAX_BYTES + 1), "seen": versions.asked(request)}
        return self.answer(logos.put(actor=request.user, product_id=product_id, **given))

    @extend_schema(summary="Remove a product's logo", request=None, responses={204: None})
    @logo.mapping.delete
    def remove_logo(self, request: Request, pk: str) -> Response:
        """Without one the product shows its initials."""
        product_id = self.writing_to()
        logos.remove(actor=request.user, product_id=product_id, seen=versions.asked(request))
        return Response(status=204)


class GatewayViewSet(VersionedViewSet):
    model = Gateway
    queryset = Gateway.objects.none()
    serializer_class = serializers.GatewaySerializer
    filterset_class = filters.GatewayFilter
    ordering_fields = ("name", "gateway_class", "created_at", "updated_at")

    def get_queryset(self):
        return super().get_queryset().prefetch_related(*serializers.GatewaySerializer.PARTS)

    @extend_schema(request=serializers.GatewayBody, responses={201: serializers.GatewaySerializer})
    def create(self, request: Request) -> Response:
        """Describe a gateway template in the active organization.

        409 `listener_exists` if two listeners have the same port and hostname.
        """
        organization_id = self.creating_in()
        body = validated(serializers.GatewayBody, request)
        row = gateways.create(actor=request.user, organization_id=organization_id, **body)
        return self.answer(row, status=201)

    @extend_schema(request=serializers.GatewayBody, responses=serializers.GatewaySerializer)
    def update(self, request: Request, pk: str) -> Response:
        """Describe it anew. Listeners with the same port and hostname keep their id.

        409 `listener_exists` if two listeners have the same port and hostname.
        """
        return self._change(request, partial=False)

    @extend_schema(
        request=serializers.GatewayBody(partial=True), responses=serializers.GatewaySerializer
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change only what is given. 409 `listener_exists` as with PUT."""
        return self._change(request, partial=True)

    def _change(self, request: Request, *, partial: bool) -> Response:
        gateway_id, seen = self.writing_to(), versions.asked(request)
        body = validated(serializers.GatewayBody, request, partial=partial)
        row = gateways.update(actor=request.user, gateway_id=gateway_id, seen=seen, **body)
        return self.answer(row)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """409 `gateway_in_use` while a publish goes through it."""
        gateway_id = self.writing_to(Role.ADMIN)
        gateways.delete(actor=request.user, gateway_id=gateway_id, seen=versions.asked(request))
        return Response(status=204)
