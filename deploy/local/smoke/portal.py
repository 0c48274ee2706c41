"""The portal's REST API and the gateway, as a program of a user would call them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx


class SmokeError(AssertionError):
    """Something that had to hold does not, in words."""


class Portal:
    """One signed-in person. Every answer must be the envelope; refusals raise with its code."""

    def __init__(self, url: str, email: str, password: str):
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)
        login = self.post("/api/v1/auth/login", email=email, password=password)
        self._http.headers["Authorization"] = f"Bearer {login['access_token']}"

    def get(self, path: str, **params: Any) -> Any:
        return self._data(self._http.get(path, params=params))

    def post(self, path: str, **body: Any) -> Any:
        return self._data(self._http.post(path, json=body))

    def put(self, path: str, **body: Any) -> Any:
        return self._data(self._http.put(path, json=body))

    def patch(self, path: str, **body: Any) -> Any:
        return self._data(self._http.patch(path, json=body))

    def status(self, path: str) -> int:
        """Only the code of a GET; 0 when nobody answered."""
        try:
            return self._http.get(path).status_code
        except httpx.TransportError:
            return 0

    def delete(self, path: str) -> Any:
        return self._data(self._http.delete(path))

    def rows(self, path: str, **params: Any) -> list[dict[str, Any]]:
        data = self.get(path, **params)
        return data["items"] if isinstance(data, dict) else data

    def page(self, path: str, email: str, password: str) -> str:
        """A page as a browser sees it: signed in by the login form."""
        with httpx.Client(
            base_url=self._http.base_url, timeout=15, trust_env=False, follow_redirects=True
        ) as browser:
            browser.get("/login")
            form = {
                "username": email,
                "password": password,
                "csrfmiddlewaretoken": browser.cookies["csrftoken"],
            }
            browser.post("/login", data=form)
            return browser.get(path).text

    def _data(self, answer: httpx.Response) -> Any:
        if answer.status_code == 204:
            return None
        document = answer.json()
        if not answer.is_success:
            request = answer.request
            raise SmokeError(f"{request.method} {request.url.path}: {document.get('error')}")
        return document["data"]


class Gateway:
    """The real Envoy, called as a consumer's program would call it."""

    def __init__(self, url: str, host: str):
        self._http = httpx.Client(base_url=url, timeout=10, trust_env=False)
        self._host = host

    def call(
        self,
        path: str,
        key: str | None = None,
        method: str = "GET",
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        sent = {"Host": self._host, **(headers or {})}
        if key is not None:
            sent["x-api-key"] = key
        # raw_path: httpx would decode what the test means to send.
        url = self._http.base_url.copy_with(raw_path=path.encode())
        return self._http.request(method, url, headers=sent)

    def status(self, path: str, key: str | None = None, **how: Any) -> int:
        try:
            return self.call(path, key, **how).status_code
        except httpx.TransportError:
            return 0


def wait_until(check: Callable[[], bool], what: str, seconds: float = 20) -> float:
    """Poll every 10 ms until it holds; how many milliseconds that took."""
    began = time.monotonic()
    while not check():
        if time.monotonic() - began > seconds:
            raise SmokeError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.01)
    return round((time.monotonic() - began) * 1000, 1)
