"""/api/schema and /api/docs, with the documentation's assets served from here."""

from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView

schema = SpectacularJSONAPIView.as_view()
docs = SpectacularSwaggerSplitView.as_view(url_name="schema", template_name="core/api_docs.html")
