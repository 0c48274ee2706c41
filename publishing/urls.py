from django.urls import path

from publishing.views import actions, browse, operated, overview, settings, wizard

app_name = "publishing"

urlpatterns = [
    path("operator/deployments", operated.deployments, name="operated-deployments"),
    path("operator/publishes/<uuid:pk>", operated.publish, name="operated"),
    path("provider/", overview.show, name="overview"),
    path("provider/products/<uuid:pk>/publish/", wizard.wizard, name="wizard"),
    path("provider/products/<uuid:pk>/publish/discard", wizard.discard, name="discard"),
    path("provider/publishes", browse.publishes, name="list"),
    path("provider/publishes/<uuid:pk>", browse.detail, name="detail"),
    path("provider/publishes/<uuid:pk>/changes", browse.changes, name="changes"),
    path("provider/publishes/<uuid:pk>/revisions", browse.revisions, name="revisions"),
    path("provider/publishes/<uuid:pk>/revisions/<int:number>", browse.revision, name="revision"),
    path(
        "provider/publishes/<uuid:pk>/revisions/<int:number>/rollback",
        actions.roll_back,
        name="roll-back",
    ),
    path("provider/publishes/<uuid:pk>/settings", settings.settings, name="settings"),
    path("provider/publishes/<uuid:pk>/publish", actions.publish, name="publish"),
    path("provider/publishes/<uuid:pk>/withdraw", actions.withdraw, name="withdraw"),
    path("provider/publishes/<uuid:pk>/restore", actions.restore, name="restore"),
    path("provider/publishes/<uuid:pk>/delete", actions.delete, name="delete"),
    path("provider/deployments", browse.deployments, name="deployments"),
    path("provider/deployments/<uuid:pk>", browse.deployment, name="deployment"),
    path("provider/deployments/<uuid:pk>/cancel", actions.cancel, name="cancel"),
    path("provider/deployments/<uuid:pk>/waive/<uuid:agent_pk>", actions.waive, name="waive"),
]
