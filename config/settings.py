"""All settings. Every switch is an environment variable; a malformed one stops the start with its name and the remedy.

config/docs/configuration.md lists them. Nothing here has a secret as its default.
"""

import os
import secrets
import socket
import sys
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import environ
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from config import database, environment_file
from config.version import VERSION

try:
    environment_file.load()
except environment_file.CannotRead as error:
    raise ImproperlyConfigured(str(error)) from error

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
# A value is text, also one that begins with $, which django-environ takes for the name of another variable.
env.escape_proxy, env.ENVIRON = True, {name: value.replace("$", r"\$") for name, value in os.environ.items()}


def _number(name: str, default: int, low: int, high: int) -> int:
    try:
        value = env.int(name, default=default)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be a whole number: {error}") from error
    if not low <= value <= high:
        raise ImproperlyConfigured(f"{name} is {value}; it must lie between {low} and {high}.")
    return int(value)


def _switch(name: str, default: bool) -> bool:
    """A yes or no; anything but the usual words is refused, since a typing error must not read as no."""
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    text = env.str(name, default=str(default)).strip().lower()
    if text not in words:
        raise ImproperlyConfigured(f"{name} is {text!r}; write 1 or 0 (true/false, yes/no and on/off work too).")
    return words[text]


def _choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = env.str(name, default=default)
    if value not in allowed:
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be one of {', '.join(allowed)}.")
    return str(value)


DEMO = _switch("DEMO", False)  # `manage.py up` sets it: loopback only, plain HTTP, demo accounts
DEBUG = _switch("DEBUG", False)
HTTPS = _switch("HTTPS", not DEMO)
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / ".data"))).resolve()
JOURNAL_DIR = Path(env.str("JOURNAL_DIR", default=str(DATA_DIR / "journals"))).resolve()
TRACKING_DIR = Path(env.str("TRACKING_DIR", default=str(DATA_DIR / "tracking"))).resolve()  # on a local disk
HOST_ID = env.str("HOST_ID", default=socket.gethostname())  # names the machine that holds a batch and its journal


def _secret_key() -> str:
    kept = DATA_DIR / "secret-key"  # written by `manage.py up`, mode 0600
    return env.str("SECRET_KEY", default="") or (kept.read_text().strip() if kept.is_file() else "")


SECRET_KEY = _secret_key()
# Without a key nothing that signs may run: deliveries/workers/checks.py refuses every command but those that need
# neither key nor database (qualify_bounce, simulator), and wsgi.py refuses to serve. They get one that dies with the
# process.
SECRET_KEY_IS_MISSING = not SECRET_KEY
SECRET_KEY = SECRET_KEY or secrets.token_urlsafe(64)
# Keys that sign no more but still prove (campaigns/core/secret_keys.py), so that SECRET_KEY can be changed.
SECRET_KEY_FALLBACKS = [key.strip() for key in env.list("SECRET_KEY_FALLBACKS", default=[])]
if any(len(key) < 20 for key in SECRET_KEY_FALLBACKS):
    raise ImproperlyConfigured("SECRET_KEY_FALLBACKS must list older keys of 20 or more characters, the newest first.")
PUBLIC_URL = env.str("PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/")  # base of links in mails
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "config",
    "reporting",
    "deliveries",
    "campaigns",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "guardian",
    "django_q",
    "rest_framework",
    "knox",
    "django_filters",
    "drf_standardized_errors",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "anymail",
    "csp",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "campaigns.core.web.response_headers.Headers",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "campaigns.core.time_zones.LocalTime",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "campaigns.accounts.login_throttle.KnownBrowser",
    "campaigns.audit.trail.Origin",  # after whoever asks is known
    "campaigns.core.web.reject_nul.NoNul",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


# --- Database -----------------------------------------------------------------------------------
def _database_url(name: str, default: str) -> dict[str, Any]:
    try:
        return dict(env.db_url(name, default=default))
    except Exception as error:
        raise ImproperlyConfigured(f"{name} cannot be read: {error}") from error


