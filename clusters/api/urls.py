from django.urls import path

from accounts.models import AuditEvent
from clusters.api import views
from clusters.filters import TrailFilter

cluster_list = views.ClusterViewSet.as_view({"get": "list", "post": "create"})
cluster_detail = views.ClusterViewSet.as_view(
    {"get": "retrieve", "put": "update", "delete": "destroy"}
)
maintenance = views.ClusterViewSet.as_view({"post": "maintenance"})
region_list = views.RegionViewSet.as_view({"get": "list", "post": "create"})
token_list = views.TokenViewSet.as_view({"get": "list", "post": "create"})
token_detail = views.TokenViewSet.as_view({"delete": "destroy"})
cluster_events = views.ClusterViewSet.as_view(
    {"get": "events"},
    queryset=AuditEvent.objects.none(),
    filterset_class=TrailFilter,
    ordering_fields=["created_at"],
)
agent_list = views.AgentViewSet.as_view({"get": "list"})
agent_detail = views.AgentViewSet.as_view({"get": "retrieve"})
agent_revoke = views.AgentViewSet.as_view({"post": "revoke", "delete": "revoke"})
offered = views.OfferedClusterViewSet.as_view({"get": "list"})

urlpatterns = [
    path("operator/clusters", cluster_list, name="api-clusters"),
    path("operator/clusters/<uuid:pk>", cluster_detail, name="api-cluster"),
    path("operator/clusters/<uuid:pk>/maintenance", maintenance, name="api-cluster-maintenance"),
    path("operator/overview", views.Overview.as_view({"get": "retrieve"}), name="api-overview"),
    path("operator/clusters/<uuid:pk>/events", cluster_events, name="api-cluster-events"),
    path("operator/clusters/<uuid:cluster_pk>/registration-tokens", token_list, name="api-tokens"),
    path(
        "operator/clusters/<uuid:cluster_pk>/registration-tokens/<uuid:pk>",
        token_detail,
        name="api-token",
    ),
    path("operator/agents", agent_list, name="api-agents"),
    path("operator/regions", region_list, name="api-regions"),
    path("operator/agents/<uuid:pk>", agent_detail, name="api-agent"),
    path("operator/agents/<uuid:pk>/revoke", agent_revoke, name="api-agent-revoke"),
    path("provider/clusters", offered, name="api-offered-clusters"),
]
