"""Every setting of an installation, read strictly from the environment (``ASSAY_*``); secrets also from files."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

from governance.logs import FORMATS
from workers.artifacts.limits import Limits
from workers.sandbox import AUTO, CHOICES

env = environ.FileAwareEnv()

BASE_FOLDER = Path(__file__).resolve().parent.parent

#: The folder of the embedded default: SQLite file, store, job folders, generated keys.
ASSAY_HOME = Path(env.str("ASSAY_HOME", default=str(BASE_FOLDER / ".assay"))).resolve()


def _generated_secret(name: str) -> str:
    """Return a secret kept in the home folder, made at first use with mode 0600 (the embedded default)."""
    path = ASSAY_HOME / name
    if not path.exists():
        ASSAY_HOME.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{name}.{secrets.token_hex(4)}")
        temporary.touch(mode=0o600)
        temporary.write_text(secrets.token_urlsafe(48))
        try:
            path.hardlink_to(temporary)  # unlike a rename, this never replaces a secret that another process made
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return path.read_text().strip()


SECRET_KEY = env.str("ASSAY_SECRET_KEY", default="") or _generated_secret("secret_key")
#: Keys the event chain; kept apart from the database so that who can write rows cannot forge history.
ASSAY_EVENT_KEY = env.str("ASSAY_EVENT_KEY", default="") or _generated_secret("event_key")

#: The private key that signs statements: as PEM in the environment, or in a file that `create_signing_key` makes.
#: Read past ``FileAwareEnv``, which would demand that the file is there before the command that makes it can run.
ASSAY_SIGNING_KEY = os.environ.get("ASSAY_SIGNING_KEY", "")
ASSAY_SIGNING_KEY_FILE = Path(os.environ.get("ASSAY_SIGNING_KEY_FILE", "") or ASSAY_HOME / "signing_key.pem")
#: A folder of public keys (PEM), or a file of several: whose signatures on models are accepted.
ASSAY_MODEL_SIGNING_KEYS = env.str("ASSAY_MODEL_SIGNING_KEYS", default="")

DEBUG = env.bool("ASSAY_DEBUG", default=False)
ALLOWED_HOSTS = env.list("ASSAY_ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("ASSAY_CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "audits",
    "validators",
    "governance",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_filters",
    "django_htmx",
    "django_prometheus",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "governance.middleware.ContentSecurityPolicyMiddleware",
    "governance.middleware.UserActionMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "governance.urls"
WSGI_APPLICATION = "governance.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# ------------------------------------------------------------------------------------------------ database
_SQLITE = {
    "timeout": 20,
    # A deferred transaction that upgrades to a write fails at once under contention; IMMEDIATE waits its turn.
    "transaction_mode": "IMMEDIATE",
    "init_command": (
        "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA journal_size_limit=67108864;"
        "PRAGMA wal_autocheckpoint=1000;"
    ),
}
DATABASES = {"default": env.db_url("ASSAY_DATABASE_URL", default=f"sqlite:///{ASSAY_HOME / 'assay.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = _SQLITE
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --------------------------------------------------------------------------------------------- people, pages
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en-gb"
FORMAT_MODULE_PATH = "governance.formats"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
STATIC_URL = "static/"
STATIC_ROOT = ASSAY_HOME / "static"
#: Nothing has to be collected into it (files are found in the packages), but whitenoise warns where it is missing.
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
#: True behind TLS; the embedded default speaks plain HTTP on the loopback interface.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("ASSAY_HTTPS", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SESSION_COOKIE_SECURE else None

# Uploads are streamed to the store by governance.storage; nothing large is held in memory.
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024
ASSAY_MAX_UPLOAD_BYTES = env.int("ASSAY_MAX_UPLOAD_BYTES", default=8 * 1024**3)
#: What the versions and unfinished uploads of one person may hold together; 0 is no limit.
ASSAY_UPLOAD_QUOTA_BYTES = env.int("ASSAY_UPLOAD_QUOTA_BYTES", default=0)
#: An upload that is not used is removed this long after its last byte.
ASSAY_UPLOAD_EXPIRES_SECONDS = env.int("ASSAY_UPLOAD_EXPIRES_SECONDS", default=24 * 3600)
#: A body of which nothing arrives for this long has broken off.
ASSAY_UPLOAD_STALL_SECONDS = env.int("ASSAY_UPLOAD_STALL_SECONDS", default=60)

# ------------------------------------------------------------------------------------------------------ API
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "knox.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["governance.permissions.Declared"],
    "DEFAULT_PAGINATION_CLASS": "governance.pagination.NewestFirst",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "governance.api.schema.ProblemSchema",
    "EXCEPTION_HANDLER": "governance.problems.problem_response",
    "PAGE_SIZE": 50,
    # `?format=` names the format of a report, not a renderer.
    "URL_FORMAT_OVERRIDE": None,
}
REST_KNOX = {"TOKEN_TTL": None, "AUTH_HEADER_PREFIX": "Token"}
SPECTACULAR_SETTINGS = {
    "TITLE": "Assay",
    "DESCRIPTION": "Model governance and auditing for deep-learning models.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "governance.api.schema.any_value_may_be_null",
    ],
    "ENUM_NAME_OVERRIDES": {
        "JobStateEnum": "governance.models.JobState",
        "VersionStateEnum": "governance.models.ModelVersionState",
        "DatasetStateEnum": "governance.models.DatasetState",
        "ReviewStateEnum": "governance.models.ReviewState",
        "SeverityEnum": "governance.services.policies.SEVERITIES",
    },
}

# ----------------------------------------------------------------------------------------------- governance
#: What is asked, in order, before something may happen; each is a callable that returns the reasons against it.
GOVERNANCE_GATES = {
    "training": ["validators.gates.data_validated"],
    "evaluation": ["validators.gates.data_validated"],
    "audit": ["validators.gates.data_validated"],
    "approval": ["audits.gates.audit_passed"],
}

ASSAY_STORE_FOLDER = Path(env.str("ASSAY_STORE_FOLDER", default=str(ASSAY_HOME / "store")))
ASSAY_JOBS_FOLDER = Path(env.str("ASSAY_JOBS_FOLDER", default=str(ASSAY_HOME / "jobs")))
ASSAY_EXECUTOR = env.str("ASSAY_EXECUTOR", default="local")
#: How a child is put into its sandbox: ``auto`` (bubblewrap where it works), ``bubblewrap`` (or not at all),
#: ``namespaces`` (never bubblewrap).
ASSAY_SANDBOX = env.str("ASSAY_SANDBOX", default=AUTO)
if ASSAY_SANDBOX not in CHOICES:
    raise ImproperlyConfigured(f"ASSAY_SANDBOX is {ASSAY_SANDBOX!r}; it is one of {', '.join(CHOICES)}.")
#: Packages beside Assay's own in which a job's runner may live.
ASSAY_RUNNER_PACKAGES = env.list("ASSAY_RUNNER_PACKAGES", default=[])
#: A worker that has not renewed within this time has lost its jobs.
ASSAY_LEASE_SECONDS = env.int("ASSAY_LEASE_SECONDS", default=60)
#: Memory of one job; a GPU's own is no part of it.
ASSAY_JOB_MEMORY_BYTES = env.int("ASSAY_JOB_MEMORY_BYTES", default=24 * 1024**3)
ASSAY_JOB_WALL_SECONDS = env.int("ASSAY_JOB_WALL_SECONDS", default=3600)
#: What the arrays of one explanation may take in memory, beside the framework and the model; at least 16 MiB.
ASSAY_EXPLANATION_MEMORY_BYTES = env.int("ASSAY_EXPLANATION_MEMORY_BYTES", default=256 * 1024**2)

#: JSON of limits by name, such as {"entries": 1000}; what is left out keeps its default (``workers.artifacts.limits``).
try:
    ASSAY_INSPECTION_LIMITS = env.json("ASSAY_INSPECTION_LIMITS", default={})
    Limits.from_json(ASSAY_INSPECTION_LIMITS)
except (ValueError, AttributeError) as error:
    raise ImproperlyConfigured(f"ASSAY_INSPECTION_LIMITS is no JSON object of limits: {error}") from error

#: Serves counts and times of requests at ``/metrics`` to whoever reaches it: leave it to the monitoring network.
ASSAY_METRICS = env.bool("ASSAY_METRICS", default=False)

#: ``plain`` is a line to read, ``json`` one object a line to collect; for web process and worker alike.
ASSAY_LOG_FORMAT = env.str("ASSAY_LOG_FORMAT", default="plain")
if ASSAY_LOG_FORMAT not in FORMATS:
    raise ImproperlyConfigured(f"ASSAY_LOG_FORMAT is {ASSAY_LOG_FORMAT!r}; it is one of {', '.join(FORMATS)}.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"chosen": {"()": "governance.logs.formatter", "log_format": ASSAY_LOG_FORMAT}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "chosen"}},
    "root": {"handlers": ["stderr"], "level": env.str("ASSAY_LOG_LEVEL", default="INFO")},
}