_database = _database_url("DATABASE_URL", f"sqlite:///{quote(str(DATA_DIR / 'db.sqlite3'))}")
# In transaction mode a pooler (pgbouncer) gives every transaction another session; this is the way past it.
DATABASE_IS_POOLED = bool(env.str("DATABASE_SESSION_URL", default=""))
_past = _database_url("DATABASE_SESSION_URL", "") if DATABASE_IS_POOLED else None
if _past and not (_past["ENGINE"] == _database["ENGINE"] and _past["ENGINE"].endswith("postgresql")):
    raise ImproperlyConfigured("DATABASE_SESSION_URL must be postgres://…, as DATABASE_URL then is.")
_limits = {
    "lock_timeout": _number("DATABASE_LOCK_SECONDS", 20, 0, 3600),
    "idle_in_transaction_session_timeout": _number("DATABASE_IDLE_SECONDS", 60, 0, 3600),
    "statement_timeout": _number("DATABASE_STATEMENT_SECONDS", 60, 0, 86_400),
}
DATABASE_SESSION = database.session(_database, _past, _limits)
DATABASES = {"default": database.configured(_database, _past, _limits, sys.argv[1:])}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- People ---------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = [
    "campaigns.accounts.login_throttle.Throttled",  # first: it decides whether a password is looked at
    "campaigns.accounts.units.UnitBackend",
    "guardian.backends.ObjectPermissionBackend",
]
ANONYMOUS_USER_NAME = None
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
TOTP_TO_START = _switch("TOTP_TO_START", False)  # starting deliveries needs a second factor
LOGIN_URL = "admin:login"

# --- Background work ------------------------------------------------------------------------------
BROKER_URL = env.str("BROKER_URL", default="")  # redis://… ; empty: the database is the broker
WORKERS = _number("WORKERS", 2, 1, 64)
Q_CLUSTER = {
    "name": "deliveries",
    "workers": WORKERS,
    "queue_limit": WORKERS,  # a task waiting in a process's own queue would count against `retry`
    "timeout": 450,  # above a task's own budget and a mail server's silence (300 s): reached only by one that hangs
    "retry": 900,
    "max_attempts": 1,  # retries are rows with a due time, never the broker's
    "ack_failures": True,
    "save_limit": -1,
    "catch_up": False,
    "poll": 0.2,
    "recycle": 1000,
    "guard_cycle": 1,
    "label": _("Background tasks"),
    **({"redis": BROKER_URL} if BROKER_URL else {"orm": "default"}),
}

TASK_ROOMS = (
    "campaigns.targeting.tasks",
    "deliveries.workers.tasks",
    "reporting.jobs.tasks",
)  # whose functions the cluster runs

# --- Sending --------------------------------------------------------------------------------------
BATCH_SIZE = _number("BATCH_SIZE", 5000, 1, 100_000)  # recipients in a batch, the unit that a worker leases
CLAIM_WINDOW = _number("CLAIM_WINDOW", 250, 1, 500)  # rows claimed in one transaction, the next when half are left
LEASE_SECONDS = _number("LEASE_SECONDS", 30, 5, 600)
TASK_BUDGET_SECONDS = _number("TASK_BUDGET_SECONDS", 10, 1, 100)  # a sending task hands over after this
GUARD_STALE_SECONDS = _number("GUARD_STALE_SECONDS", 45, 3, 600)  # without a pulse for so long: cluster restarted
IN_DOUBT = _choice("IN_DOUBT", "hold", ("hold", "resend"))
UNDO_SECONDS = _number("UNDO_SECONDS", 5, 0, 600)  # after a confirmation nothing leaves for so long
PROOFS_PER_DAY = _number("PROOFS_PER_DAY", 200, 1, 100_000)  # mails of proofs of one message in 24 hours
PROOFS_PER_PERSON = _number("PROOFS_PER_PERSON", 1000, 1, 1_000_000)  # and that one person may send
START_GRACE_MINUTES = _number("START_GRACE_MINUTES", 30, 1, 10_080)  # later than that, somebody must confirm again

