from django.urls import path

from publishing.views import browse, wizard

app_name = "publishing"

urlpatterns = [
    path("provider/products/<uuid:pk>/publish/", wizard.wizard, name="wizard"),
    path("provider/products/<uuid:pk>/publish/discard", wizard.discard, name="discard"),
    path("provider/publishes", browse.publishes, name="list"),
    path("provider/publishes/<uuid:pk>", browse.detail, name="detail"),
    path("provider/publishes/<uuid:pk>/publish", browse.publish, name="publish"),
    path("provider/publishes/<uuid:pk>/withdraw", browse.withdraw, name="withdraw"),
    path("provider/deployments/<uuid:pk>/cancel", browse.cancel, name="cancel"),
]
