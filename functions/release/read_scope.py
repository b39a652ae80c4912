"""Decide what a device may read of the bucket, and whether it asked just now.

Source: docs/protocol.md, 6.4 "The read token", and 8 "The repository"
"""

from datetime import datetime, timedelta

from functions.errors import DeviceRefusedError
from functions.release.device_record import DeviceRecord
from packhorse.device_requests import TokenRequest

WINDOW = timedelta(minutes=5)
"""How far a device's clock may stand from ours. Who can repeat a request has seen
the answer too: the window is how much longer that answer can be had again."""


def readable_prefixes(model: str) -> tuple[str, ...]:
    """Return how the names of the objects begin that concern one model.

    A rollout document's name begins with its hash, so those of all models go
    together; they hold what every gateway of the fleet may know.
    """
    return ("metadata/", "targets/rollouts/", f"targets/bundles/{model}/")


def check_request(
    request: TokenRequest, record: DeviceRecord, *, now: datetime
) -> None:
    """Accept a signed request that was made just now, for a model of the device's.

    Raises:
        DeviceRefusedError: It is of another time: the answer tells ours, so that
            a device whose clock is wrong can sign again. Or the model is not
            among those that the device was invited for.
    """
    if abs(now - request.at) > WINDOW:
        raise DeviceRefusedError(
            f"{record.device} asked at {request.at.isoformat()}, it is "
            f"{now.isoformat()}; sign again with this time",
            now=now.isoformat(),
        )
    if record.models and request.model not in record.models:
        raise DeviceRefusedError(
            f"{record.device} was invited for {', '.join(record.models)}, "
            f"not for {request.model}"
        )
