"""What is refused before anything changes, each with its own code."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from catalog.models import ApiService, Gateway
from clusters.models import Cluster
from clusters.rules import port_ranges
from core.addresses import forbidden, literal
from core.errors import DomainError, InvalidTransition
from publishing.compile import Definition, listeners_for
from publishing.models import AuthMode, ProductPublish
from publishing.services import surroundings, tls
from publishing.services.deployments import hold_cluster, open_deployment
from publishing.services.surroundings import Neighbour, Surroundings
from publishing.states import EDITABLE, Status, in_words

# What the drivers enforce today. Anything else would leave an API open that looks protected.
ENFORCED = (AuthMode.NONE, AuthMode.API_KEY)


def before_publish(publish: ProductPublish, definition: Definition, around: Surroundings) -> None:
    """The cheap and most telling refusals first."""
    enforced(publish.auth_mode)
    in_service(publish.cluster)
    _offer(publish, around)
    _drivable(publish.gateway, publish.cluster, around.driven)
    _contents(definition)
    cluster = publish.cluster
    _ports(cluster, (row.port for row in listeners_for(definition)))
    services = {service.pk: str(service) for service in definition.services}
    backends = ((services[row.service_id], row.host, row.port) for row in definition.backends)
    _backends(cluster, backends)


def before_roll_back(publish: ProductPublish, bundle: dict[str, Any], around: Surroundings) -> None:
    """What was fine when it was compiled may be forbidden by now."""
    _same_settings(publish, bundle)
    enforced(publish.auth_mode)
    in_service(publish.cluster)
    _offer(publish, around)
    _drivable(publish.gateway, publish.cluster, around.driven)
    tls.check(publish, bundle, around)
    _ports(publish.cluster, (row["port"] for row in bundle["listeners"]))
    backends = (
        (upstream["name"], backend["host"], backend["port"])
        for upstream in bundle["upstreams"]
        for backend in upstream["backends"]
    )
    _backends(publish.cluster, backends)


def drivable(gateway: Gateway, cluster: Cluster) -> None:
    """An agent must know the gateway's class; a cluster without agents waits for one that does."""
    _drivable(gateway, cluster, driven_by(cluster))


def driven_by(cluster: Cluster) -> frozenset[str] | None:
    """The classes that the cluster's agents drive; None while it has no agent that could say."""
    rows = Cluster.objects.filter(pk=cluster.pk).annotate(said=surroundings.classes())
    return surroundings.driven(rows.values_list("said", flat=True).get())


def _drivable(gateway: Gateway, cluster: Cluster, driven: frozenset[str] | None) -> None:
    if driven is None or gateway.gateway_class in driven:
        return
    raise DomainError(
        _(
            "No agent of cluster %(cluster)s can drive a gateway of class %(class)s. "
            "Choose another gateway or cluster."
        )
        % {"cluster": cluster.name, "class": gateway.gateway_class},
        code="gateway_not_drivable",
        details={"gateway_class": gateway.gateway_class},
    )


def enforced(auth_mode: str) -> None:
    """What no gateway enforces must not look protected."""
    if auth_mode not in ENFORCED:
        raise DomainError(
            _(
                "No gateway enforces %(mode)s yet, so this publish would not be protected. "
                "Set the auth mode to api-key or none."
            )
            % {"mode": AuthMode(auth_mode).label},
            code="auth_mode_unsupported",
            details={"auth_mode": auth_mode, "supported": [str(mode) for mode in ENFORCED]},
        )


def in_service(cluster: Cluster) -> None:
    """Maintenance blocks new publishes, never a withdrawal."""
    if not cluster.maintained:
        return
    until = cluster.maintenance_until
    words = {
        "cluster": cluster.name,
        "reason": cluster.maintenance_reason or _("no reason given"),
        "until": date_format(timezone.localtime(until), "Y-m-d H:i e") if until else "",
    }
    message = (
        _("Cluster %(cluster)s is in maintenance until %(until)s (%(reason)s). Publish after that.")
        if until
        else _(
            "Cluster %(cluster)s is in maintenance (%(reason)s), without an end yet. "
            "Publish when its operator ends it."
        )
    )
    raise DomainError(
        message % words,
        code="cluster_in_maintenance",
        details={
            "reason": cluster.maintenance_reason,
            "until": until.isoformat() if until else None,
        },
    )


