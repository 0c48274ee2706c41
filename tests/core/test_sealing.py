"""Secrets at rest: only the right key and the right place open them."""

import pytest

from core import sealing
from core.sealing import Unsealable, seal, unseal

OLD, NEW = "old-0123456789-0123456789-0123456789", "new-0123456789-0123456789-0123456789"


@pytest.fixture(autouse=True)
def one_key(settings):
    settings.ENCRYPTION_KEYS = [OLD]


def test_what_is_sealed_opens_in_its_place():
    text = seal(b"secret", place="table:1")

    assert unseal(text, place="table:1") == b"secret"
    assert "secret" not in text


def test_the_same_secret_is_never_sealed_alike():
    assert seal(b"secret", place="table:1") != seal(b"secret", place="table:1")


def test_a_text_moved_to_another_row_does_not_open():
    text = seal(b"secret", place="table:1")

    with pytest.raises(Unsealable, match="another place"):
        unseal(text, place="table:2")


def test_a_changed_text_does_not_open():
    text = seal(b"secret", place="table:1")
    changed = text[:-6] + ("A" if text[-6] != "A" else "B") + text[-5:]

    with pytest.raises(Unsealable):
        unseal(changed, place="table:1")


@pytest.mark.parametrize("text", ["", "v1", "v2.0.0", "v1.00000000.AAAA", "plain"])
def test_what_was_never_sealed_does_not_open(text):
    with pytest.raises(Unsealable):
        unseal(text, place="table:1")


def test_a_new_key_seals_and_the_old_one_still_opens(settings):
    text = seal(b"secret", place="table:1")
    settings.ENCRYPTION_KEYS = [NEW, OLD]

    assert unseal(text, place="table:1") == b"secret"
    assert not sealing.is_current(text)
    assert sealing.is_current(seal(b"secret", place="table:1"))


def test_without_its_key_it_stays_shut(settings):
    text = seal(b"secret", place="table:1")
    settings.ENCRYPTION_KEYS = [NEW]

    with pytest.raises(Unsealable, match="ENCRYPTION_KEYS"):
        unseal(text, place="table:1")
