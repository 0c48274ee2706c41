from django.urls import path

from clusters.views import browse, fleet, joining, manage

app_name = "clusters"

urlpatterns = [
    path("operator/", fleet.overview, name="overview"),
    path("operator/agents", fleet.agents, name="agents"),
    path("operator/clusters", browse.clusters, name="list"),
    path("operator/clusters/new", manage.new, name="new"),
    path("operator/clusters/check-name", manage.check_name, name="check_name"),
    path("operator/clusters/<uuid:pk>", browse.detail, name="detail"),
    path("operator/clusters/<uuid:pk>/events", browse.events, name="events"),
    path("operator/clusters/<uuid:pk>/edit", manage.edit, name="edit"),
    path("operator/clusters/<uuid:pk>/maintenance", manage.maintenance, name="maintenance"),
    path("operator/clusters/<uuid:pk>/delete", manage.delete, name="delete"),
    path("operator/clusters/<uuid:pk>/tokens", joining.create_token, name="create_token"),
    path("operator/tokens/<uuid:pk>/revoke", joining.revoke_token, name="revoke_token"),
    path("operator/agents/<uuid:pk>/revoke", joining.revoke_agent, name="revoke_agent"),
]
