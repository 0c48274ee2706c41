"""Who owns which host, port and path of a cluster."""

from __future__ import annotations

import pytest

from core.errors import DomainError
from publishing.models import HostClaim, RouteClaim
from tests.factories.accounts import MembershipFactory
from tests.factories.catalog import (
    ApiServiceFactory,
    BackendFactory,
    ListenerFactory,
    RouteFactory,
)
from tests.factories.clusters import ClusterFactory
from tests.factories.publishing import HostClaimFactory, ProductPublishFactory, RouteClaimFactory
from tests.publishing.stage import Stage

pytestmark = pytest.mark.django_db
HOST = "api.example.com"


def refusal_of(stage: Stage) -> DomainError:
    with pytest.raises(DomainError) as caught:
        stage.click()
    assert not stage.publish.deployments.exists()
    assert stage.fresh().wanted_revision is None
    return caught.value


def held(publish) -> set[tuple]:
    return set(publish.route_claims.values_list("port", "path", "method"))


def neighbour(stage: Stage, **fields):
    """A live publish of the same provider on the same cluster and host."""
    return ProductPublishFactory(
        organization=stage.publish.organization,
        cluster=stage.cluster,
        hostname_base=stage.publish.hostname_base,
        published=True,
        **fields,
    )


# --- Between two tenants -----------------------------------------------------------------------


def test_a_host_of_another_organization_is_refused_and_its_owner_not_named():
    stage = Stage(settings={"hostname_base": HOST})
    other = ProductPublishFactory(cluster=stage.cluster, hostname_base=HOST, published=True)
    error = refusal_of(stage)
    assert error.code == "host_taken"
    assert error.details == {"hostname_base": HOST}
    assert "another organization" in error.message
    assert other.product.name not in error.message


def test_whoever_works_for_both_is_told_the_name():
    stage = Stage(settings={"hostname_base": HOST})
    other = ProductPublishFactory(cluster=stage.cluster, hostname_base=HOST, published=True)
    MembershipFactory(user=stage.user, organization=other.organization)
    error = refusal_of(stage)
    assert error.details["publish_id"] == str(other.pk)
    assert str(other) in error.message


def test_a_token_of_one_organization_is_not_told_the_name():
    stage = Stage(settings={"hostname_base": HOST})
    other = ProductPublishFactory(cluster=stage.cluster, hostname_base=HOST, published=True)
    MembershipFactory(user=stage.user, organization=other.organization)
    stage.user.scope = stage.publish.organization_id
    assert refusal_of(stage).details == {"hostname_base": HOST}


def test_a_claim_without_a_route_holds_the_host_too():
    stage = Stage(settings={"hostname_base": HOST})
    HostClaimFactory(cluster=stage.cluster, host=HOST)
    assert refusal_of(stage).code == "host_taken"


def test_the_same_host_on_another_cluster_is_free():
    ProductPublishFactory(cluster=ClusterFactory(), hostname_base=HOST, published=True)
    stage = Stage(settings={"hostname_base": HOST})
    assert stage.click().status == "QUEUED"


# --- Inside one tenant -------------------------------------------------------------------------


def test_a_route_of_ones_own_other_publish_is_refused_with_its_name():
    stage = Stage()
    other = neighbour(stage, product=stage.publish.product, environment="stage")
    error = refusal_of(stage)
    assert error.code == "route_conflict"
    assert error.details["publish_id"] == str(other.pk)
    path = stage.publish.product.services.get().base_path
    assert f"GET {stage.publish.hostname_base}:8080{path}" in error.details["routes"]
    assert str(other) in error.message


def test_other_routes_on_the_same_host_live_side_by_side():
    stage = Stage()
    neighbour(stage)
    stage.serve()
    assert HostClaim.objects.get(host=stage.publish.hostname_base).cluster == stage.cluster


def test_another_method_of_the_same_path_is_another_route():
    stage = Stage()
    base = stage.publish.product.services.get().base_path
    other = neighbour(stage)
    RouteClaimFactory(publish=other, path=base, method="DELETE")
    assert stage.click().status == "QUEUED"


def test_another_port_is_another_route():
    stage = Stage()
    base = stage.publish.product.services.get().base_path
    other = neighbour(stage)
    RouteClaimFactory(publish=other, path=base, method="GET", port=9090)
    assert stage.click().status == "QUEUED"


