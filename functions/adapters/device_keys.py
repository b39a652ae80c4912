"""Check devices' signatures, and remember their records for a while.

Unknown devices are looked up each time: a gateway reports seconds after it
enrolled, and must not be told off for what was true before. So is one whose
signature does not fit what is remembered: it may have a new key. And so is one that
was revoked: it may have been invited anew.
"""

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from functions.adapters.device_register import DeviceRegister
from functions.adapters.storage import ObjectStore
from functions.errors import DeviceRefusedError
from functions.release.device_record import DeviceRecord
from packhorse.errors import UntrustedError
from packhorse.report import Envelope

FRESH_S = 60.0
"""How long a device that was revoked may still be believed."""

KEYS_MAX = 10_000
"""About 10 MB."""


class DeviceKeys:
    """The registered keys, in one bucket."""

    def __init__(
        self, store: ObjectStore, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Look keys up in `store`."""
        self._register = DeviceRegister(store)
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[float, DeviceRecord]] = OrderedDict()

    def check(self, envelope: Envelope, *, purpose: str = "report") -> DeviceRecord:
        """Return the record of the device that signed the envelope.

        Raises:
            UntrustedError: No such device is enrolled, or it did not sign this.
            DeviceRefusedError: It was revoked.
            UpstreamUnavailableError: It cannot be looked up now.
        """
        remembered = self._remembered(envelope.device)
        if remembered is not None:
            with contextlib.suppress(UntrustedError, DeviceRefusedError):
                remembered.check_signed(envelope, purpose=purpose)
                return remembered
        record = self._look_up(envelope.device)
        record.check_signed(envelope, purpose=purpose)
        return record

    def _remembered(self, device: str) -> DeviceRecord | None:
        with self._lock:
            until, record = self._known.get(device, (float("-inf"), None))
        return record if self._clock() < until else None

    def _look_up(self, device: str) -> DeviceRecord:
        record = self._register.read(device)
        with self._lock:
            self._known[device] = (self._clock() + FRESH_S, record)
            self._known.move_to_end(device)
            if len(self._known) > KEYS_MAX:
                self._known.popitem(last=False)
        return record
