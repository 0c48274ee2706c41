from django.urls import path

from agents.server import views

app_name = "agents"
urlpatterns = [path("agent/ca.pem", views.ca, name="ca")]
