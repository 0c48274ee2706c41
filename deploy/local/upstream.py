"""The sample backend of the demo and the smoke test: it answers every call with what it received."""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Echo(BaseHTTPRequestHandler):
    """Says what reached it, so that a caller sees what a gateway changed, added or took away."""

    protocol_version = "HTTP/1.1"
    service = "sample"

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self._answer(200, {"status": "ok"})
            return
        length = self._drain()
        self._answer(
            self._wanted_status(),
            {
                "service": self.service,
                "method": self.command,
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "body_length": length,
            },
        )

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_GET

    def log_message(self, *_: object) -> None:
        """Silent: the gateway keeps the access log."""

    def _drain(self) -> int:
        """Read the whole body: the next request on a kept-alive connection starts right after it."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._drain_chunks()
        left = length = int(self.headers.get("Content-Length") or 0)
        while left and (part := self.rfile.read(min(left, 65536))):
            left -= len(part)
        return length

    def _drain_chunks(self) -> int:
        total = 0
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            total += len(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return total

    def _wanted_status(self) -> int:
        wanted = self.headers.get("X-Echo-Status", "200")
        return int(wanted) if wanted.isdecimal() and 200 <= int(wanted) <= 599 else 200

    def _answer(self, status: int, document: dict) -> None:
        body = json.dumps(document).encode() + b"\n"
        self.send_response(status)
        if status not in (204, 304):
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status not in (204, 304) and self.command != "HEAD":
            self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # The default of 5 drops connections that a gateway opens at once.
    request_queue_size = 256


def serve(port: int, service: str = "sample", host: str = "127.0.0.1") -> Server:
    """A bound server; the caller runs `serve_forever`. Port 0 takes any free one."""
    return Server((host, port), type("Handler", (Echo,), {"service": service}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--service", default="sample")
    options = parser.parse_args()
    serve(options.port, options.service).serve_forever()


if __name__ == "__main__":
    main()
