"""The certificate authority that agents should trust: public, and compared with a digest by them."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe


@require_safe
def ca(request: HttpRequest) -> HttpResponse:
    """404 where agents need none: agentd's certificate is from a known authority, or there is no TLS."""
    path = settings.AGENT_CA_FILE
    if not path:
        raise Http404(_("This portal's agents trust the system's certificate authorities."))
    return HttpResponse(Path(path).read_bytes(), content_type="application/x-pem-file")
