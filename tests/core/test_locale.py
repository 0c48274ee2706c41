"""Whatever a person can read is in the catalogues, and Korean says all of it."""

import ast
import re
from html.parser import HTMLParser
from pathlib import Path

import polib
import pytest
from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext

from clusters.templatetags.clusters import reason
from core.management.commands import messages
from core.management.commands.compilepo import compiled, sources
from publishing.services.deployments import NO_AGENT

LANGUAGE = {"ids": lambda path: path.parent.parent.name}
KOREAN = next(path for path in sources() if path.parent.parent.name == "ko")
ERRORS = {"DomainError", "InvalidInput", "InvalidTransition", "PermissionDenied", "Gone"}
ERRORS |= {"Unauthenticated", "ValidationError"}
# Told to programs: agents read the access feed. seed_demo speaks to whoever runs it in a shell.
UNTOLD = {"subscriptions/services/pages.py", "subscriptions/management"}
SPOKEN = {"alt", "aria-label", "placeholder", "title"}
# The product, its parts' proper names, units and code are the same in every language.
NAMES = {
    "imp-gateway",
    "imp",
    "-gateway",
    "ID",
    "API",
    "HTTP",
    "HTTPS",
    "SHA-256",
    "TLS",
    "ms",
    "English",
    "한국어",
    "igr",
}
NAMES |= {"tier", "production", "kr-busan", "*.example.com"}  # shown as an example of a label
MARKS = re.compile(
    r"{%\s*blocktrans.*?endblocktrans\s*%}|{%\s*blocktranslate.*?endblocktranslate\s*%}"
    r"|{% block socket %}.*?{% endblock %}"
    r"|{#.*?#}|{%.*?%}|{{.*?}}",
    re.DOTALL,
)
PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[sd]|</?\w+[^>]*>")


def keys(source):
    rows = polib.pofile(str(source))
    return [messages.Message(row.msgctxt, row.msgid, row.msgid_plural or None) for row in rows]


@pytest.mark.parametrize("source", sources(), **LANGUAGE)
def test_the_committed_catalogue_is_what_the_source_says(source):
    """If this fails: `manage.py compilepo`."""
    assert source.with_suffix(".mo").read_bytes() == compiled(source)


def test_every_language_has_a_catalogue():
    assert {path.parent.parent.name for path in sources()} == set(dict(settings.LANGUAGES))


@pytest.mark.parametrize("source", sources(), **LANGUAGE)
def test_every_string_for_people_is_in_the_catalogue(source):
    """If this fails: `make messages`, translate what is new, `make messages` again."""
    assert set(keys(source)) == set(messages.found())


def test_korean_says_all_of_it():
    rows = polib.pofile(str(KOREAN))

    assert [row.msgid for row in rows if row.fuzzy or row.obsolete] == []
    assert [row.msgid for row in rows.untranslated_entries()] == []


def test_translations_keep_placeholders_and_markup():
    for row in polib.pofile(str(KOREAN)):
        for said in [row.msgstr] if row.msgstr else row.msgstr_plural.values():
            wanted = sorted(PLACEHOLDER.findall(row.msgid_plural or row.msgid))
            assert sorted(PLACEHOLDER.findall(said)) == wanted, row.msgid


def test_no_particle_is_left_open():
    """A particle follows the sound before it, which a name or a number decides: say it without one."""
    both = re.compile(r"(?:이\(가\)|을\(를\)|은\(는\)|[와과]\([와과]\)|\(으\)로|\(이\))")
    rows = polib.pofile(str(KOREAN))
    said = [text for row in rows for text in (row.msgstr, *row.msgstr_plural.values())]
    assert [text for text in said if both.search(text)] == []


def test_one_word_of_two_meanings_is_said_in_two_ways():
    with translation.override("ko"):
        assert gettext("Sign in") == "로그인"
        assert translation.pgettext("button", "Publish") != gettext("Publish")


class Words(HTMLParser):
    """Texts and spoken attributes that stand in a template without a translation tag."""

    def __init__(self):
        super().__init__()
        self.bare, self.inside = [], []

    def handle_starttag(self, tag, attrs):
        if tag in {"code", "script", "style"}:
            self.inside.append(tag)
        self.bare += [value for name, value in attrs if name in SPOKEN and value]

    def handle_endtag(self, tag):
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data):
        if not self.inside:
            self.bare.append(data)


def templates():
    return sorted((settings.BASE_DIR / "templates").rglob("*.html"))


