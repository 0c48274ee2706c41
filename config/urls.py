"""Pages at the root, REST under /api/v1/ without trailing slashes."""

from importlib.util import find_spec

from django.conf import settings
from django.contrib import admin
from django.urls import include, path, re_path

from accounts.views import home
from core import docs, views
from core.envelope import not_found

CONTEXTS = ("accounts", "clusters", "catalog", "publishing", "subscriptions", "agents.server")


def _included(prefix, *modules):
    found = []
    for module in modules:
        package = module.rpartition(".")[0]
        if find_spec(package) and find_spec(module):
            try:
                found.append(path(prefix, include(module)))
            except ImportError as error:  # for the first hours only, while the contexts are built
                print(f"config.urls: {module} left out: {error}")
    return found


urlpatterns = [
    path("", home, name="home"),
    *_included("", *(f"{name}.urls" for name in CONTEXTS)),
    *_included("api/v1/", *(f"{name}.api.urls" for name in CONTEXTS)),
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
