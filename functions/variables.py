"""Read one environment variable; a missing or wrong one names itself."""

import json
import re
from collections.abc import Mapping

from functions.errors import SettingsError

_ENDPOINT = re.compile(r"projects/[^/]+/locations/[^/]+/endpoints/[^/]+")
_KEY_URI = re.compile(r"[a-z][a-z0-9]*:[^\s]{1,500}")


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


def google_url(env: Mapping[str, str], emulator: str, url: str) -> str:
    """Return where a service of Google's answers, as its own client would find it.

    Args:
        env: The environment.
        emulator: The variable that leads to an emulator: a host, or a URL.
        url: Where the service is otherwise.
    """
    host = optional(env, emulator) or url
    return (host if "://" in host else f"http://{host}").rstrip("/")


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


def objects(env: Mapping[str, str], name: str) -> Mapping[str, object]:
    """Read a JSON object that must not be empty: something by model."""
    try:
        value = json.loads(text(env, name))
    except ValueError as error:
        raise SettingsError(f"{name} must be JSON: an object by model") from error
    if not isinstance(value, dict) or not value:
        raise SettingsError(f"{name} must be an object by model, and name one")
    return value


def share(env: Mapping[str, str], name: str, default: float = 0.0) -> float:
    """Read a share: a number from 0 to 1."""
    value = number(env, name, default)
    if value > 1:
        raise SettingsError(f"{name} must be a share from 0 to 1; it is {value}")
    return value


def by_model(env: Mapping[str, str], name: str) -> Mapping[str, object]:
    """Read a JSON object by model that may be unset: then it is empty."""
    return objects(env, name) if optional(env, name) else {}


def endpoint(named: object, which: str) -> str:
    """Return the name of the `which` endpoint out of one entry of MODEL_ENDPOINTS.

    It stands there by itself, or as the "name" of an object that says more.
    """
    found = named.get(which) if isinstance(named, dict) else None
    name = found.get("name") if isinstance(found, dict) else found
    if not isinstance(name, str) or not _ENDPOINT.fullmatch(name):
        raise SettingsError(
            f"MODEL_ENDPOINTS must give each model a {which!r} endpoint as "
            f"projects/P/locations/L/endpoints/E; one is {name!r}"
        )
    return name


def key_uri(uri: object, name: str) -> str:
    """Return a key's URI as the variable `name` gives it."""
    if not isinstance(uri, str) or not _KEY_URI.fullmatch(uri):
        # The value is not shown: a person may have pasted the key itself.
        raise SettingsError(
            f"{name} must name keys as file2:/PATH or gcpkms:projects/.../versions/1"
        )
    return uri
