"""The sockets of every context, all under /ws/."""

from importlib import import_module
from importlib.util import find_spec

websocket_urlpatterns = [
    route
    for name in ("clusters.routing", "publishing.routing")
    if find_spec(name)
    for route in import_module(name).websocket_urlpatterns
]
