"""How long something lasts or ago it was, in words. static/ui/ui.js says the same in the browser."""

from __future__ import annotations

from datetime import timedelta

UNITS = {"en": (" d", " h", " min", " s"), "ko": ("일", "시간", "분", "초")}
FORMS = {
    "en": {"since": "for {}", "ago": "{} ago", "left": "{}"},
    "ko": {"since": "{}째", "ago": "{} 전", "left": "{}"},
}
NOW = {"en": "just now", "ko": "방금"}


def words(span: timedelta, form: str, language: str) -> str:
    """`form` is since, ago or left; the sign of `span` does not matter."""
    language = _known(language)
    seconds = abs(int(span.total_seconds()))
    if form == "ago" and not seconds:
        return NOW[language]
    return FORMS[language][form].format(_span(seconds, UNITS[language]))


def measured(span: timedelta, language: str) -> str:
    """How long a machine took: "340 ms", "6.5 s", and from a minute on as other times."""
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f}{UNITS[_known(language)][3]}"
    return words(span, "left", language)


def _known(language: str) -> str:
    return "ko" if language.startswith("ko") else "en"


def _span(seconds: int, units: tuple[str, str, str, str]) -> str:
    day, hour, minute, second = units
    if seconds < 60:
        return f"{seconds}{second}"
    if seconds < 3600:
        return f"{seconds // 60}{minute}"
    if seconds < 86400:
        rest = seconds % 3600 // 60
        return f"{seconds // 3600}{hour}" + (f" {rest}{minute}" if rest else "")
    return f"{seconds // 86400}{day}"
