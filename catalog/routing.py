from django.urls import path

from catalog.consumers import GatewayConsumer, ImportConsumer, ProductConsumer

websocket_urlpatterns = [
    path("ws/imports/<uuid:pk>", ImportConsumer.as_asgi()),
    path("ws/gateways/<uuid:pk>", GatewayConsumer.as_asgi()),
    path("ws/products/<uuid:pk>", ProductConsumer.as_asgi()),
]
