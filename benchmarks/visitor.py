"""A browser without a screen: signs in by the form, reads pages, and weighs what a first visit loads."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import httpx

ASSETS = re.compile(r'(?:src|href)="([^"#]+\.(?:css|js|svg)(?:\?[^"]*)?)(?:#[^"]*)?"')
IMPORTS = re.compile(r"url\(([^)]+\.css)\)")


class Visitor:
    def __init__(self, url: str, email: str, password: str) -> None:
        self._http = httpx.Client(
            base_url=url, timeout=30, trust_env=False, headers={"Accept-Encoding": "br, gzip"}
        )
        self._http.get("/login").raise_for_status()
        answer = self._http.post(
            "/login",
            data={
                "username": email,
                "password": password,
                "csrfmiddlewaretoken": self._http.cookies["csrftoken"],
            },
        )
        if answer.status_code != httpx.codes.FOUND:
            raise RuntimeError(f"{email} cannot sign in: {answer.status_code}")

    @property
    def cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self._http.cookies.items())

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self._http.get(path, headers=headers).raise_for_status()

    def post(self, path: str, **data: str) -> httpx.Response:
        token = self._http.cookies["csrftoken"]
        return self._http.post(path, data={**data, "csrfmiddlewaretoken": token})

    def weigh(self, path: str) -> dict[str, int]:
        """Bytes on the wire by address: the page, its styles, scripts and pictures, but no fonts."""
        weights: dict[str, int] = {}
        page = self._weighed(path, weights)
        for found in ASSETS.findall(page):
            self._weighed(urljoin(path, found), weights)
        return weights

    def _weighed(self, path: str, weights: dict[str, int]) -> str:
        if path in weights:
            return ""
        with self._http.stream("GET", path) as answer:
            answer.raise_for_status()
            text = answer.read().decode()
            weights[path] = answer.num_bytes_downloaded
        for found in IMPORTS.findall(text) if path.endswith(".css") else ():
            self._weighed(urljoin(path, found.strip("\"'")), weights)
        return text
