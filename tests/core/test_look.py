"""Template tags, words for durations, the components' accessibility."""

from datetime import timedelta
from pathlib import Path

import pytest
from django import forms
from django.template import Context, Template
from django.utils import timezone, translation
from django.utils.text import Truncator

from core import durations
from core.templatetags import ig

SPANS = [
    (1, "1 s", "1초"),
    (59.9, "59 s", "59초"),
    (60, "1 min", "1분"),
    (3599, "59 min", "59분"),
    (3600, "1 h", "1시간"),
    (7980, "2 h 13 min", "2시간 13분"),
    (86399, "23 h 59 min", "23시간 59분"),
    (86400 * 41, "41 d", "41일"),
]


def render(text, **context):
    return Template(text).render(Context(context))


@pytest.mark.parametrize(("seconds", "english", "korean"), SPANS)
def test_words_for_spans(seconds, english, korean):
    span = timedelta(seconds=seconds)

    assert durations.words(span, "left", "en") == english
    assert durations.words(-span, "ago", "en") == f"{english} ago"
    assert durations.words(-span, "since", "en-us") == f"for {english}"
    assert durations.words(-span, "ago", "ko") == f"{korean} 전"
    assert durations.words(-span, "since", "ko") == f"{korean}째"


def test_nothing_was_zero_seconds_ago():
    assert durations.words(timedelta(0), "ago", "en") == "just now"
    assert durations.words(timedelta(0), "ago", "ko") == "방금"
    assert durations.words(timedelta(0), "since", "en") == "for 0 s"


@pytest.mark.parametrize(
    ("milliseconds", "english", "korean"),
    [(340, "340 ms", "340 ms"), (6_520, "6.5 s", "6.5초"), (125_000, "2 min", "2분")],
)
def test_what_a_machine_took(milliseconds, english, korean):
    span = timedelta(milliseconds=milliseconds)

    assert durations.measured(span, "en") == english
    assert durations.measured(span, "ko") == korean


def test_relative_times_carry_the_exact_one():
    moment = timezone.now() - timedelta(hours=2, minutes=13)
    html = render("{% since m %}", m=moment)

    assert f'datetime="{moment.isoformat(timespec="milliseconds")}"' in html
    assert 'title="' in html
    assert 'data-ig-relative="since">for 2 h 13 min</time>' in html


def test_missing_moments():
    assert ">–<" in render("{% since m %}", m=None)
    assert ">never<" in render("{% ago m %}", m=None)
    with translation.override("ko"):
        assert ">없음<" in render("{% ago m %}", m=None)


def test_icons_are_escaped_and_hidden():
    html = render("{% icon name %}", name='"><script>')

    assert "<script>" not in html
    assert 'aria-hidden="true"' in html


def test_every_icon_that_templates_name_is_in_the_sprite():
    import re

    names = set(Path("static/ui/icons.txt").read_text().split())
    used = {
        name
        for path in Path("templates").rglob("*.html")
        for name in re.findall(r'{% icon "([a-z0-9-]+)"', path.read_text())
    }

    assert used - names == set()


def test_card_and_dialog_are_named_by_their_title():
    html = render(
        '{% card title=t id="c" count=3 %}<p>{{ t }}</p>{% endcard %}'
        '{% dialog title=t id="d" %}in{% enddialog %}',
        t="<b>",
    )

    assert 'aria-labelledby="c-h"' in html
    assert '<dialog class="ig-dialog" id="d" aria-labelledby="d-h">' in html
    assert html.count("<b>") == 0


class Sample(forms.Form):
    name = forms.CharField(help_text="A hint.")
    kind = forms.ChoiceField(choices=[("a", "A")], required=False)
    sure = forms.BooleanField()


def test_a_field_is_tied_to_its_label_hint_and_error():
    html = render('{% include "components/field.html" with field=f.name %}', f=Sample({}))

    assert '<label class="form-label" for="id_name">Name' in html
    assert 'aria-describedby="id_name_error id_name_helptext"' in html
    assert 'aria-invalid="true"' in html
    assert 'id="id_name_helptext"' in html
    assert 'id="id_name_error" role="alert"' in html


def test_fields_wear_the_theme():
    form = Sample()
    fields = [render('{% include "components/field.html" with field=f %}', f=f) for f in form]

    assert [name in html for name, html in zip(("control", "select", "check"), fields, strict=True)]
    assert "optional" in fields[1]
    assert "form-check-input" in fields[2]


@pytest.mark.parametrize("text", ["", "abc", "abcde", "abcdef", "가나다라마바"])
def test_cut_shortens_as_django_does(text):
    assert ig.cut(text, 5) == Truncator(text).chars(5)
