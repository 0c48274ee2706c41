"""The portal when it has grown: lists under 20 users without think time, queries, live updates, weight."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

from websockets.sync.client import ClientConnection, connect

from benchmarks import wrk
from benchmarks.figures import Result
from benchmarks.place import BenchStack, started
from benchmarks.visitor import Visitor
from deploy.local import paths, ports

USERS = 20
WORD = "benchmark-reader-2026"
OPERATOR = "operator@demo.example"
PAGES = {
    OPERATOR: [
        "/operator/",
        "/operator/clusters",
        "/operator/clusters?search=fleet-1&status=active",
        "/operator/agents",
        "/operator/deployments",
        "/notices",
        "/api/v1/operator/overview",
        "/api/v1/operator/clusters",
        "/api/v1/operator/agents",
        "/api/v1/operator/deployments",
        "/api/v1/operator/regions",
        "/api/v1/notices",
    ],
    "provider@demo.example": [
        "/provider/",
        "/provider/api-services",
        "/provider/products",
        "/provider/gateways",
        "/provider/certificates",
        "/provider/publishes",
        "/provider/deployments",
        "/provider/subscriptions",
        "/api/v1/provider/overview",
        "/api/v1/provider/clusters",
        "/api/v1/provider/api-services",
        "/api/v1/provider/products",
        "/api/v1/provider/gateways",
        "/api/v1/provider/certificates",
        "/api/v1/provider/product-publishes",
        "/api/v1/provider/deployments",
        "/api/v1/provider/subscriptions",
    ],
    "consumer@demo.example": [
        "/api/v1/public/products",
        "/api/v1/customer/applications",
        "/api/v1/customer/subscriptions",
        "/api/v1/customer/credentials",
    ],
}


def run(result: Result, *, quick: bool) -> None:
    with started(pages=True) as stack:
        _grow(quick=quick)
        sockets = _sockets(stack)
        with _beating():
            readers = {email: _readers(stack, email) for email in PAGES}
            for email, pages in PAGES.items():
                for page in pages:
                    _load(result, stack, readers[email], page, seconds=2 if quick else 10)
            _queries(result)
            _live(result, stack, readers[OPERATOR], sockets, 5 if quick else 30)
            _weight(result, readers[OPERATOR][0])


def _grow(*, quick: bool) -> None:
    """The data of `manage.py seed_large`."""
    from subscriptions.management.demo import large, people

    everybody = people.ensure()
    small = large.Size(clusters=20, agents=100, products=50, publishes=200, subscriptions=200)
    for said in large.grow(everybody, small if quick else large.Size()):
        print(f"    {said}", flush=True)


@contextmanager
def _beating() -> Iterator[None]:
    """The agents stay alive: one UPDATE every 15 s, as agentd writes it."""
    from subscriptions.management.demo import large

    over = Event()

    def run() -> None:
        from django.db import connection

        while not over.wait(15):
            large.beat()
        connection.close()

    large.beat()
    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# --- Load ------------------------------------------------------------------------------------------


def _readers(stack: BenchStack, email: str) -> list[Visitor]:
    """So many colleagues of that user: half of them only read, half read Korean."""
    from accounts.models import Membership, Role, User

    of = Membership.objects.get(user__email=email).organization
    readers = []
    for number in range(USERS):
        who = f"reader-{number}-{email}"
        locale, role = ("en", "ko")[number % 2], (Role.MEMBER, Role.VIEWER)[number // 2 % 2]
        user = User.objects.create_user(who, WORD, name=who, locale=locale)
        Membership.objects.create(user=user, organization=of, role=role)
        readers.append(Visitor(stack.url, who, WORD))
    return readers


def _load(
    result: Result, stack: BenchStack, readers: list[Visitor], page: str, *, seconds: int
) -> None:
    anew = _called(stack, readers, page, "no-cache", seconds)
    found = _called(stack, readers, page, "max-age=0", seconds)
    result.raw[page] = found | {"made anew for each": anew}
    # Beside it, what it takes where none is shared (core/answers.py).
    beside = f"{anew['p95 ms']:.0f} ms, each made anew"
    result.add(f"{page}: p95", found["p95 ms"], "ms", target=200, baseline=beside)
    if found["wrong"] or anew["wrong"]:
        result.add(f"{page}: errors", found["wrong"] + anew["wrong"], "", target=0)


def _called(
    stack: BenchStack, readers: list[Visitor], page: str, cache: str, seconds: int
) -> dict[str, Any]:
    used = {child: stack.cpu_seconds(child) for child in ("web", "postgres")}
    load = wrk.measure(
        f"{stack.url}{page}",
        header="Cookie",
        values=[reader.cookie for reader in readers],
        connections=USERS,
        seconds=seconds,
        always={"Cache-Control": cache},
    )
    return {
        "requests/s": round(load.rps, 1),
        "p50 ms": load.p50,
        "p95 ms": load.p95,
        "p99 ms": load.p99,
        "wrong": load.wrong,
        # Does not depend on who else wants the two cores.
        **{
            f"{child} ms": round((stack.cpu_seconds(child) - was) / max(load.calls, 1) * 1000, 1)
            for child, was in used.items()
        },
    }


# --- Queries ---------------------------------------------------------------------------------------


@dataclass
class Slow:
    """The longest that each statement took, over all pages."""

    found: dict[str, tuple[float, Any, str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    page: str = ""

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            took = time.perf_counter() - began
            self.counts[self.page] = self.counts.get(self.page, 0) + 1
            if took > self.found.get(sql, (0.0,))[0]:
                self.found[sql] = (took, params, self.page)


def _queries(result: Result) -> None:
    """One reader alone, in this process: how many statements a page takes, and the five slowest."""
    from django.db import connection
    from django.test import Client

    from accounts.models import User

    slow = Slow()
    for email, pages in PAGES.items():
        client = Client(SERVER_NAME="127.0.0.1")
        client.force_login(User.objects.get(email=email))
        for slow.page in pages:
            with connection.execute_wrapper(slow):
                client.get(slow.page)
    worst = sorted(slow.found.items(), key=lambda item: -item[1][0])[:5]
    result.add("slowest query", worst[0][1][0] * 1000, "ms", target=50)
    result.add("most queries of a page", max(slow.counts.values()), "", target=12)
    result.raw["queries"] = slow.counts
    result.raw["slowest"] = [
        {"ms": round(took * 1000, 2), "page": page, "plan": _plan(sql, params)}
        for sql, (took, params, page) in worst
    ]


def _plan(sql: str, params: Any) -> list[str]:
    from django.db import connection

    if not sql.startswith("SELECT"):
        return [sql]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {sql}", params)
        return [sql, *(line for (line,) in cursor.fetchall())]


# --- Live updates ----------------------------------------------------------------------------------


def _sockets(stack: BenchStack) -> int:
    """The process that holds the pages' sockets, as in production beside the WSGI workers."""
    port = ports.free()[0]
    daphne = [str(paths.program("daphne")), "-v", "0", "-b", "127.0.0.1", "-p", str(port)]
    stack._spawn("sockets", [*daphne, "config.asgi:application"], ready=lambda: ports.answers(port))
    return port


