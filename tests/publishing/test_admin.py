"""The admin shows every row, and changes none."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib import admin
from django.urls import reverse

from tests.factories.accounts import UserFactory
from tests.factories.publishing import (
    AgentPublishFactory,
    DeploymentVerdictFactory,
    PublishDraftFactory,
    PublishEventFactory,
)

pytestmark = pytest.mark.django_db
MODELS = list(apps.get_app_config("publishing").get_models())


@pytest.fixture
def rows(client):
    client.force_login(UserFactory(superuser=True))
    AgentPublishFactory()
    DeploymentVerdictFactory()
    PublishDraftFactory()
    PublishEventFactory()


def names(models):
    return [model._meta.model_name for model in models]


@pytest.mark.parametrize("model", MODELS, ids=names(MODELS))
def test_every_model_can_be_found_and_read(client, rows, model):
    base = f"admin:publishing_{model._meta.model_name}"
    listed = client.get(reverse(f"{base}_changelist"), {"q": "a"})
    assert listed.status_code == 200
    row = model.objects.first()
    assert client.get(reverse(f"{base}_change", args=[row.pk])).status_code == 200
    assert admin.site._registry[model].search_fields


@pytest.mark.parametrize("model", MODELS, ids=names(MODELS))
def test_nothing_is_written_there(client, rows, model):
    base = f"admin:publishing_{model._meta.model_name}"
    assert client.get(reverse(f"{base}_add")).status_code == 403
    row = model.objects.first()
    assert client.post(reverse(f"{base}_change", args=[row.pk]), {}).status_code == 403
