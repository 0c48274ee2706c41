"""Compiles locale/*/LC_MESSAGES/django.po without GNU gettext. The results are committed.

New strings get into the .po files with `manage.py messages`; `make messages` does both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Compile the translations (pure Python; Django's compilemessages needs msgfmt)."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        for source in sources():
            source.with_suffix(".mo").write_bytes(compiled(source))
            self.stdout.write(f"{source.parent.parent.name}: {source.with_suffix('.mo').name}")


def sources() -> list[Path]:
    return sorted(
        path for root in settings.LOCALE_PATHS for path in Path(root).glob("*/LC_MESSAGES/*.po")
    )


def compiled(source: Path) -> bytes:
    import polib  # a development tool: the .mo files are committed

    return polib.pofile(str(source)).to_binary()
