"""Every answer under /api/ has the envelope, whatever went wrong."""

import json

import pytest
from django.test import Client

from tests.factories.accounts import MembershipFactory

KEYS = {"success", "data", "error", "message", "request_id", "timestamp"}


@pytest.fixture
def api(db):
    membership = MembershipFactory()
    client = Client(raise_request_exception=False)
    client.force_login(membership.user)
    return client


def refusal(response, status, code):
    """The envelope's error, after checking its shape."""
    assert response.status_code == status, response.content
    assert response["Content-Type"].startswith("application/json")
    body = response.json()
    assert set(body) == KEYS
    assert body["success"] is False
    assert body["data"] is None
    assert set(body["error"]) == {"code", "message", "details"}
    assert body["error"]["code"] == code
    assert body["error"]["message"]
    assert body["request_id"] == response["X-Request-ID"]
    return body["error"]


def post(client, body, content_type="application/json"):
    return client.post("/api/v1/auth/tokens", body, content_type=content_type)


def test_success_has_the_envelope_too(api):
    body = api.get("/api/v1/auth/me").json()

    assert set(body) == KEYS
    assert body["success"] is True
    assert body["error"] is None
    assert body["timestamp"].endswith("Z")


def test_lists_say_which_page_they_are(api):
    data = api.get("/api/v1/auth/tokens?page_size=1000").json()["data"]

    assert data == {"items": [], "page": 1, "page_size": 200, "total": 0, "pages": 1}


@pytest.mark.parametrize("page", ["0", "9", "abc"])
def test_a_page_that_is_not_there_is_404(api, page):
    refusal(api.get(f"/api/v1/auth/tokens?page={page}"), 404, "not_found")


@pytest.mark.parametrize("path", ["/api/", "/api/v1/nothing", "/api/v1/auth/tokens/x/revoke"])
def test_unknown_paths(api, path):
    refusal(api.get(path), 404, "not_found")


def test_wrong_method(api):
    response = api.put("/api/v1/auth/tokens")

    refusal(response, 405, "method_not_allowed")
    assert response["Allow"] == "GET, POST, HEAD, OPTIONS"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b'{"name": NaN}',
        b"[" * 100_000,
        b'{"name": "\\ud800"}',
        b'{"n": ' + b"9" * 10_000 + b"}",
    ],
)
def test_malformed_json(api, body):
    refusal(post(api, body), 400, "malformed")


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"7", b"null", b"", b"{}"])
def test_no_object_or_nothing_in_it(api, body):
    refusal(post(api, body), 400, "invalid")


@pytest.mark.parametrize("name", [{"a": 1}, [], None, "", "x" * 81, "a\x00b", True])
def test_wrong_types_name_the_field(api, name):
    error = refusal(post(api, json.dumps({"name": name})), 400, "invalid")

    assert "name" in error["details"]
    assert error["message"].startswith("name: ")


def test_a_rule_of_a_service_names_the_field(api):
    body = json.dumps({"name": "CI", "expires_at": "2001-01-01T00:00:00Z"})

    assert list(refusal(post(api, body), 400, "invalid")["details"]) == ["expires_at"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_another_media_type(api, content_type):
    refusal(post(api, "name=CI", content_type), 415, "unsupported_media_type")


def test_a_body_over_1_mib_by_its_length(api):
    refusal(post(api, b'{"name": "' + b"x" * 1024 * 1024 + b'"}'), 413, "payload_too_large")


def test_a_body_of_exactly_1_mib_is_read(api):
    body = b'{"name": "' + b"x" * (1024 * 1024 - 12) + b'"}'

    refusal(post(api, body), 400, "invalid")


def test_a_body_without_a_length(api):
    response = api.post(
        "/api/v1/auth/tokens",
        b"{}",
        content_type="application/json",
        CONTENT_LENGTH="",
        headers={"transfer-encoding": "chunked"},
    )

    refusal(response, 411, "length_required")


def test_anonymous(client, db):
    response = client.get("/api/v1/auth/me")

    refusal(response, 401, "unauthenticated")
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_a_session_needs_the_csrf_token(db):
    client = Client(enforce_csrf_checks=True)
    client.force_login(MembershipFactory().user)

    refusal(post(client, b'{"name": "CI"}'), 403, "permission_denied")


@pytest.mark.urls("tests.core.broken_urls")
class TestBrokenViews:
    def test_crash(self, api):
        error = refusal(api.get("/api/crash"), 500, "internal_error")

        assert "secret" not in json.dumps(error)

    def test_crash_inside_drf(self, api):
        refusal(api.get("/api/crash-drf"), 500, "internal_error")

    def test_domain_error(self, api):
        error = refusal(api.get("/api/rule"), 409, "too_late")

        assert error["message"] == "It is too late."
        assert error["details"] == {"since": "noon"}

    @pytest.mark.parametrize(
        ("kind", "status", "code"),
        [
            ("permission", 403, "permission_denied"),
            ("missing", 404, "not_found"),
            ("validation", 400, "invalid"),
            ("data", 400, "invalid"),
            ("throttled", 429, "throttled"),
        ],
    )
    def test_mapped(self, api, kind, status, code):
        refusal(api.get(f"/api/raise/{kind}"), status, code)

    def test_django_refuses(self, api):
        refusal(api.get("/api/suspicious"), 400, "bad_request")
        refusal(api.get("/api/forbidden"), 403, "permission_denied")


@pytest.mark.urls("tests.core.broken_urls")
@pytest.mark.parametrize("path", ["/api/away", "/api/raise/away"])
def test_a_database_that_is_away_is_503_and_says_when_to_come_again(api, path):
    response = api.get(path)

    refusal(response, 503, "database_away")
    assert response["Retry-After"] == "5"
    assert b"10.1.2.3" not in response.content


@pytest.mark.urls("tests.core.broken_urls")
def test_a_page_says_so_as_well(api):
    response = api.get("/away")

    assert response.status_code == 503
    assert response["Retry-After"] == "5"
