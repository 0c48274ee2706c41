from django.urls import path

from catalog.views import services

app_name = "catalog"

urlpatterns = [
    path("provider/api-services", services.services, name="services"),
    path("provider/api-services/<uuid:pk>", services.detail, name="service"),
]
