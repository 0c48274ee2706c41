from django.urls import path

from subscriptions.consumers import RequestsConsumer

websocket_urlpatterns = [path("ws/subscriptions", RequestsConsumer.as_asgi())]
