from django.urls import path

from clusters.consumers import ClusterConsumer, ClusterListConsumer

websocket_urlpatterns = [
    path("ws/clusters", ClusterListConsumer.as_asgi()),
    path("ws/clusters/<uuid:pk>", ClusterConsumer.as_asgi()),
]
