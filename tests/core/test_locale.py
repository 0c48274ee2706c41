import pytest
from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext

from core.management.commands.compilepo import compiled, sources


@pytest.mark.parametrize("source", sources(), ids=lambda path: path.parent.parent.name)
def test_the_committed_catalogue_is_what_the_source_says(source):
    """If this fails: `manage.py compilepo`."""
    assert source.with_suffix(".mo").read_bytes() == compiled(source)


def test_every_language_has_a_catalogue():
    assert {path.parent.parent.name for path in sources()} == set(dict(settings.LANGUAGES))


def test_korean_is_spoken():
    with translation.override("ko"):
        assert gettext("Sign in") == "로그인"
