"""All settings, read from the environment by typed readers. No setting relaxes a control."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(os.environ.get("COUNTERSIGN_VAR", BASE_DIR / "var"))


def read_text(name: str, default: str | None = None) -> str:
    """Return a text setting, from NAME or from the file that NAME_FILE points to."""
    if file := os.environ.get(f"{name}_FILE"):
        return Path(file).read_text(encoding="utf-8").strip()
    value = os.environ.get(name, default)
    if value is None:
        raise ImproperlyConfigured(f"Set {name} in the environment.")
    return value


def read_flag(name: str, default: bool) -> bool:
    """Return a yes-or-no setting written as 1, true, yes, 0, false or no."""
    value = os.environ.get(name, str(default)).lower()
    if value in {"1", "true", "yes"}:
        return True
    if value in {"0", "false", "no"}:
        return False
    raise ImproperlyConfigured(f"{name} is {value!r}; expected true or false.")


def read_list(name: str, default: str = "") -> list[str]:
    """Return a comma-separated setting as a list."""
    return [part.strip() for part in os.environ.get(name, default).split(",") if part.strip()]


def read_lines(name: str) -> list[str]:
    """Return a setting of parts with commas or line ends between them, from NAME or the file that NAME_FILE names."""
    return [part.strip() for part in read_text(name, "").replace("\n", ",").split(",") if part.strip()]


def read_database(url: str) -> dict[str, object]:
    """Return Django's description of a postgresql:// URL; a `host` query part may name a socket folder."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(f"DATABASE_URL begins with {parts.scheme!r}; expected postgresql://.")
    query = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair)
    options: dict[str, object] = {}
    if read_flag("DATABASE_POOL", False):
        options["pool"] = {"min_size": 0, "max_size": 8, "timeout": 5}
    # Migrations sign in as a person and act as the owner of the tables (SET ROLE).
    if role := os.environ.get("DATABASE_ROLE"):
        options["assume_role"] = role
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(query.get("host", parts.hostname or "")),
        "PORT": str(parts.port or query.get("port", "")),
        "OPTIONS": options,
    }


class Mail(NamedTuple):
    """Where mail goes: the door is one of Django's (`smtp`, `filebased`, `console`), the rest is what it needs."""

    door: str
    folder: str | None = None
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = ""
    is_tls: bool = False
    is_starttls: bool = False


def read_mail(url: str) -> Mail:
    """Return what smtp://user:password@host:587, smtps://…, file:///folder or console: says about mail.

    smtp:// begins TLS inside the connection (STARTTLS) and fails without it, unless `?tls=no` is written behind it.
    """
    parts = urlsplit(url)
    if parts.scheme == "console":
        return Mail("console")
    if parts.scheme == "file" and parts.path.startswith("/"):
        return Mail("filebased", folder=unquote(parts.path))
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.query not in {"", "tls=no"}:
        seen = f"{parts.scheme}: address" if parts.scheme else "no address"
        raise ImproperlyConfigured(f"EMAIL_URL is a wrong {seen}; expected smtp://, smtps://, file:///… or console:.")
    is_tls = parts.scheme == "smtps"
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    port = parts.port or (465 if is_tls else 587)
    return Mail("smtp", None, parts.hostname, port, user, password, is_tls, not is_tls and not parts.query)


DEBUG = False
DEMO = read_flag("COUNTERSIGN_DEMO", False)
SECRET_KEY = read_text("SECRET_KEY")
ALLOWED_HOSTS = read_list("ALLOWED_HOSTS", "localhost,127.0.0.1")
CSRF_TRUSTED_ORIGINS = read_list("CSRF_TRUSTED_ORIGINS")
PORTAL_URL = read_text("PORTAL_URL", "http://localhost:8000").rstrip("/")

INSTALLED_APPS = [
    "portal",
    "registry",
    "governance",
    "audit",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "guardian",
    "simple_history",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "django_htmx",
    "csp",
    "ninja",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "portal.http.RefusalMiddleware",
]

ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.context.shell",
            ],
            "builtins": ["portal.templatetags.portal"],
        },
    },
]

DATABASES = {"default": read_database(read_text("DATABASE_URL"))}
REDIS_URL = read_text("REDIS_URL")