def _live(result: Result, stack: BenchStack, readers: list[Visitor], port: int, times: int) -> None:
    """From a change of a cluster, made through the service, until each open list was read anew."""
    from clusters.models import Cluster
    from clusters.services import clusters
    from subscriptions.management.demo import people

    everybody = people.ensure()
    cluster = Cluster.objects.filter(organization=everybody.platform).first()
    assert cluster
    delays: list[float] = []
    with ExitStack() as stays, ThreadPoolExecutor(len(readers)) as threads:
        pages = [stays.enter_context(_socket(stack, port, reader)) for reader in readers]

        def read(page: ClientConnection, reader: Visitor) -> float:
            page.recv(timeout=10)
            reader.get("/operator/clusters", **{"HX-Request": "true"})
            return time.monotonic()

        for number in range(times):
            ends = [
                threads.submit(read, *open_page) for open_page in zip(pages, readers, strict=True)
            ]
            began = time.monotonic()
            clusters.set_maintenance(
                actor=everybody.operator,
                cluster_id=cluster.pk,
                enabled=number % 2 == 0,
                reason="Measuring",
            )
            delays += [end.result() - began for end in ends]
            time.sleep(0.5)  # the pulse comes four times a second at most
    result.add_times(f"change → each of {len(readers)} open pages read anew", delays, p99=1000)


def _socket(stack: BenchStack, port: int, reader: Visitor) -> ClientConnection:
    headers = {"Cookie": reader.cookie, "Origin": stack.url}
    return connect(f"ws://127.0.0.1:{port}/ws/clusters", additional_headers=headers)


# --- Weight ----------------------------------------------------------------------------------------


def _weight(result: Result, visitor: Visitor) -> None:
    weights = visitor.weigh("/operator/clusters")
    result.raw["bytes of a first visit"] = weights
    result.add("first visit, beside the fonts", sum(weights.values()) / 1000, "kB", target=300)
