"""The kinds of endpoint: by which host each is reached, and what it takes.

A shared endpoint answers on the region's host, a dedicated one on its own, and
one behind Private Service Connect on an address in the caller's network. On
loopback, the region's host is the first port; the second is every dedicated
host and every private address. A request that carries a dedicated host's name
in `Host` is taken for that host on either port.

Source: Vertex AI, "Choose an inference endpoint type"; endpoint.proto,
`dedicated_endpoint_enabled`, `client_connection_config`
"""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from local_cloud.documents import Document
from local_cloud.google_http import ApiError, Request

SHARED_MAX_BYTES = 1_572_864
"""A shared endpoint takes 1.5 MB, which it counts as 1.5 MiB."""
OWN_MAX_BYTES = 10 * 1024 * 1024
SHARED_TIMEOUT_S = 60.0
OWN_TIMEOUT_S = 600.0
"""Unless the endpoint says otherwise."""
LONGEST_TIMEOUT_S = 3600.0

_OWN_HOST = ".prediction.vertexai.goog"
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s")
_CONNECT = "privateServiceConnectConfig"


class Door(Enum):
    """Which host a request came in by."""

    SHARED = "shared"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Kind:
    """What one endpoint takes.

    Attributes:
        door: The only host that answers for it.
        request_max_bytes: A longer body is refused.
        timeout_s: A longer prediction is given up.
    """

    door: Door
    request_max_bytes: int
    timeout_s: float


def kind_of(endpoint: Mapping[str, object], *, shared_timeout_s: float) -> Kind:
    """Return what the endpoint takes."""
    if not endpoint.get("dedicatedEndpointEnabled") and not _is_private(endpoint):
        return Kind(Door.SHARED, SHARED_MAX_BYTES, shared_timeout_s)
    return Kind(Door.OWN, OWN_MAX_BYTES, inference_timeout_s(endpoint))


def inference_timeout_s(endpoint: Mapping[str, object]) -> float:
    """Read `clientConnectionConfig.inferenceTimeout`, a Duration in JSON.

    Raises:
        ApiError: It is none, or beyond an hour.
    """
    config = endpoint.get("clientConnectionConfig")
    text = config.get("inferenceTimeout") if isinstance(config, dict) else None
    if text is None:
        return OWN_TIMEOUT_S
    found = _DURATION.fullmatch(str(text))
    if found is None or not 0 < float(found[1]) <= LONGEST_TIMEOUT_S:
        sentence = (
            "client_connection_config.inference_timeout: expected a duration of up "
            f"to {LONGEST_TIMEOUT_S:g} s, {text!r} came"
        )
        raise ApiError("INVALID_ARGUMENT", sentence)
    return float(found[1])


def own_fields(name: str, body: Mapping[str, object]) -> Document:
    """Return what Vertex AI itself writes about how an endpoint is reached."""
    inference_timeout_s(body)
    parts = name.split("/")
    number = zlib.crc32(parts[1].encode())
    fields: Document = {}
    if body.get("dedicatedEndpointEnabled"):
        host = f"{parts[-1]}.{parts[3]}-{number}{_OWN_HOST}"
        fields["dedicatedEndpointDns"] = host
    config = body.get(_CONNECT)
    if isinstance(config, dict) and _is_private(body):
        attachment = f"projects/{number:x}-tp/regions/{parts[3]}/serviceAttachments"
        attachment = f"{attachment}/gkedpm-{zlib.crc32(name.encode()):x}"
        fields[_CONNECT] = {**config, "serviceAttachment": attachment}
    return fields


def door_of(request: Request, port: Door) -> Door:
    """Tell which host the request was for: by its name, or else by its port."""
    return Door.OWN if _host(request).endswith(_OWN_HOST) else port


def check_door(request: Request, endpoint: Mapping[str, object], port: Door) -> None:
    """Refuse a request that came in by another host than the endpoint's.

    Raises:
        ApiError: As the region's host, or as somebody else's own host, says it.
    """
    door = door_of(request, port)
    right = kind_of(endpoint, shared_timeout_s=SHARED_TIMEOUT_S).door
    dns = str(endpoint.get("dedicatedEndpointDns", ""))
    is_another = _host(request).endswith(_OWN_HOST) and _host(request) != dns
    if door is Door.SHARED and right is Door.OWN:
        raise moved(dns)
    if door is not right or is_another:
        sentence = f"The Endpoint does not exist: {endpoint['name']}"
        raise ApiError("NOT_FOUND", sentence)


def moved(dns: str) -> ApiError:
    """Make what the region's host says of an endpoint that is not its own."""
    if not dns:
        sentence = "Private Service Connect Endpoint cannot be accessed"
        return ApiError(
            "FAILED_PRECONDITION", f"{sentence} through the shared Vertex AI domain."
        )
    sentence = (
        "Dedicated Endpoint cannot be accessed through the shared Vertex AI domain "
        "aiplatform.googleapis.com. Please access the endpoint using its dedicated "
        f"domain name '{dns}'"
    )
    return ApiError("FAILED_PRECONDITION", sentence)


def _is_private(endpoint: Mapping[str, object]) -> bool:
    config = endpoint.get(_CONNECT)
    return isinstance(config, dict) and bool(config.get("enablePrivateServiceConnect"))


def _host(request: Request) -> str:
    return request.headers.get("host", "").partition(":")[0].lower()