def _same_settings(publish: ProductPublish, bundle: dict[str, Any]) -> None:
    """Callers are told the host and the auth mode of the publish: the gateways must agree with it."""
    asked = (bundle["host"], bundle["auth"]["mode"])
    if asked == (publish.hostname_base, publish.auth_mode):
        return
    raise DomainError(
        _(
            "That revision was published as %(host)s with auth mode %(mode)s, and the settings say "
            "otherwise since. Withdraw, change the settings back, then publish."
        )
        % {"host": asked[0], "mode": AuthMode(asked[1]).label},
        code="settings_changed",
        details={"hostname_base": asked[0], "auth_mode": asked[1]},
    )


def _offer(publish: ProductPublish, around: Surroundings) -> None:
    """The operator may have closed the cluster since the publish was created."""
    if not around.open:
        raise DomainError(
            _("Cluster %(cluster)s is no longer open to your organization. Ask its operator.")
            % {"cluster": publish.cluster.name},
            code="cluster_not_offered",
        )


def _contents(definition: Definition) -> None:
    if not definition.services:
        raise DomainError(
            _("The product has no API service. Add one, then publish."), code="no_services"
        )
    if not definition.listeners:
        raise DomainError(
            _("Gateway %(gateway)s has no listener. Give it a port, then publish.")
            % {"gateway": definition.publish.gateway.name},
            code="no_listeners",
        )
    if not listeners_for(definition):
        publish = definition.publish
        raise DomainError(
            _("Gateway %(gateway)s has no listener for %(host)s. Its listeners name other hosts.")
            % {"gateway": publish.gateway.name, "host": publish.hostname_base},
            code="no_listener_for_host",
        )
    bare = _without(definition.services, {row.service_id for row in definition.routes})
    if bare:
        raise DomainError(
            _("%(services)s has no route. Add one, or take the service out of the product.")
            % {"services": _names(bare)},
            code="no_routes",
            details={"services": _ids(bare)},
        )
    bare = _without(definition.services, {row.service_id for row in definition.backends})
    if bare:
        raise DomainError(
            _("%(services)s has no backend, so nobody would answer. Add one, then publish.")
            % {"services": _names(bare)},
            code="no_backends",
            details={"services": _ids(bare)},
        )


def _ports(cluster: Cluster, ports: Iterable[int]) -> None:
    refused = sorted(port for port in ports if not cluster.allows_port(port))
    if refused:
        allowed = port_ranges(cluster.allowed_ports)
        raise DomainError(
            _(
                "Cluster %(cluster)s does not allow port %(ports)s. It allows %(allowed)s: "
                "change the gateway's listener."
            )
            % {
                "cluster": cluster.name,
                "ports": ", ".join(map(str, refused)),
                "allowed": ", ".join(map(str, allowed)),
            },
            code="port_not_allowed",
            details={"ports": refused, "allowed": allowed},
        )


def _backends(cluster: Cluster, backends: Iterable[tuple[str, str, int]]) -> None:
    """Names are resolved and checked by the agent; what needs no resolving is refused here."""
    refused = [
        (service, f"{host}:{port}")
        for service, host, port in backends
        if _denied(host, cluster.allowed_networks)
    ]
    if refused:
        service, backend = refused[0]
        raise DomainError(
            _(
                "%(service)s sends calls to %(backend)s, which cluster %(cluster)s does not allow: "
                "loopback, link-local and metadata addresses need its operator's permission."
            )
            % {"service": service, "backend": backend, "cluster": cluster.name},
            code="backend_forbidden",
            details={"backends": [backend for _service, backend in refused]},
        )