@pytest.mark.parametrize("path", templates(), ids=lambda path: path.name)
def test_templates_say_nothing_past_the_catalogue(path):
    words = Words()
    words.feed(MARKS.sub(" ", path.read_text()))
    found = {word.strip(".,:;·/()_…") for text in words.bare for word in text.split()}
    # An attribute whose tag another template opened is no word.
    read = {word for word in found if re.search(r"[^\W\d_]{2}", word) and not set(word) & set("={")}

    assert read - NAMES == set()


def python():
    for package in messages.PACKAGES:
        for path in sorted((settings.BASE_DIR / package).rglob("*.py")):
            relative = str(path.relative_to(settings.BASE_DIR))
            if not any(relative.startswith(known) for known in UNTOLD):
                yield relative


@pytest.mark.parametrize("path", list(python()))
def test_errors_for_people_are_translatable(path):
    """A literal or an f-string as the message of an error never passes through gettext."""
    tree = ast.parse(Path(settings.BASE_DIR, path).read_text())
    bare = [
        f"{path}:{call.lineno}"
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", getattr(call.func, "attr", "")) in ERRORS
        and call.args
        and _is_bare(call.args[0])
    ]

    assert bare == []


# Arguments that pages show.
SHOWN = {"label", "help_text", "verbose_name", "verbose_name_plural", "empty_label"}
SHOWN |= {"description", "violation_error_message", "title"}
# The OpenAPI document is English, and so are the filters it describes; migrations show nothing.
SILENT = {"api", "api.py", "schema.py", "filters.py", "migrations"}
NOTICES = {"success", "error", "warning", "info"}


@pytest.mark.parametrize("path", [path for path in python() if not set(Path(path).parts) & SILENT])
def test_what_forms_models_and_toasts_say_is_translatable(path):
    """Labels and hints of fields, choices, column heads of the admin, and messages."""
    tree = ast.parse(Path(settings.BASE_DIR, path).read_text())
    bare = []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        spoken = [word.value for word in call.keywords if word.arg in SHOWN]
        whose = getattr(call.func, "value", None)
        if getattr(whose, "id", "") == "messages" and call.func.attr in NOTICES:
            spoken += call.args[1:2]
        bare += [f"{path}:{call.lineno}" for words in spoken if _is_bare(words)]
    for name in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        if any(getattr(base, "attr", "") == "TextChoices" for base in name.bases):
            pairs = [row.value for row in name.body if isinstance(row, ast.Assign)]
            labels = [pair.elts[1] for pair in pairs if isinstance(pair, ast.Tuple)]
            # Words of the API and abbreviations are the same in every language.
            bare += [
                f"{path}:{label.lineno}"
                for label in labels
                if _is_bare(label) and label.value not in UNIVERSAL
            ]
    assert bare == []


# Choices that are the same in every language.
UNIVERSAL = {"HTTP", "HTTPS", "OAuth 2.0", "dev", "stage", "prod"}


def test_the_script_says_everything_in_both_languages():
    """ui.js speaks of time alone; other words come with the page."""
    source = (settings.BASE_DIR / "static" / "ui" / "ui.js").read_text()
    code = re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)
    spoken = [
        words for words in re.findall(r"'([^'\\n]*)'", code) if re.match(r"[A-Z][a-z]+ ?", words)
    ]
    spoken = [words for words in spoken if words not in KEYS]

    assert spoken == []
    for table in ("UNITS", "FORMS"):
        block = code[code.index(f"const {table}") :]
        assert {"en:", "ko:"} <= set(re.findall(r"\b(?:en|ko):", block[:400]))


KEYS = {"Enter", "Escape", "ArrowDown", "ArrowUp", "Home", "End", "DOMContentLoaded"}


def _is_bare(message):
    """Joining translated parts is fine; words of its own are not."""
    parts = message.values if isinstance(message, ast.JoinedStr) else [message]
    literal = [part.value for part in parts if isinstance(part, ast.Constant)]
    return any(re.search(r"\w", str(words)) for words in literal)


@pytest.mark.parametrize(
    ("stored", "korean"),
    [
        (NO_AGENT, "연결된 Agent가 없습니다."),
        ("#3 took its place", "배포 작업 #3번이 대신합니다."),
        (
            "waiting for a, b, which may still serve it and is not connected",
            "Agent를 기다립니다: a, b",
        ),
        ("agent-1: gRPC config rejected", "agent-1: gRPC config rejected"),
    ],
)
def test_why_a_deployment_waits_is_told_in_the_readers_language(stored, korean):
    with translation.override("ko"):
        assert reason(stored).startswith(korean)
