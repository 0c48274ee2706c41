from django.urls import path

from accounts.api import views

tokens = views.ApiTokenViewSet
notices = views.NoticeViewSet
urlpatterns = [
    path("auth/login", views.Login.as_view(), name="auth-login"),
    path("auth/refresh", views.Refresh.as_view(), name="auth-refresh"),
    path("auth/logout", views.Logout.as_view(), name="auth-logout"),
    path("auth/me", views.Me.as_view(), name="auth-me"),
    path("auth/tokens", tokens.as_view({"get": "list", "post": "create"}), name="auth-tokens"),
    path("notices", notices.as_view({"get": "list"}), name="api-notices"),
    path("notices/<uuid:pk>/read", notices.as_view({"post": "read"}), name="api-notice-read"),
    path(
        "auth/tokens/<uuid:pk>/revoke",
        tokens.as_view({"post": "revoke"}),
        name="auth-token-revoke",
    ),
]
