from django.urls import path

from publishing.consumers import PublishConsumer

websocket_urlpatterns = [path("ws/publishes/<uuid:pk>", PublishConsumer.as_asgi())]
