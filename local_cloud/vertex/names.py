"""Resource names and identifiers, as Vertex AI writes them."""

import re

from local_cloud.google_http import ApiError

LOCATION = r"projects/[^/:@]+/locations/[^/:@]+"

_MODEL = re.compile(rf"(?P<model>{LOCATION}/models/[^/:@]+)(@(?P<version>[^/:@]+))?")
_MODEL_ID = re.compile(r"[a-z_][a-z0-9_-]{0,62}")
_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")
_LABEL = re.compile(r"[\w-]{0,64}")


def split_model_name(name: str) -> tuple[str, str]:
    """Cut `.../models/M@2` into the model's name and the version or alias, or ""."""
    found = _MODEL.fullmatch(name)
    if found is None:
        sentence = (
            "expected a model as projects/P/locations/L/models/M or "
            f"projects/P/locations/L/models/M@VERSION, {name!r} came"
        )
        raise ApiError("INVALID_ARGUMENT", sentence)
    return found["model"], found["version"] or ""


def parent_of(name: str) -> str:
    """Return the location that holds the resource `name`."""
    return name.rsplit("/", 2)[0]


def check_model_id(model_id: str) -> None:
    """Refuse a model id that Vertex AI refuses."""
    if not _MODEL_ID.fullmatch(model_id):
        sentence = f"modelId: expected [a-z_][a-z0-9_-]{{0,62}}, {model_id!r} came"
        raise ApiError("INVALID_ARGUMENT", sentence)


def check_alias(alias: str) -> None:
    """Refuse a version alias that Vertex AI refuses."""
    if not _ALIAS.fullmatch(alias):
        sentence = f"expected an alias as {_ALIAS.pattern}, {alias!r} came"
        raise ApiError("INVALID_ARGUMENT", sentence)


def check_labels(labels: object) -> None:
    """Refuse labels that Vertex AI refuses: only lower case, digits, `_` and `-`."""
    pairs = labels.items() if isinstance(labels, dict) else ()
    for text in [text for pair in pairs for text in pair]:
        if not _LABEL.fullmatch(str(text)) or str(text) != str(text).lower():
            sentence = (
                "labels: expected at most 64 lower case letters, digits, _ and -, "
                f"{text!r} came"
            )
            raise ApiError("INVALID_ARGUMENT", sentence)
