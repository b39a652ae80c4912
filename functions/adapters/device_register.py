"""The devices' records, in one bucket: read as they are now, replaced if unchanged.

Source: docs/adr/0005-device-keys-lie-in-a-bucket.md
"""

from dataclasses import dataclass

from functions.adapters.storage import ObjectStore
from functions.errors import ConflictError, UpstreamRefusedError
from functions.release.device_record import (
    RECORD_MAX_BYTES,
    DeviceRecord,
    decode_device,
    device_name,
    encode_device,
)
from packhorse.errors import MalformedError, UntrustedError

_ABSENT = 0


@dataclass(frozen=True, slots=True)
class Registered:
    """A record and the generation that it was read with."""

    record: DeviceRecord
    generation: int


class DeviceRegister:
    """The records of all devices."""

    def __init__(self, store: ObjectStore) -> None:
        """Keep them in `store`."""
        self._store = store

    def find(self, device: str) -> Registered | None:
        """Return what is known of a device, or None.

        Raises:
            UpstreamUnavailableError: It cannot be looked up now.
        """
        found = self._store.read_with_generation(device_name(device), RECORD_MAX_BYTES)
        if found is None:
            return None
        return Registered(_decode(found[0], device), found[1])

    def read(self, device: str) -> DeviceRecord:
        """Return a device's record as it is now.

        Raises:
            UntrustedError: No such device is enrolled.
            UpstreamUnavailableError: It cannot be looked up now.
        """
        body = self._store.read(device_name(device), RECORD_MAX_BYTES)
        if body is None:
            raise UntrustedError(f"no device {device} is enrolled")
        return _decode(body, device)

    def save(self, record: DeviceRecord, *, instead_of: Registered | None) -> None:
        """Write a record, in the place of the one that it was decided upon.

        Raises:
            ConflictError: Another writer came first.
            UpstreamUnavailableError: Perhaps written, perhaps not.
        """
        generation = instead_of.generation if instead_of else _ABSENT
        body = encode_device(record)
        if not self._store.write_if_generation(
            device_name(record.device), body, generation
        ):
            raise ConflictError(
                f"the record of {record.device} changed meanwhile; try again"
            )


def _decode(body: bytes, device: str) -> DeviceRecord:
    try:
        return decode_device(body)
    except MalformedError as error:
        # Not the sender's fault.
        raise UpstreamRefusedError(f"the record of {device} is broken") from error