def _denied(host: str, allowed_networks: list[str]) -> bool:
    address = literal(host)
    return address is not None and forbidden(address, allowed_networks)


def _without(services: Collection[ApiService], having: set[UUID]) -> list[ApiService]:
    return sorted((row for row in services if row.pk not in having), key=lambda row: row.name)


def _names(services: list[ApiService]) -> str:
    return ", ".join(map(str, services))


def _ids(services: list[ApiService]) -> list[dict[str, Any]]:
    return [{"id": str(service.pk), "name": service.name} for service in services]


# --- The publish itself ----------------------------------------------------------------------------


def at_rest(publish: ProductPublish, wish: str) -> None:
    if publish.status not in EDITABLE:
        raise InvalidTransition(
            _("This publish is %(status)s. Withdraw it first to %(wish)s.")
            % {"status": in_words(publish.get_status_display()), "wish": wish},
            details={"status": publish.status},
        )
    deployment = open_deployment(publish)
    if deployment is not None:
        raise DomainError(
            _(
                "This publish is %(status)s, but its deployment #%(number)d is %(progress)s. "
                "Wait for it, or cancel it while it is queued, to %(wish)s."
            )
            % {
                "status": in_words(publish.get_status_display()),
                "number": deployment.number,
                "progress": in_words(deployment.get_status_display()),
                "wish": wish,
            },
            code="deployment_under_way",
            details={"status": publish.status, "deployment_id": str(deployment.pk)},
        )


def movable(publish: ProductPublish) -> None:
    """Plans and keys are known to the gateways of one cluster."""
    if publish.plans.exists():
        raise DomainError(
            _(
                "This publish has plans, and their keys belong to cluster %(cluster)s. "
                "Create another publish for the other cluster."
            )
            % {"cluster": publish.cluster.name},
            code="cluster_fixed",
        )


def occupant(publish: ProductPublish) -> ProductPublish | None:
    """Who has the target."""
    rows = ProductPublish.objects.filter(surroundings.occupying(publish))
    return rows.exclude(pk=publish.pk).first()


def target_free(publish: ProductPublish) -> None:
    """One publish per target."""
    if publish.status == Status.PUBLISHED:
        return
    hold_cluster(publish.cluster_id)
    target_unoccupied(publish)


def target_unoccupied(publish: ProductPublish) -> None:
    """The same question without a lock, for those who only look."""
    unoccupied(publish, occupant(publish))


def unoccupied(publish: ProductPublish, other: ProductPublish | Neighbour | None) -> None:
    if other is not None:
        raise DomainError(
            _(
                "%(product)s already has a publish for %(environment)s on cluster %(cluster)s with "
                "this gateway; it is %(status)s. Use that one."
            )
            % {
                "product": publish.product,
                "environment": publish.environment,
                "cluster": publish.cluster.name,
                "status": in_words(str(Status(other.status).label)),
            },
            code="publish_exists",
            details={"publish_id": str(other.pk), "status": other.status},
        )


def something_new(publish: ProductPublish, digest: str) -> None:
    """Live and wanted: while something else is on its way, going back is a change."""
    live = publish.live_revision
    if live and live.digest == digest and publish.wanted_revision_id == live.pk:
        raise DomainError(
            _("This is what the gateways serve already (r%(number)d). Change something first.")
            % {"number": live.number},
            code="nothing_to_publish",
            details={"revision": live.digest},
        )


def nobody_faster(publish: ProductPublish, after: int | None) -> None:
    """`after` is the number of the last deployment that the asker saw; None does not care.

    A second click of the same form, and a colleague's click meanwhile, make no second deployment.
    """
    if after is None:
        return
    newest = publish.deployments.order_by("-number").first()
    if newest is not None and newest.number != after:
        raise DomainError(
            _("Deployment #%(number)d was started meanwhile. Look at it first.")
            % {"number": newest.number},
            code="deployment_started_meanwhile",
            details={"deployment_id": str(newest.pk), "number": newest.number},
        )
