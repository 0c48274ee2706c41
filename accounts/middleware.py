"""What pages need of the signed-in person: their language and the organization they work in."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.utils import translation
from django.utils.cache import patch_vary_headers

from accounts import organizations

GetResponse = Callable[[HttpRequest], HttpResponse]


class ProfileLocaleMiddleware:
    """The language of the profile comes before the browser's."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        locale = getattr(request.user, "locale", "")
        if locale:
            translation.activate(locale)
            request.LANGUAGE_CODE = translation.get_language()
        return self.get_response(request)


class OrganizationMiddleware:
    """On pages, sets request.organizations to choose from, and what organizations.work_in sets.

    In the API, the authentication classes set the latter.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.organization, request.organizations, request.standing = None, [], None
        if request.user.is_authenticated and not request.path.startswith("/api/"):
            mine = organizations.choices(request.user)
            request.organizations = mine
            chosen = organizations.of_session(request.session, request.user, mine)
            organizations.work_in(request, request.user, chosen, mine)
        return self.get_response(request)


class HtmxMiddleware:
    """A panel that asks after the session ended gets the login page as a page, not as its content."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.path.startswith("/api/"):
            return response
        patch_vary_headers(response, ["HX-Request"])
        location = response.headers.get("Location", "")
        if request.headers.get("HX-Request") and location.startswith(
            resolve_url(settings.LOGIN_URL)
        ):
            return HttpResponse(headers={"HX-Redirect": resolve_url(settings.LOGIN_URL)})
        return response
