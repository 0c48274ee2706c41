"""The admin names every model and field in the reader's language."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.utils.translation import override

from core.names import FIELDS, MODELS

PLURAL = "verbose_name_plural"
OURS = ["accounts", "clusters", "catalog", "publishing", "subscriptions"]
EVERY = [model for app in OURS for model in apps.get_app_config(app).get_models()]


@pytest.mark.parametrize("model", EVERY, ids=lambda model: model._meta.label)
def test_a_model_and_its_fields_have_names_to_translate(model):
    one, many = MODELS[model._meta.label]
    fields = [field for field in model._meta.get_fields() if field.concrete and field.name != "id"]
    plain = [field.name for field in fields if isinstance(field.verbose_name, str)]
    # Names that are the same in every language.
    assert set(plain) <= {"tls", "user_agent", "fingerprint", "object_id"}
    assert model._meta.verbose_name is one
    assert model._meta.verbose_name_plural in {many, model._meta.original_attrs.get(PLURAL)}
    with override("ko"):
        assert not str(model._meta.verbose_name_plural).endswith("s")


def test_no_name_is_left_over():
    fields = {field.name for model in EVERY for field in model._meta.get_fields()}
    assert set(FIELDS) <= fields
    assert set(MODELS) == {model._meta.label for model in EVERY}


@pytest.mark.django_db
def test_the_admin_in_korean(admin_client):
    admin_client.cookies["django_language"] = "ko"
    page = admin_client.get("/admin/").content.decode()
    with override("ko"):
        assert str(MODELS["clusters.Cluster"][1]) in page
        assert str(apps.get_app_config("clusters").verbose_name) in page
