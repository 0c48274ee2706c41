"""What providers type about a product. The rules are in catalog.rules; forms only read text into values."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from catalog.logos import MAX_BYTES
from catalog.models import Product

INPUT = {"autocomplete": "off"}


class ListField(forms.CharField):
    """Text split at commas."""

    def to_python(self, value: Any) -> list[str]:
        words = (word.strip() for word in re.split(r"[,，、\n]", super().to_python(value)))
        return [word for word in words if word]

    def run_validators(self, value: list[str]) -> None:
        super().run_validators(", ".join(value))

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list) else value


class ProductForm(forms.Form):
    name = forms.CharField(label=_("Name"), widget=forms.TextInput(attrs=INPUT))
    version = forms.CharField(
        label=_("Version"),
        initial="1.0",
        help_text=_("Name and version together are unique."),
        widget=forms.TextInput(attrs=INPUT),
    )
    description = forms.CharField(
        label=_("Description"),
        required=False,
        help_text=_("What it does and for whom. Consumers read it in the marketplace."),
        widget=forms.Textarea(attrs={"rows": 5}),
    )
    categories = ListField(
        label=_("Categories"),
        required=False,
        help_text=_("Separated by commas: payments, commerce. At most ten."),
        widget=forms.TextInput(attrs=INPUT),
    )
    docs_url = forms.CharField(
        label=_("Documentation"),
        required=False,
        help_text=_("A link that starts with https://."),
        widget=forms.URLInput(attrs=INPUT | {"placeholder": "https://docs.example.com"}),
    )
    logo = forms.FileField(
        label=_("Logo"),
        required=False,
        help_text=_("PNG, JPEG or WebP of at most 1 MB. It is drawn anew with 256 px a side."),
        widget=forms.FileInput(attrs={"accept": "image/png,image/jpeg,image/webp"}),
    )
    remove_logo = forms.BooleanField(label=_("Remove the logo"), required=False)

    @classmethod
    def of(cls, product: Product) -> ProductForm:
        names = ("name", "version", "description", "categories", "docs_url")
        return cls(initial={name: getattr(product, name) for name in names})

    @classmethod
    def typed(cls, data: QueryDict) -> ProductForm:
        """What was typed so far, not judged yet."""
        return cls(initial={name: data.get(name, "") for name in cls.base_fields})

    def settings(self) -> dict[str, Any]:
        """For catalog.services.products."""
        names = ("name", "version", "description", "categories", "docs_url")
        return {name: self.cleaned_data[name] for name in names}

    def picture(self) -> bytes | None:
        """One byte more than is allowed, so that the rule can refuse it."""
        upload = self.cleaned_data.get("logo")
        return upload.read(MAX_BYTES + 1) if upload else None


def chosen(data: QueryDict) -> list[UUID]:
    """The services that are ticked. Whatever is no id was not ticked on our page."""
    return [UUID(value) for value in data.getlist("service_ids") if _is_uuid(value)]


def _is_uuid(value: str) -> bool:
    return re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value) is not None
