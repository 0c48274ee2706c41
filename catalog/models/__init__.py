"""What providers define: pure descriptions, deployed nowhere by themselves."""

from catalog.models.certificates import EXPIRES_SOON, Certificate, Validity
from catalog.models.gateways import (
    GATEWAY_CLASSES,
    Gateway,
    GatewayQuerySet,
    Listener,
    ListenerQuerySet,
    Protocol,
)
from catalog.models.imports import ApiImport, ImportSource, ImportStatus
from catalog.models.products import Logo, Product
from catalog.models.services import (
    METHODS,
    ApiService,
    Backend,
    Match,
    Policy,
    PolicyKind,
    Route,
    ServicePartQuerySet,
)

__all__ = [
    "EXPIRES_SOON",
    "GATEWAY_CLASSES",
    "METHODS",
    "ApiImport",
    "ApiService",
    "Backend",
    "Certificate",
    "Gateway",
    "GatewayQuerySet",
    "ImportSource",
    "ImportStatus",
    "Listener",
    "ListenerQuerySet",
    "Logo",
    "Match",
    "Policy",
    "PolicyKind",
    "Product",
    "Protocol",
    "Route",
    "ServicePartQuerySet",
    "Validity",
]
