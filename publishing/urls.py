from django.urls import path

from publishing import views

app_name = "publishing"

urlpatterns = [
    path("provider/publishes", views.publishes, name="list"),
    path("provider/publishes/<uuid:pk>", views.detail, name="detail"),
    path("provider/publishes/<uuid:pk>/publish", views.publish, name="publish"),
    path("provider/publishes/<uuid:pk>/withdraw", views.withdraw, name="withdraw"),
    path("provider/deployments/<uuid:pk>/cancel", views.cancel, name="cancel"),
]
