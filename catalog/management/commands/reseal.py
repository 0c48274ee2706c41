from typing import Any

from django.core.management.base import BaseCommand

from catalog.services import certificates


class Command(BaseCommand):
    help = "Seal the private keys of certificates with the first of ENCRYPTION_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        count = certificates.reseal()
        self.stdout.write(f"{count} private keys were sealed again; older keys can be taken out.")
