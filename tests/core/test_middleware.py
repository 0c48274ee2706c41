import json
import logging

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from core.context import origin
from core.logs import JsonFormatter, OriginFilter
from core.middleware import CacheMiddleware, OriginMiddleware, client_ip


def ask(**headers):
    """The origin that a view saw, and the answer."""
    seen = []

    def view(request):
        seen.append(origin.get())
        return HttpResponse()

    response = OriginMiddleware(view)(RequestFactory().get("/", **headers))
    return seen[0], response


def test_a_new_request_id_is_given_and_answered():
    where, response = ask(HTTP_USER_AGENT="curl")

    assert len(where.request_id) == 32
    assert response["X-Request-ID"] == where.request_id
    assert (where.ip, where.user_agent) == ("127.0.0.1", "curl")
    assert origin.get().request_id == ""


def test_a_valid_request_id_is_kept():
    where, _response = ask(HTTP_X_REQUEST_ID="abc-DEF_1.23")

    assert where.request_id == "abc-DEF_1.23"


@pytest.mark.parametrize("given", ["", "short", "a" * 65, "a b c d e", "evil\r\nX: y", "ⓐⓑⓒⓓⓔⓕⓖⓗ"])
def test_an_invalid_request_id_is_replaced(given):
    where, _response = ask(HTTP_X_REQUEST_ID=given)

    assert where.request_id != given


@pytest.mark.parametrize(
    ("proxies", "forwarded", "seen"),
    [
        (0, "1.1.1.1", "127.0.0.1"),
        (1, "1.1.1.1", "1.1.1.1"),
        (1, "6.6.6.6, 1.1.1.1", "1.1.1.1"),
        (2, "6.6.6.6, 1.1.1.1, 2.2.2.2", "1.1.1.1"),
        (2, "1.1.1.1", "127.0.0.1"),
        (1, "nonsense", None),
        (1, "2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_address_behind_trusted_proxies(settings, proxies, forwarded, seen):
    settings.TRUSTED_PROXIES = proxies

    assert client_ip(RequestFactory().get("/", HTTP_X_FORWARDED_FOR=forwarded)) == seen


def test_a_unix_socket_has_no_address():
    assert client_ip(RequestFactory().get("/", REMOTE_ADDR="")) is None


def test_a_log_line_is_one_json_object_with_the_request():
    record = logging.makeLogRecord({"name": "x", "levelname": "INFO", "msg": "한 줄\n둘"})
    record.status, record.request = 200, object()
    OriginFilter().filter(record)
    line = JsonFormatter().format(record)

    assert "\n" not in line
    assert json.loads(line).items() >= {
        ("level", "INFO"),
        ("logger", "x"),
        ("message", "한 줄\n둘"),
        ("status", 200),
    }
    assert "request" not in json.loads(line)


def test_pages_have_a_strict_policy(client, db):
    response = client.get("/login")
    policy = response["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/login", "/api/docs", "/nothing"])
def test_pages_have_nothing_inline(client, db, path):
    html = client.get(path).content.decode()

    assert "<style" not in html
    assert " style=" not in html
    assert " onclick=" not in html
    assert html.count("<script") == html.count("<script src=")
    assert "hx-on" not in html


@pytest.mark.parametrize(
    ("path", "own", "kept"),
    [
        ("/provider/products", "", "private, no-cache"),
        ("/api/v1/provider/products", "", "no-store"),
        ("/provider/logos/1", "public, immutable", "public, immutable"),
    ],
)
def test_nobody_between_keeps_what_a_tenant_sees(path, own, kept):
    answer = HttpResponse(headers={"Cache-Control": own} if own else {})

    assert CacheMiddleware(lambda _request: answer)(RequestFactory().get(path)) is answer
    assert answer["Cache-Control"] == kept
