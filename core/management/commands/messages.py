"""Brings locale/*/LC_MESSAGES/django.po in step with the source, without GNU gettext.

What is new comes without a translation, what is gone is dropped; `compilepo` then makes the .mo files.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils.translation.template import templatize

from core.management.commands.compilepo import sources

PACKAGES = [
    "accounts",
    "agents/server",
    "catalog",
    "clusters",
    "config",
    "core",
    "publishing",
    "subscriptions",
]
# Name → which arguments are context, singular, plural.
CALLS = {
    "_": (None, 0, None),
    "gettext": (None, 0, None),
    "gettext_lazy": (None, 0, None),
    "gettext_noop": (None, 0, None),
    "ngettext": (None, 0, 1),
    "ngettext_lazy": (None, 0, 1),
    "pgettext": (0, 1, None),
    "pgettext_lazy": (0, 1, None),
    "npgettext": (0, 1, 2),
    "npgettext_lazy": (0, 1, 2),
}
TEXT = r"""u?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
CALL = re.compile(
    rf"(?<!\w)(?:{'|'.join(CALLS)})\(\s*{TEXT}(?:\s*,\s*{TEXT})*(?:\s*,\s*count)?\s*\)"
)
HEADER = (
    "Project-Id-Version",
    "Language",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Plural-Forms",
)
PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[sd]")


class Message(NamedTuple):
    context: str | None
    singular: str
    plural: str | None


class Command(BaseCommand):
    help = "Write new strings into the .po files and take out what nothing says any more."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = list(found())
        for source in sources():
            language, missing = source.parent.parent.name, update(source, wanted)
            if language != settings.LANGUAGE_CODE:  # what is not translated is English already
                self.stdout.write(f"{language}: {missing} of {len(wanted)} to translate")


def update(source: Path, wanted: list[Message]) -> int:
    """Write `wanted` in the order of the source; how many of them have no translation."""
    import polib  # a development tool, as in compilepo

    old = polib.pofile(str(source))
    had = {Message(row.msgctxt, row.msgid, row.msgid_plural or None): row for row in old}
    new = polib.POFile(wrapwidth=98)
    new.metadata = {name: old.metadata[name] for name in HEADER}
    for message in wanted:
        new.append(had.get(message) or _entry(message, forms=_forms(old)))
    new.save(str(source))
    return len(new.untranslated_entries())


def found() -> Iterator[Message]:
    """Every string for people in templates/ and our packages, once."""
    seen: dict[Message, None] = {}
    for package in PACKAGES:
        for path in sorted((settings.BASE_DIR / package).rglob("*.py")):
            if "migrations" not in path.parts:
                seen.update(dict.fromkeys(in_python(path.read_text())))
    for path in sorted((settings.BASE_DIR / "templates").rglob("*.html")):
        seen.update(dict.fromkeys(in_template(path.read_text())))
    return iter(seen)


def in_python(source: str) -> Iterator[Message]:
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        if message := _message(call):
            yield message


def in_template(source: str) -> Iterator[Message]:
    """Django turns a template into calls of gettext; between them it leaves rows of X."""
    for call in CALL.findall(templatize(source)):
        yield from in_python(call)


def _message(call: ast.Call) -> Message | None:
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    if name not in CALLS:
        return None
    texts = [None if at is None else _text(call.args, at) for at in CALLS[name]]
    context, singular, plural = texts
    return Message(context, singular, plural) if singular else None


def _text(arguments: list[ast.expr], at: int) -> str | None:
    value = arguments[at] if at < len(arguments) else None
    known = isinstance(value, ast.Constant) and isinstance(value.value, str)
    return value.value if known else None  # type: ignore[union-attr, return-value]


def _forms(catalogue: Any) -> int:
    """How many plural forms the language has."""
    return int(re.findall(r"nplurals=(\d+)", catalogue.metadata["Plural-Forms"])[0])


def _entry(message: Message, *, forms: int) -> Any:
    import polib

    flags = ["python-format"] if PLACEHOLDER.search(message.singular) else []
    entry = polib.POEntry(
        msgctxt=message.context, msgid=message.singular, msgid_plural=message.plural, flags=flags
    )
    if message.plural:
        entry.msgstr_plural = dict.fromkeys(range(forms), "")
    return entry
