from django.urls import path

from catalog.views import logos, services

app_name = "catalog"

urlpatterns = [
    path("logos/<uuid:pk>.png", logos.logo, name="logo"),
    path("provider/api-services", services.services, name="services"),
    path("provider/api-services/<uuid:pk>", services.detail, name="service"),
]
