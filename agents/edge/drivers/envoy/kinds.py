"""The kinds of xDS resources that the driver serves, and the errors of serving them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from google.protobuf import any_pb2
from google.protobuf.message import Message


class Kind(StrEnum):
    CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
    ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
    SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type
    FILTER = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"


# Envoy asks for all of these; of the other kinds it asks for the names that listeners mention.
WILDCARD = frozenset({Kind.CLUSTER, Kind.LISTENER})

Named = Mapping[str, any_pb2.Any]


class DriverError(Exception):
    """The gateway cannot be driven; the text says why."""


class ContentError(DriverError):
    """A bundle asks for what this driver does not offer; found before Envoy is asked."""


class Refused(DriverError):
    """Envoy refused a version. The text is Envoy's own."""


class NoVerdict(DriverError):
    """Envoy neither took nor refused a version in time."""


def pack(message: Message) -> any_pb2.Any:
    """Same message, same bytes: maps are written in the order of their keys."""
    packed = any_pb2.Any()
    packed.Pack(message, deterministic=True)
    return packed
