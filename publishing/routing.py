from django.urls import path

from publishing.consumers import PublishConsumer, PublishListConsumer

websocket_urlpatterns = [
    path("ws/publishes", PublishListConsumer.as_asgi()),
    path("ws/publishes/<uuid:pk>", PublishConsumer.as_asgi()),
]
