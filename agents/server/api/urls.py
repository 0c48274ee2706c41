from django.urls import path, register_converter

from agents.server.api import views


class Sha256Converter:
    regex = "[0-9a-f]{64}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(Sha256Converter, "sha256")

app_name = "agents_api"
urlpatterns = [
    path("agent/manifest", views.Manifest.as_view(), name="manifest"),
    path("agent/bundles/<sha256:digest>", views.Bundle.as_view(), name="bundle"),
    path("agent/secrets/<uuid:pk>", views.Secret.as_view(), name="secret"),
    path("agent/access", views.Access.as_view(), name="access"),
]
