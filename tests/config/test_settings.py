"""Settings are read in a process of their own, with the environment of a server or of a laptop."""

import json
import os
import subprocess
import sys

import pytest

SERVER = {
    "SECRET_KEY": "a-real-secret-of-a-real-server-0123456789-0123456789-xyz",
    "TOKEN_PEPPER": "another-real-secret-0123456789-0123456789",
    "ENCRYPTION_KEYS": "a-third-real-secret-0123456789-0123456789",
    "DATABASE_URL": "postgresql://imp@/imp?host=/run/pg",
    "REDIS_URL": "unix:///run/valkey.sock",
    "PUBLIC_URL": "https://portal.example.com",
}
NAMES = [
    "DEBUG",
    "ALLOWED_HOSTS",
    "SECURE_SSL_REDIRECT",
    "SESSION_COOKIE_SECURE",
    "CSRF_COOKIE_SECURE",
    "SECURE_HSTS_SECONDS",
    "OIDC_ENABLED",
]
SHOW = (
    "import json; from config import settings as s; "
    f"print(json.dumps({{n: getattr(s, n) for n in {NAMES}}}))"
)


def run(*argv, **variables):
    clean = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "LANG"}}
    return subprocess.run(
        [sys.executable, *argv], env=clean | variables, capture_output=True, text=True, check=False
    )


def settings(**variables):
    done = run("-c", SHOW, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "name", ["SECRET_KEY", "TOKEN_PEPPER", "ENCRYPTION_KEYS", "DATABASE_URL", "REDIS_URL"]
)
def test_a_server_has_no_default_for(name):
    done = run("-c", SHOW, **{k: v for k, v in SERVER.items() if k != name})

    assert done.returncode != 0
    assert f"{name} is not set; see .env.example." in done.stderr


def test_a_server_is_strict():
    assert settings(**SERVER) == {
        "DEBUG": False,
        "ALLOWED_HOSTS": ["portal.example.com"],
        "SECURE_SSL_REDIRECT": True,
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SECURE_HSTS_SECONDS": 31536000,
        "OIDC_ENABLED": False,
    }


def test_a_laptop_needs_nothing():
    found = settings(DEBUG="1")

    assert found["DEBUG"] is True
    assert found["SECURE_SSL_REDIRECT"] is False
    assert "localhost" in found["ALLOWED_HOSTS"]


def test_the_deployment_checks_find_nothing():
    done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING", **SERVER)

    assert done.returncode == 0, done.stderr


OIDC = {
    "OIDC_CLIENT_ID": "imp",
    "OIDC_CLIENT_SECRET": "x",
    "OIDC_AUTHORIZATION_ENDPOINT": "https://sso.example.com/auth",
    "OIDC_TOKEN_ENDPOINT": "https://sso.example.com/token",
    "OIDC_USERINFO_ENDPOINT": "https://sso.example.com/userinfo",
    "OIDC_JWKS_ENDPOINT": "https://sso.example.com/jwks",
}


def test_single_sign_on_is_all_or_nothing():
    done = run("-c", SHOW, **SERVER, OIDC_CLIENT_ID="imp")

    assert "OIDC_CLIENT_SECRET is not set" in done.stderr


SIGN_IN = """
import django; django.setup()
from django.conf import settings
from django.test import Client
settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
answer = Client().get("/oidc/authenticate/", secure=True, headers={"host": "portal.example.com"})
print(answer.status_code, answer["Location"])
"""


def test_single_sign_on_is_wired():
    done = run("-c", SIGN_IN, **SERVER, **OIDC, DJANGO_SETTINGS_MODULE="config.settings")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("302 https://sso.example.com/auth?")
    assert "code_challenge=" in done.stdout


def test_no_server_dies_at_a_fault_point():
    done = run("-c", SHOW, **SERVER, IMP_FAULT_POINT="result.committed")

    assert done.returncode != 0
    assert "IMP_FAULT_POINT" in done.stderr
