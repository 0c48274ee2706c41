"""Pages at the root, REST under /api/v1/ without trailing slashes."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path, re_path

from accounts.views import home
from core import docs, views
from core.envelope import not_found
from core.search import views as search
from core.search.api import Search

rest = [
    path("search", Search.as_view({"get": "list"}), name="api-search"),
    path("", include("accounts.api.urls")),
    path("", include("clusters.api.urls")),
    path("", include("catalog.api.urls")),
    path("", include("publishing.api.urls")),
    path("", include("subscriptions.api.urls")),
    path("", include("agents.server.api.urls")),
]
urlpatterns = [
    # First: a call would be compared with the patterns of all pages before its own.
    path("api/v1/", include(rest)),
    path("", home, name="home"),
    path("search", search.results, name="search"),
    path("", include("accounts.urls")),
    path("", include("clusters.urls")),
    path("", include("catalog.urls")),
    path("", include("publishing.urls")),
    path("", include("subscriptions.urls")),
    path("", include("agents.server.urls")),
    path("api/schema", docs.schema, name="schema"),
    path("api/docs", docs.docs, name="docs"),
    re_path(r"^api(?:/|$)", not_found),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
]
if settings.OIDC_ENABLED:
    urlpatterns.append(path("oidc/", include("mozilla_django_oidc.urls")))

handler400 = views.bad_request
handler403 = views.permission_denied
handler404 = views.page_not_found
handler500 = views.server_error
