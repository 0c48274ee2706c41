"""Drives a real Envoy over ADS."""

from agents.edge.drivers.envoy.driver import EnvoyDriver

__all__ = ["EnvoyDriver"]
