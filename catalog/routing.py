from django.urls import path

from catalog.consumers import ImportConsumer

websocket_urlpatterns = [path("ws/imports/<uuid:pk>", ImportConsumer.as_asgi())]