AUTH_USER_MODEL = "registry.User"
# One decider: governance.permissions answers every question; guardian only stores grants (see docs/decisions).
AUTHENTICATION_BACKENDS = ["governance.permissions.Backend", "allauth.account.auth_backends.AuthenticationBackend"]
SILENCED_SYSTEM_CHECKS = ["guardian.W001"]
ANONYMOUS_USER_NAME = None
PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "portal.accounts.ClosedAccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
MFA_SUPPORTED_TYPES = ["webauthn", "totp", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
# Addresses are entered by administrators, so a passkey may be added without a mail loop.
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = DEMO

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]

EVIDENCE_STORAGE = (
    {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": bucket,
            "endpoint_url": os.environ.get("EVIDENCE_S3_ENDPOINT") or None,
            "default_acl": None,
            "file_overwrite": False,
        },
    }
    if (bucket := os.environ.get("EVIDENCE_S3_BUCKET"))
    else {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": VAR_DIR / "evidence"}}
)
STORAGES = {
    "default": EVIDENCE_STORAGE,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# The folders that `file:` storage URIs may point into; everything else on the disk is out of reach.
ARTIFACT_ROOTS = [Path(p) for p in read_list("ARTIFACT_ROOTS", str(VAR_DIR / "artifacts"))]
KEYS_DIR = Path(read_text("KEYS_DIR", str(VAR_DIR / "keys")))
# The sha256 of keysets that begin with other roots because the old ones are lost; see docs/operating.md.
KEYSET_NEW_ROOTS = read_list("KEYSET_NEW_ROOTS")
EXPORT_DAYS = int(read_text("EXPORT_DAYS", "30"))
LEDGER_ORIGIN = read_text("LEDGER_ORIGIN", "countersign.local/ledger")
DECISION_SIGNER_URI = read_text("DECISION_SIGNER_URI", "")
# The hour (UTC) at which the portal checks its whole record.
VERIFY_HOUR = int(read_text("VERIFY_HOUR", "2")) % 24
DATA_UPLOAD_MAX_MEMORY_SIZE = 32 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000

SECURE = PORTAL_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SESSION_COOKIE_NAME = "__Host-sessionid" if SECURE else "sessionid"
CSRF_COOKIE_NAME = "__Host-csrftoken" if SECURE else "csrftoken"
SESSION_COOKIE_AGE = int(timedelta(hours=12).total_seconds())
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "font-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    },
}

CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 10
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# Checks run in the pool's child processes: bounded in time, and replaced when they have grown (in kB).
CELERY_TASK_TIME_LIMIT = 1800
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 1_500_000
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_connect_timeout": 2,
}
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "clock")

SIMPLE_HISTORY_REVERT_DISABLED = True
SIMPLE_HISTORY_ENABLED = True

# Mail goes where EMAIL_URL says; without one, into files that an operator can read.
MAIL = read_mail(read_text("EMAIL_URL", f"file://{VAR_DIR.absolute() / 'mail'}"))
EMAIL_BACKEND = f"django.core.mail.backends.{MAIL.door}.EmailBackend"
EMAIL_FILE_PATH = MAIL.folder
EMAIL_HOST, EMAIL_PORT = MAIL.host, MAIL.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = MAIL.user, MAIL.password
EMAIL_USE_SSL, EMAIL_USE_TLS = MAIL.is_tls, MAIL.is_starttls
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = read_text("DEFAULT_FROM_EMAIL", "Countersign <countersign@localhost>")
# Where every signed checkpoint goes by itself, and who cosigns it: see docs/operating.md.
CHECKPOINT_PLACES = read_lines("CHECKPOINT_PLACES")
WITNESSES = read_lines("WITNESSES")
CHECKPOINT_S3_ENDPOINT = os.environ.get("CHECKPOINT_S3_ENDPOINT", "")
CHECKPOINT_S3_PROFILE = os.environ.get("CHECKPOINT_S3_PROFILE", "")
# Webhooks go to public addresses by https alone, except to these: `host` or `host:port` in the operator's own network.
WEBHOOK_PRIVATE_HOSTS = frozenset(each.lower() for each in read_list("WEBHOOK_PRIVATE_HOSTS"))

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "root": {"handlers": ["console"], "level": read_text("LOG_LEVEL", "INFO")},
}
