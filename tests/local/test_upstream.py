import http.client
import json
import threading

import pytest

from deploy.local import upstream


@pytest.fixture
def connection():
    server = upstream.serve(0, service="billing")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
    yield client
    client.close()
    server.shutdown()
    server.server_close()


def call(connection, *request, **options):
    connection.request(*request, **options)
    answer = connection.getresponse()
    return answer, answer.read()


def test_it_says_what_reached_it(connection):
    answer, body = call(connection, "PUT", "/a?b=c", body=b"12345", headers={"X-One": "1"})

    seen = json.loads(body)
    assert answer.status == 200
    assert (seen["service"], seen["method"], seen["path"]) == ("billing", "PUT", "/a?b=c")
    assert seen["body_length"] == 5
    assert seen["headers"]["x-one"] == "1"


def test_a_connection_is_kept_whatever_was_sent_on_it(connection):
    call(connection, "POST", "/", body=b"x" * 200_000)
    first = connection.sock

    call(connection, "POST", "/", body=iter([b"abc", b"de"]), encode_chunked=True)
    call(connection, "HEAD", "/")
    call(connection, "GET", "/", headers={"X-Echo-Status": "204"})
    answer, _ = call(connection, "GET", "/healthz")

    assert answer.status == 200
    assert connection.sock is first


@pytest.mark.parametrize(
    ("wanted", "status"), [("503", 503), ("404", 404), ("abc", 200), ("99", 200), ("1000", 200)]
)
def test_a_caller_chooses_the_status(connection, wanted, status):
    answer, _ = call(connection, "GET", "/", headers={"X-Echo-Status": wanted})

    assert answer.status == status
