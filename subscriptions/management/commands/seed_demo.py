"""`manage.py seed_demo`: the demo's data, in two steps, because plans are on offer only once they are live.

The first defines everything and asks for the publish; then an agent joins with the token that was printed.
`--finish` waits until the publish is live, subscribes and makes a key. `--stage accounts` makes people only.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from core.errors import DomainError
from publishing.models import ProductPublish
from subscriptions.management.demo import consumption, offer, people, places


class Command(BaseCommand):
    help = "Make the demo's data through the services; a second run keeps what is there."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one line of JSON")
        parser.add_argument(
            "--stage",
            choices=["accounts", "publish", "consumer"],
            default="publish",
            help="how far to go: people; all that a provider defines; or, once that is live, a key",
        )
        parser.add_argument(
            "--finish", action="store_const", const="consumer", dest="stage", help="the last stage"
        )
        parser.add_argument("--wait", type=float, default=30, metavar="SECONDS")
        parser.add_argument(
            "--upstream",
            default="127.0.0.1:9100",
            metavar="HOST:PORT",
            help="where the services' backends listen",
        )
        parser.add_argument("--gateway-port", type=int, default=8080, metavar="PORT")
        parser.add_argument("--hostname", default="api.payments.example")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError(
                "The demo's passwords are known to everybody: set DEBUG=true to run it."
            )
        try:
            told = self._run(options)
        except DomainError as error:
            raise CommandError(error.message) from error
        told = {"url": settings.PUBLIC_URL, "logins": people.logins(), **told}
        self.stdout.write(json.dumps(told) if options["json"] else _in_words(told))

    def _run(self, options: dict[str, Any]) -> dict[str, Any]:
        if options["stage"] == "accounts":
            people.ensure()
            return {}
        if options["stage"] == "consumer":
            return finish(options["wait"])
        return define(_where(options))


@transaction.atomic
def define(where: offer.Where) -> dict[str, Any]:
    """All or nothing, so that a run which breaks off leaves no half of a demo."""
    everybody = people.ensure()
    cluster = places.ensure(everybody)
    publish = offer.ensure(everybody, cluster, where)
    return {
        "registration_token": places.joining(everybody, cluster),
        "cluster": {"id": str(cluster.pk), "name": cluster.name},
        "publish": _publish(publish),
    }


def finish(seconds: float) -> dict[str, Any]:
    everybody = people.ensure()
    publish = ProductPublish.objects.filter(
        organization=everybody.payments, cluster__name=places.MAIN, environment="prod"
    ).first()
    if publish is None:
        raise DomainError("There is nothing to finish. Run seed_demo without --finish first.")
    publish = offer.wait_until_published(publish, seconds)
    with transaction.atomic():
        subscription, key = consumption.ensure(everybody, publish)
    headers = {"Host": publish.hostname_base, "x-api-key": key}
    return {
        "publish": _publish(publish),
        "subscription": {"id": str(subscription.pk), "plan": subscription.plan.name},
        "key": key,
        "call": {"path": offer.PATH, "headers": headers},
    }


def _where(options: dict[str, Any]) -> offer.Where:
    host, _colon, port = options["upstream"].rpartition(":")
    if not host or not port.isdecimal():
        raise CommandError(f"--upstream must be HOST:PORT, not {options['upstream']!r}.")
    return offer.Where(host, int(port), options["gateway_port"], options["hostname"])


def _publish(publish: ProductPublish) -> dict[str, str]:
    return {
        "id": str(publish.pk),
        "status": ProductPublish.objects.values_list("status", flat=True).get(pk=publish.pk),
        "hostname": publish.hostname_base,
        "product_id": str(publish.product_id),
    }


def _in_words(told: dict[str, Any]) -> str:
    lines = [f"{row['role']:<18} {row['email']:<24} {row['password']}" for row in told["logins"]]
    if publish := told.get("publish"):
        lines.append(f"Payment API v2.0 on {publish['hostname']}: {publish['status']}")
    if token := told.get("registration_token"):
        lines.append(f"Join an agent with this token, then run seed_demo --finish: {token}")
    if key := told.get("key"):
        lines.append(f"Call {told['call']['path']} with x-api-key: {key}")
    return "\n".join(lines)
