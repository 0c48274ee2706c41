"""One file for every process; what differs between machines comes from the environment."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from config import env

BASE_DIR = Path(__file__).resolve().parent.parent

# --- Secrets and switches -----------------------------------------------------------------------
DEBUG = env.boolean("DEBUG", default=False)
SECRET_KEY = env.secret(
    "SECRET_KEY",
    debug_default="only-for-debug-0123456789-0123456789-0123456789-x9" if DEBUG else None,
)
# Keys the HMAC of registration and API tokens: a stolen table alone verifies nothing.
TOKEN_PEPPER = env.secret(
    "TOKEN_PEPPER", debug_default="only-for-debug-pepper-0123456789-0123456789" if DEBUG else None
)
# Seal the private keys of certificates. The first seals, all of them open: see core/sealing.py.
ENCRYPTION_KEYS = env.secrets(
    "ENCRYPTION_KEYS",
    debug_default="only-for-debug-sealing-0123456789-0123456789" if DEBUG else None,
)
JWT_KEY = hashlib.sha256(b"imp-gateway jwt\n" + SECRET_KEY.encode()).hexdigest()

# --- Where it runs ------------------------------------------------------------------------------
PUBLIC_URL = env.text("PUBLIC_URL", "http://localhost:8000").rstrip("/")
ALLOWED_HOSTS = env.listing(
    "ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]" if DEBUG else urlsplit(PUBLIC_URL).hostname or ""
)
CSRF_TRUSTED_ORIGINS = env.listing("CSRF_TRUSTED_ORIGINS")
# How many proxies in front of us append to X-Forwarded-For. 0: believe no such header.
TRUSTED_PROXIES = env.integer("TRUSTED_PROXIES", 0)
# Off only where plain HTTP is the transport on purpose: a demo on loopback.
HTTPS = env.boolean("HTTPS", default=not DEBUG)
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"
ROOT_URLCONF = "config.urls"

# --- Applications -------------------------------------------------------------------------------
INSTALLED_APPS = [
    # First: replaces runserver, which only development has. It loads Twisted into every process.
    *(["daphne"] if DEBUG else []),
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "core",
    "accounts",
    "clusters",
    "catalog",
    "publishing",
    "subscriptions",
    "agents.server.apps.AgentServerConfig",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "csp",
    "django_htmx",
    "template_partials",
    "procrastinate.contrib.django",
    "axes",
]
MIDDLEWARE = [
    "core.health.HealthMiddleware",  # before anything that looks at the Host header
    "core.middleware.OriginMiddleware",
    "core.middleware.BodyLimitMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "core.middleware.CacheMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.ProfileLocaleMiddleware",
    "accounts.middleware.OrganizationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.context.shell",
            ],
            "builtins": ["core.templatetags.ig", "template_partials.templatetags.partials"],
        },
    }
]

# --- PostgreSQL and Redis -----------------------------------------------------------------------
# Only the fault runner sets it; see core/faultpoint.py.
FAULT_POINT = env.text("IMP_FAULT_POINT", "")
if FAULT_POINT and not DEBUG:
    raise ImproperlyConfigured(
        "IMP_FAULT_POINT lets processes die; it is for tests with DEBUG only."
    )
DATABASES = {"default": env.database("DATABASE_URL", "postgresql:///imp" if DEBUG else None)}
DATABASES["default"] |= {"CONN_HEALTH_CHECKS": True, "CONN_MAX_AGE": 0}
# Per process. 0 turns the pool off (each thread opens its own connection).
DATABASE_POOL_SIZE = env.integer("DATABASE_POOL_SIZE", 8)
if DATABASE_POOL_SIZE:
    DATABASES["default"]["OPTIONS"]["pool"] = {
        "min_size": 1,
        "max_size": DATABASE_POOL_SIZE,
        "timeout": 10,
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# redis://host:6379/0, rediss://… or unix:///run/valkey.sock
REDIS_URL = env.text("REDIS_URL", "redis://127.0.0.1:6379/0" if DEBUG else None)
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            # One that hangs must not be waited for: everything it carries also comes another way.
            "hosts": [{"address": REDIS_URL, "socket_timeout": 3, "socket_connect_timeout": 3}],
            "prefix": "imp",
        },
    }
}
# In the process, not in Redis: losing Redis must never stop a login.
LOCAL_CACHE = "django.core.cache.backends.locmem.LocMemCache"
CACHES = {
    "default": {"BACKEND": LOCAL_CACHE},
    # See core/answers.py. The timeout is how old may be what follows from the clock, in seconds: no older
    # than a heartbeat that agentd has not written yet (agents/server/options.py).
    "answers": {
        "BACKEND": LOCAL_CACHE,
        "LOCATION": "answers",
        "TIMEOUT": 15,
        "OPTIONS": {"MAX_ENTRIES": 200},
    },
}

# --- Agents ---------------------------------------------------------------------------------------
# What `imp-agent join --server` gets, and a private CA of that address where there is one.
AGENT_GRPC_ADDRESS = env.text("AGENT_GRPC_ADDRESS", "localhost:9443")
AGENT_CA_FILE = env.text("AGENT_CA_FILE", "")
# The image that the Kubernetes manifest of a join names: deploy/kubernetes/agent.Dockerfile builds it.
AGENT_IMAGE = env.text("AGENT_IMAGE", "imp-agent:0.1.0")
# Where agentd listens. Without certificate and key only on loopback.
AGENTD_LISTEN = env.text("AGENTD_LISTEN", "127.0.0.1:9443")
AGENTD_PROCESSES = env.integer("AGENTD_PROCESSES", 1, minimum=1)
# A connected agent that does not answer a deployment for so long fails it.
DEPLOYMENT_DEADLINE_SECONDS = env.integer("DEPLOYMENT_DEADLINE_SECONDS", 300, minimum=30)
AGENTD_TLS_CERT = env.text("AGENTD_TLS_CERT", "")
AGENTD_TLS_KEY = env.text("AGENTD_TLS_KEY", "")

# --- People and sessions ------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "accounts:login"
SESSION_COOKIE_AGE = 60 * 60 * 12
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_CLIENT_IP_CALLABLE = "accounts.lockout.client_ip"
# Otherwise the name of the user model's field, which our forms and API do not use.
AXES_USERNAME_FORM_FIELD = "username"
AXES_USERNAME_CALLABLE = "accounts.lockout.username"
AXES_LOCKOUT_CALLABLE = "accounts.views.locked_out"
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False

# OpenID Connect is on as soon as a client id is set; the endpoints then have no default.
OIDC_RP_CLIENT_ID = env.text("OIDC_CLIENT_ID", "")
OIDC_ENABLED = bool(OIDC_RP_CLIENT_ID)
if OIDC_ENABLED:
    INSTALLED_APPS.append("mozilla_django_oidc")
    AUTHENTICATION_BACKENDS.append("accounts.oidc.OIDCBackend")
    OIDC_RP_CLIENT_SECRET = env.text("OIDC_CLIENT_SECRET")
    OIDC_OP_AUTHORIZATION_ENDPOINT = env.text("OIDC_AUTHORIZATION_ENDPOINT")
    OIDC_OP_TOKEN_ENDPOINT = env.text("OIDC_TOKEN_ENDPOINT")
    OIDC_OP_USER_ENDPOINT = env.text("OIDC_USERINFO_ENDPOINT")
    OIDC_OP_JWKS_ENDPOINT = env.text("OIDC_JWKS_ENDPOINT")
    OIDC_RP_SIGN_ALGO = "RS256"
    OIDC_RP_SCOPES = "openid email profile"
    OIDC_CREATE_USER = False
    OIDC_USE_PKCE = True

# --- Transport security -------------------------------------------------------------------------
SECURE_SSL_REDIRECT = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
LANGUAGE_COOKIE_SECURE = HTTPS
LANGUAGE_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = env.integer("HSTS_SECONDS", 31_536_000) if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
# Bodies of the API. Where documents are sent, and on pages, more: 5 MB of text as a form or as JSON.
BODY_LIMIT = 1024 * 1024
DOCUMENT_BODY_LIMIT = 16 * BODY_LIMIT
DOCUMENT_PATHS = ("/api/v1/provider/api-services/imports",)
DATA_UPLOAD_MAX_MEMORY_SIZE = DOCUMENT_BODY_LIMIT
FILE_UPLOAD_MAX_MEMORY_SIZE = BODY_LIMIT
# Inside networks that links of users may lead to. Empty: only the public Internet is fetched from.
FETCH_ALLOWED_NETWORKS = env.listing("FETCH_ALLOWED_NETWORKS")

# --- REST ---------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.BearerAuthentication",
        "accounts.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["core.rest.EnvelopeRenderer"],
    "DEFAULT_PARSER_CLASSES": ["core.rest.StorableJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "core.rest.Pagination",
    "DEFAULT_FILTER_BACKENDS": [
        "core.rest.StrictFilterBackend",
        "core.rest.StableOrderingFilter",
    ],
    "DEFAULT_SCHEMA_CLASS": "core.schema.EnvelopeSchema",
    "DEFAULT_THROTTLE_RATES": {"login": "30/min"},
    "EXCEPTION_HANDLER": "core.api.exception_handler",
    "NUM_PROXIES": TRUSTED_PROXIES,
    "URL_FORMAT_OVERRIDE": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "TEST_REQUEST_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}
# What holds for every operation, in Markdown.
API_RULES = """The control plane and portal for API gateways.

