"""The guarded client against a real server on loopback, some addresses of which are allowed."""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from core import fetch
from core.addresses import internal

ALLOWED = ["127.0.0.2/32"]
LIMIT = 100_000


class Site(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        handler = getattr(self, "page_" + self.path.split("?")[0].strip("/"), None)
        if handler is None:
            return self.answer(404, b"")
        return handler()

    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def page_doc(self):
        self.answer(200, f"{self.headers['Host']} {self.path}".encode())

    def page_inside(self):
        self.answer(302, b"", Location=f"http://127.0.0.1:{self.server.server_port}/doc")

    def page_metadata(self):
        self.answer(302, b"", Location="http://169.254.169.254/latest/meta-data")

    def page_scheme(self):
        self.answer(302, b"", Location="file:///etc/passwd")

    def page_nowhere(self):
        self.answer(302, b"", Location="http://[nowhere")

    def page_again(self):
        self.answer(307, b"", Location="/doc?x=1")

    def page_circle(self):
        self.answer(302, b"", Location="/circle")

    def page_large(self):
        self.answer(200, b"x" * (LIMIT + 1))

    def page_packed(self):
        self.answer(200, b"x", Content_Encoding="gzip")

    def page_endless(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(100):
            try:
                self.wfile.write(b"x")
                self.wfile.flush()
            except OSError:
                return
            time.sleep(0.1)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def site():
    """Its address; it listens on every loopback address, as a portal's neighbour might."""
    server = ThreadingHTTPServer(("0.0.0.0", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def get(url, **options):
    return fetch.fetch(
        url, **({"limit": LIMIT, "seconds": 5, "allowed_networks": ALLOWED} | options)
    )


def refusal(url, **options) -> str:
    with pytest.raises(fetch.FetchFailed) as refused:
        get(url, **options)
    assert fetch.words(refused.value.code, refused.value.details)
    return refused.value.code


def test_fetches_from_an_allowed_address(site):
    found = get(f"http://127.0.0.2:{site}/doc?a=b c".replace(" ", "%20"))
    assert found.body == f"127.0.0.2:{site} /doc?a=b%20c".encode()


def test_follows_redirects_and_says_where_it_ended(site):
    assert get(f"http://127.0.0.2:{site}/again").url == f"http://127.0.0.2:{site}/doc?x=1"


@pytest.mark.parametrize("page", ["inside", "metadata"])
def test_a_redirect_is_judged_like_the_link_itself(site, page):
    assert refusal(f"http://127.0.0.2:{site}/{page}") == "forbidden"


@pytest.mark.parametrize(
    ("page", "code"),
    [
        ("scheme", "url"),
        ("circle", "redirects"),
        ("nowhere", "url"),
        ("large", "too_large"),
        ("packed", "encoding"),
        ("nothing", "status"),
    ],
)
def test_answers_that_are_refused(site, page, code):
    assert refusal(f"http://127.0.0.2:{site}/{page}") == code


def test_a_trickle_of_bytes_does_not_outlast_the_limit(site):
    started = time.monotonic()
    assert refusal(f"http://127.0.0.2:{site}/endless", seconds=0.6) == "timeout"
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "localhost",
        "metadata.google.internal",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "10.1.2.3",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "[fd00::1]",
    ],
)
def test_inside_addresses_are_refused_in_every_spelling(site, host):
    assert refusal(f"http://{host}:{site}/doc", allowed_networks=()) == "forbidden"


def resolver(*addresses):
    def getaddrinfo(host, port, *args, **kwargs):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    return getaddrinfo


def test_a_name_that_resolves_to_loopback_is_refused(site, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", resolver("127.0.0.1"))
    assert refusal(f"http://specs.example.com:{site}/doc") == "forbidden"


def test_a_name_that_leads_inside_as_well_is_refused(site, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", resolver("127.0.0.2", "127.0.0.1"))
    assert refusal(f"http://specs.example.com:{site}/doc") == "forbidden"


def test_a_name_is_resolved_once_and_its_address_pinned(site, monkeypatch):
    """DNS that answers otherwise the second time is never asked a second time."""
    real, asked = socket.getaddrinfo, []

    def rebinding(host, port, *args, **kwargs):
        if host != "specs.example.com":
            return real(host, port, *args, **kwargs)
        asked.append(host)
        return resolver("127.0.0.2" if len(asked) == 1 else "127.0.0.1")(host, port)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    assert get(f"http://specs.example.com:{site}/doc").body.startswith(b"specs.example.com")
    assert len(asked) == 1


def test_a_name_nobody_knows(monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert refusal("http://nobody.example.com/") == "unknown_host"


def test_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.2", 0))
        assert refusal(f"http://127.0.0.2:{free.getsockname()[1]}/") == "unreachable"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http://user:secret@example.com/",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://[::1/",
        "http://exa mple.com/",
        "http://example.com/\r\nHost: x",
        "http://example.com/" + "x" * 2000,
    ],
)
def test_links_that_are_none(url):
    assert refusal(url) == "url"


def test_what_is_inside():
    assert internal("10.0.0.1")
    assert not internal("10.0.0.1", ["10.0.0.0/8"])
    assert not internal("93.184.216.34")
    assert not internal("2606:2800:220:1::1")
