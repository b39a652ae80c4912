"""The bodies that Artifact Registry publishes on the topic `gcr`.

Source: Artifact Registry, "Configure Pub/Sub notifications"
"""

import json

TOPIC = "gcr"
"""Artifact Registry's topic always has this name, one per project."""


def _encode(fields: dict[str, str]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def version_pushed(image: str, digest: str) -> bytes:
    """Say that `image` (HOST/REPOSITORY) holds a new manifest."""
    return _encode({"action": "INSERT", "digest": f"{image}@{digest}"})


def tag_pushed(image: str, digest: str, tag: str) -> bytes:
    """Say that a tag of `image` names a manifest now."""
    return _encode(
        {"action": "INSERT", "digest": f"{image}@{digest}", "tag": f"{image}:{tag}"}
    )


def tag_deleted(image: str, tag: str) -> bytes:
    """Say that a tag of `image` is gone."""
    return _encode({"action": "DELETE", "tag": f"{image}:{tag}"})


def version_deleted(image: str, digest: str) -> bytes:
    """Say that a manifest of `image` is gone.

    Google's page does not show this one; it is to be expected.
    """
    return _encode({"action": "DELETE", "digest": f"{image}@{digest}"})