**Who calls.** `Authorization: Bearer` with an API token or the access token of a sign-in; the portal's
own pages use their session. A request works in one organization: the token's, or the one of yours that
`X-Organization` names by its id. Roles are viewer, member and admin; each operation says what it takes.

**Answers** come in one envelope. `data` is what the operation describes; on an error it is null, and
`error` has a stable `code` for programs, a `message` for people and `details`: for a 400 by field or
parameter. `request_id` finds the call in the logs.

**Lists** have pages (`page`; `page_size`: 25, up to 200). `ordering` takes the fields that it names, and the
id settles ties, so that no row is on two pages. A parameter or value that does not exist is a 400.

**Edits.** What is read with an `ETag` can be written with `If-Match`: 412 if somebody else changed it
since, with their version in `error.details.version`. Without `If-Match` the last one wins.

Any operation may also answer 413 (a body over its limit), 415 (another media type), 429 (too often; wait
for `Retry-After`) and 503 (the database is away; the same).
"""
SPECTACULAR_SETTINGS = {
    "TITLE": "imp-gateway",
    "DESCRIPTION": API_RULES,
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_ADD_EXPLICIT_BLANK_NULL_CHOICE": False,
    # Fields of one name and several meanings.
    "ENUM_NAME_OVERRIDES": {
        "OrganizationKind": "accounts.models.Kind",
        "ClusterStatus": "clusters.models.Status",
        "AgentStatus": ["active", "inactive", "revoked"],
        "PolicyKind": "catalog.models.PolicyKind",
        "CertificateStatus": "catalog.models.Validity",
        "ImportStatus": "catalog.models.ImportStatus",
        "PublishDraftStep": "publishing.states.DraftStep",
        "PublishStatus": "publishing.states.Status",
        "DeploymentKind": "publishing.states.Kind",
        "PublishEventKind": "publishing.states.Happening",
        "DeploymentStatus": "publishing.states.Progress",
        "SubscriptionStatus": "subscriptions.states.Status",
    },
}

# --- Search ---------------------------------------------------------------------------------------
# In the order they are shown; see core/search.
SEARCH_SOURCES = [
    "accounts.search.find",
    "clusters.search.find",
    "catalog.search.products",
    "catalog.search.services",
    "publishing.search.find",
]

# --- Language and time --------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("ko", _("Korean")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True

# --- Static files -------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.text("STATIC_ROOT", str(BASE_DIR / "staticfiles")))
STATICFILES_DIRS = [BASE_DIR / "static"]
# Straight from the source, without collectstatic and hashed names: development, and the demo.
STATIC_FROM_SOURCE = env.boolean("STATIC_FROM_SOURCE", default=DEBUG)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if STATIC_FROM_SOURCE
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = STATIC_FROM_SOURCE
WHITENOISE_AUTOREFRESH = DEBUG

# --- Logs ---------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"origin": {"()": "core.logs.OriginFilter"}},
    "formatters": {"json": {"()": "core.logs.JsonFormatter"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "json",
            "filters": ["origin"],
        }
    },
    "root": {"handlers": ["stderr"], "level": env.text("LOG_LEVEL", "INFO").upper()},
    "loggers": {
        # Their defaults add a second handler of another shape.
        "django": {"handlers": [], "propagate": True},
        # A 4xx is in the request's own line already, and here it would lack the request's id.
        "django.request": {"level": "ERROR"},
        "django.server": {"handlers": [], "propagate": True, "level": "WARNING"},
        "daphne": {"level": "WARNING"},
        "procrastinate": {"level": "WARNING"},
        "axes": {"level": "WARNING"},
    },
}