# --- Feedback -------------------------------------------------------------------------------------
BOUNCE_ADDRESSES = env.list("BOUNCE_ADDRESSES", default=[])  # taken by the bounce server without a signed return path
BOUNCE_IMAP_URL = env.str("BOUNCE_IMAP_URL", default="")  # imaps://user@host/FOLDER; empty: no mailbox is polled
BOUNCE_IMAP_PASSWORD = env.str("BOUNCE_IMAP_PASSWORD", default="")
BOUNCE_IMAP_PROCESSED = env.str("BOUNCE_IMAP_PROCESSED", default="")  # folder for applied mails; empty: marked seen


def _long_secret(name: str) -> str:
    value = env.str(name, default="")
    if value and (len(value) < 20 or not value.replace("-", "").replace("_", "").isalnum()):
        raise ImproperlyConfigured(f"{name} must be 20 or more letters and digits: it stands in an address.")
    return str(value)


FEEDBACK_SECRET = _long_secret("FEEDBACK_SECRET")  # in the webhooks' addresses; empty: no such address exists
FEEDBACK_PER_SECOND = _number("FEEDBACK_PER_SECOND", 100, 0, 1_000_000)  # posts of one address, in a process
SNS_TOPICS = env.list("SNS_TOPICS", default=[])  # Amazon SNS topics (ARN) whose posts are taken; empty: all signed ones
# ANYMAIL_WEBHOOK_SECRET, ANYMAIL_MAILGUN_WEBHOOK_SIGNING_KEY …: as django-anymail names them, for signed webhooks.
ANYMAIL = {name.removeprefix("ANYMAIL_"): value for name, value in os.environ.items() if name.startswith("ANYMAIL_")}


def _networks(name: str) -> list[IPv4Network | IPv6Network]:
    try:
        return [ip_network(text.strip()) for text in env.list(name, default=[])]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must list networks like 10.1.0.0/16: {error}") from error


# --- Requests to addresses that people typed in (webhooks) ----------------------------------------
OUTGOING_ALLOW = _networks("OUTGOING_ALLOW")  # reachable although they are not on the public internet

# --- Watching it -----------------------------------------------------------------------------------
METRICS_TOKEN = _long_secret("METRICS_TOKEN")  # a scraper brings it; without it and METRICS_ALLOW there is no /metrics
METRICS_ALLOW = _networks("METRICS_ALLOW")  # or it comes from there

# --- Audit ------------------------------------------------------------------------------------------
# The first key signs, all of them prove; whoever can write to the database must not know them.
AUDIT_KEYS = env.list("AUDIT_KEY", default=[])
if any(len(key) < 20 for key in AUDIT_KEYS):
    raise ImproperlyConfigured("AUDIT_KEY must be 20 or more random characters; after a change: the new,the old.")
AUDIT_KEYS = AUDIT_KEYS or [SECRET_KEY, *SECRET_KEY_FALLBACKS]
AUDIT_TRIGGERS = _switch("AUDIT_TRIGGERS", True)  # the database refuses changes, too; off where tests empty tables
KEEP_AUDIT_DAYS = _number("KEEP_AUDIT_DAYS", 731, 183, 36_500)

# --- Tracking -------------------------------------------------------------------------------------
TRACKING_DAYS = _number("TRACKING_DAYS", 60, 1, 3650)  # links, mirror and opens of a delivery work that long
TRACKING_PER_SECOND = _number("TRACKING_PER_SECOND", 200, 0, 1_000_000)  # of one address, in a process; 0: no limit
LETTER_PER_SECOND = _number("LETTER_PER_SECOND", 10, 0, 1_000_000)  # of one letter or proof, from all addresses
FIGURES_MINUTES = _number("FIGURES_MINUTES", 60, 1, 1440)  # between two refreshes of open and click rates
KEEP_LOGS_DAYS = _number("KEEP_LOGS_DAYS", 183, 8, 36_500)  # sending, exclusion and tracking logs; figures stay
KEEP_DELIVERIES_DAYS = _number("KEEP_DELIVERIES_DAYS", 731, 8, 36_500)
KEEP_ALERTS_DAYS = _number("KEEP_ALERTS_DAYS", 31, 1, 36_500)
KEEP_EVENTS_DAYS = _number("KEEP_EVENTS_DAYS", 31, 1, 36_500)  # reports that nothing matched

