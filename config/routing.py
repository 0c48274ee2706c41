"""The sockets of every context, all under /ws/."""

from catalog.routing import websocket_urlpatterns as catalog
from clusters.routing import websocket_urlpatterns as clusters
from publishing.routing import websocket_urlpatterns as publishing
from subscriptions.routing import websocket_urlpatterns as subscriptions

websocket_urlpatterns = [*catalog, *clusters, *publishing, *subscriptions]
