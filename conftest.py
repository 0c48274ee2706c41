"""Settings that differ under test; everything else is what production runs."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    from django.conf import settings

    # The test client speaks plain HTTP and nobody ran collectstatic.
    settings.SECURE_SSL_REDIRECT = False
    settings.STATIC_ROOT = settings.BASE_DIR / "static"
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    # Argon2 is slow on purpose.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
