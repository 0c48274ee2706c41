"""`manage.py seed_large`: a portal of a size at which lists must page and queries must be good."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import fields
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from subscriptions.management.demo import large, people


class Command(BaseCommand):
    help = "Make hundreds of clusters and thousands of agents and publishes for the demo's people."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--beat",
            action="store_true",
            help="only renew the heartbeats of the agents made before",
        )
        for field in fields(large.Size):
            parser.add_argument(f"--{field.name}", type=int, default=field.default, metavar="N")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError(
                "The demo's passwords are known to everybody: set DEBUG=true to run it."
            )
        if options["beat"]:
            self.stdout.write(f"{large.beat()} agents are alive for 90 s.")
            return
        everybody = people.ensure()
        if large.exists(everybody):
            self.stdout.write(f"It is there already; {large.beat()} agents are alive for 90 s.")
            return
        size = large.Size(**{field.name: options[field.name] for field in fields(large.Size)})
        for said in large.grow(everybody, size):
            self.stdout.write(said)