def test_two_routes_of_one_product_in_the_same_place_are_refused():
    stage = Stage()
    service = stage.publish.product.services.get()
    twin = ApiServiceFactory(organization=stage.publish.organization, base_path=service.base_path)
    RouteFactory(service=twin, methods=["POST"])
    BackendFactory(service=twin)
    stage.publish.product.services.add(twin)
    error = refusal_of(stage)
    assert error.code == "route_conflict"
    assert error.details["routes"] == [
        f"POST {stage.publish.hostname_base}:8080{service.base_path}"
    ]


def test_what_a_parameter_is_called_means_nothing():
    stage = Stage()
    other = neighbour(stage)
    service = stage.publish.product.services.get()
    RouteFactory(service=service, path="/users/{id}", match="exact", methods=["GET"])
    RouteClaimFactory(
        publish=other, path=f"{service.base_path}/users/{{}}", match="exact", method="GET"
    )
    error = refusal_of(stage)
    assert error.code == "route_conflict"
    place = f"GET {stage.publish.hostname_base}:8080{service.base_path}/users/{{…}}"
    assert error.details["routes"] == [place]


def test_two_routes_of_one_product_may_not_differ_in_a_parameters_name_alone():
    stage = Stage()
    service = stage.publish.product.services.get()
    RouteFactory(service=service, path="/users/{id}", methods=["GET"])
    RouteFactory(service=service, path="/users/{name}", methods=["GET"])
    assert refusal_of(stage).code == "route_conflict"


def test_a_literal_beside_a_parameter_is_another_route():
    stage = Stage()
    service = stage.publish.product.services.get()
    RouteFactory(service=service, path="/users/{id}", match="exact", methods=["GET"])
    RouteFactory(service=service, path="/users/{id}", match="prefix", methods=["GET"])
    RouteFactory(service=service, path="/users/me", match="exact", methods=["GET"])
    RouteFactory(service=service, path="/users/{name}", match="exact", methods=["PUT"])
    assert stage.click().status == "QUEUED"
    base = service.base_path
    assert held(stage.publish) >= {
        (8080, f"{base}/users/{{}}", "GET"),
        (8080, f"{base}/users/{{}}", "PUT"),
        (8080, f"{base}/users/me", "GET"),
    }


def test_listeners_of_one_port_agree_on_the_protocol():
    stage = Stage()
    other = ProductPublishFactory(cluster=stage.cluster, published=True)
    other.route_claims.update(protocol="HTTPS")
    error = refusal_of(stage)
    assert error.code == "protocol_conflict"
    assert error.details == {"port": 8080, "protocol": "HTTPS"}


# --- Taken and released ------------------------------------------------------------------------


def test_claims_are_taken_with_the_click_and_cover_every_port_and_method():
    stage = Stage()
    ListenerFactory(gateway=stage.publish.gateway, port=9090)
    stage.click()
    base = stage.publish.product.services.get().base_path
    assert held(stage.publish) == {
        (port, base, method) for port in (8080, 9090) for method in ("GET", "POST")
    }
    assert HostClaim.objects.get().organization == stage.publish.organization


def test_while_a_new_revision_is_on_its_way_both_are_held():
    stage = Stage()
    stage.serve()
    service = stage.publish.product.services.get()
    before = service.base_path
    service.base_path = "/v2"
    service.save()
    stage.click()
    assert {path for _port, path, _method in held(stage.publish)} == {before, "/v2"}
    stage.dispatch()
    stage.say("applied")
    assert {path for _port, path, _method in held(stage.publish)} == {"/v2"}


def test_a_refused_revision_gives_back_what_it_took():
    stage = Stage()
    stage.serve()
    before = held(stage.publish)
    service = stage.publish.product.services.get()
    service.base_path = "/v2"
    service.save()
    stage.click()
    stage.dispatch()
    stage.say("failed")
    assert held(stage.publish) == before


def test_the_host_is_free_after_the_last_publish_on_it_was_withdrawn():
    stage = Stage(settings={"hostname_base": HOST})
    other = neighbour(stage)
    stage.serve()
    stage.withdraw()
    stage.dispatch()
    stage.say("applied")
    assert HostClaim.objects.get().host == HOST
    assert set(RouteClaim.objects.values_list("publish", flat=True)) == {other.pk}

    last = Stage(agent_count=0, settings={"cluster": stage.cluster})
    last.publish, last.user, last.agents = other, stage.user, stage.agents
    last.withdraw()
    last.dispatch()
    last.say("applied")
    assert not HostClaim.objects.exists()
    stranger = Stage(settings={"cluster": stage.cluster, "hostname_base": HOST})
    assert stranger.click().status == "QUEUED"
