"""Read a function's settings into values that cannot be wrong.

Each loader takes the environment as a mapping and names every variable that it
reads literally: `tests/functions/test_deploy_yaml.py` follows entry file,
`wiring.py` and this module, and holds `deploy.yaml` to exactly those names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from functions.errors import SettingsError

_DAY_S = 86_400
_REPOSITORY = re.compile(r"[a-z0-9.-]+(:[0-9]+)?/[a-z0-9:.-]+/[a-z0-9._-]+")
_VARIANT = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class CallerSettings:
    """Whose tokens a function accepts.

    Attributes:
        issuer: The tokens' `iss`.
        certs_url: Where the issuer publishes its keys, as a JWKS.
        audience: This function's own URL: the tokens' `aud`.
        allowed_callers: The tokens' `email`, any of these.
    """

    issuer: str
    certs_url: str
    audience: str
    allowed_callers: frozenset[str]


@dataclass(frozen=True, slots=True)
class NoticeSettings:
    """Which of the registry's notices concern us.

    Attributes:
        repository: `HOST/PROJECT/REPOSITORY` that holds the models.
        max_age_s: Older notices are refused: they come from a backlog that
            nobody looked at, and what they announce may be long superseded.
        variants: What every release is packaged as.
    """

    repository: str
    max_age_s: int
    variants: tuple[str, ...]


def caller_settings(env: Mapping[str, str]) -> CallerSettings:
    """Read whose tokens this function accepts."""
    return CallerSettings(
        issuer=text(env, "OIDC_ISSUER", "https://accounts.google.com"),
        certs_url=url(
            env, "OIDC_CERTS_URL", "https://www.googleapis.com/oauth2/v3/certs"
        ),
        audience=text(env, "FUNCTION_AUDIENCE"),
        allowed_callers=frozenset(words(env, "ALLOWED_CALLERS")),
    )


def ledger_url(env: Mapping[str, str]) -> str:
    """Read where the ledger is, as a SQLAlchemy URL."""
    return text(env, "LEDGER_URL")


def project(env: Mapping[str, str]) -> str:
    """Read the Google Cloud project that owns the topics."""
    return text(env, "GOOGLE_CLOUD_PROJECT")


def bundle_bucket(env: Mapping[str, str]) -> str:
    """Read the bucket that gateways read: metadata and bundles."""
    return text(env, "BUNDLE_BUCKET")


def device_bucket(env: Mapping[str, str]) -> str:
    """Read the bucket that gateways cannot read: device keys, enrolments."""
    return text(env, "DEVICE_BUCKET")


def notice_settings(env: Mapping[str, str]) -> NoticeSettings:
    """Read which of the registry's notices concern us."""
    return NoticeSettings(
        repository=model_repository(env),
        max_age_s=integer(env, "NOTICE_MAX_AGE_S", _DAY_S, low=60),
        variants=variants(env),
    )


def model_repository(env: Mapping[str, str]) -> str:
    """Read `HOST/PROJECT/REPOSITORY`, as notices name it."""
    value = text(env, "MODEL_REPOSITORY")
    if not _REPOSITORY.fullmatch(value):
        raise SettingsError(
            "MODEL_REPOSITORY must be HOST/PROJECT/REPOSITORY, as in "
            f"europe-west4-docker.pkg.dev/my-project/models; it is {value!r}"
        )
    return value


def variants(env: Mapping[str, str]) -> tuple[str, ...]:
    """Read what every release is packaged as."""
    names = words(env, "VARIANTS", "fp32")
    for name in names:
        if not _VARIANT.fullmatch(name):
            raise SettingsError(f"VARIANTS must be names like fp32; one is {name!r}")
    return names


# -- how one variable is read; every loader above and below uses only these --


def text(env: Mapping[str, str], name: str, default: str | None = None) -> str:
    """Read a variable that must not be empty.

    Raises:
        SettingsError: It is unset or empty, and there is no default.
    """
    value = env.get(name, "").strip() or default
    if not value:
        raise SettingsError(f"{name} is not set; deploy.yaml lists what is needed")
    return value


def optional(env: Mapping[str, str], name: str) -> str:
    """Read a variable that may be unset: then it is an empty string."""
    return env.get(name, "").strip()


def url(env: Mapping[str, str], name: str, default: str | None = None) -> str:
    """Read an http(s) URL; a trailing slash is dropped."""
    value = text(env, name, default)
    if not value.startswith(("https://", "http://")):
        raise SettingsError(f"{name} must be an http(s) URL; it is {value!r}")
    return value.rstrip("/")


def words(
    env: Mapping[str, str], name: str, default: str | None = None
) -> tuple[str, ...]:
    """Read a comma-separated list that must not be empty."""
    parts = (part.strip() for part in text(env, name, default).split(","))
    found = tuple(part for part in parts if part)
    if not found:
        raise SettingsError(f"{name} lists nothing; separate entries by commas")
    return found


def integer(env: Mapping[str, str], name: str, default: int, *, low: int = 0) -> int:
    """Read a whole number of at least `low`."""
    value = text(env, name, str(default))
    if not re.fullmatch(r"[0-9]{1,12}", value) or int(value) < low:
        raise SettingsError(
            f"{name} must be a whole number of at least {low}; it is {value!r}"
        )
    return int(value)


def number(
    env: Mapping[str, str], name: str, default: float, *, low: float = 0.0
) -> float:
    """Read a number of at least `low`."""
    value = text(env, name, str(default))
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", value) or float(value) < low:
        raise SettingsError(
            f"{name} must be a number of at least {low}; it is {value!r}"
        )
    return float(value)