# --- Mail to staff (confirmation requests, alerts); deliveries leave through a Routing ------------
try:
    vars().update(env.email_url("EMAIL_URL", default="consolemail://"))
except Exception as error:
    raise ImproperlyConfigured(f"EMAIL_URL cannot be read: {error}") from error
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="back-office@localhost")

# --- Web ------------------------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],  # the nonce appears on pages that ask for one; none of ours needs to
        "style-src": [SELF, NONCE],
        "script-src-attr": [NONE],
        "style-src-attr": [NONE],
        "connect-src": [SELF],
        "worker-src": [NONE],
        "img-src": [SELF, "data:"],  # the admin's own style sheets draw icons as data: images
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        **({"upgrade-insecure-requests": True} if HTTPS else {}),
    }
}
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^metrics$"]  # asked on the loopback, by programs
BEHIND_PROXY = _switch("BEHIND_PROXY", False)  # trust its X-Forwarded-Proto and -For
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
LANGUAGE_COOKIE_SECURE = HTTPS
LANGUAGE_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = _number("SESSION_HOURS", 24, 1, 720) * 3600
SESSION_COOKIE_NAME = "deliveries_session"
CSRF_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 12 * 1024 * 1024  # a message of 5 MB and its form
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
FILE_UPLOAD_TEMP_DIR = None

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # served from the apps' own folders: no collecting step to forget

API_PER_MINUTE = _number("API_PER_MINUTE", 1200, 1, 1_000_000)  # requests of one token, or one person
API_ANONYMOUS_PER_MINUTE = _number("API_ANONYMOUS_PER_MINUTE", 60, 1, 1_000_000)  # … of one address without either
KNOX_TOKEN_MODEL = "campaigns.ApiToken"  # noqa: S105 - a model
MIGRATION_MODULES = {"knox": None}  # else its own table of tokens would be made, though a model of ours takes its place
DRF_STANDARDIZED_ERRORS = {"EXCEPTION_FORMATTER_CLASS": "campaigns.api.problem_details.Formatter"}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "campaigns.accounts.api_tokens.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["campaigns.api.rate_limits.Limits"],
    "DEFAULT_SCHEMA_CLASS": "campaigns.api.openapi.Schema",
    "EXCEPTION_HANDLER": "campaigns.api.problem_details.handle",
    "DEFAULT_PAGINATION_CLASS": "campaigns.api.base.KeyPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PARSER_CLASSES": ["campaigns.api.base.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Deliveries back office",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,  # what is read and what is written differ
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "campaigns.api.openapi.loosen"],
    "ENUM_NAME_OVERRIDES": {
        "ReasonEnum": "deliveries.models.states.Reason",
        "CampaignStatusEnum": "campaigns.models.Campaign.Status",
        "SendingLogStatusEnum": "deliveries.models.states.LogStatus",
    },
}

# --- Language and time ----------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("fr", "Français"), ("ja", "日本語")]
LOCALE_PATHS = [BASE_DIR / "config" / "locale"]
USE_I18N = True
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
try:
    ZoneInfo(TIME_ZONE)
except (ZoneInfoNotFoundError, ValueError) as error:
    raise ImproperlyConfigured(f"TIME_ZONE is {TIME_ZONE!r}; it must be an IANA name like Europe/Paris.") from error
USE_TZ = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {  # in neither does an address appear
        "text": {"()": "config.log_format.Line", "format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
        "json": {"()": "config.log_format.Json"},
    },
    "filters": {"ids": {"()": "campaigns.core.web.log_context.Ids"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "filters": ["ids"],
            "formatter": _choice("LOG_FORMAT", "text", ("text", "json")),
        }
    },
    "loggers": {"django-q": {"level": "WARNING"}},  # else two lines for each of the watchdog's ticks
    "root": {"handlers": ["stderr"], "level": _choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))},
}
