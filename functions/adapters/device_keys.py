"""Look devices' public keys up, and remember them for a while.

Unknown devices are looked up each time: a gateway reports seconds after it
enrolled, and must not be told off for what was true before.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from functions.adapters.storage import ObjectStore
from functions.errors import UpstreamRefusedError
from functions.release.enrolment import RECORD_MAX_BYTES, decode_device, device_name
from packhorse.errors import MalformedError, UntrustedError

FRESH_S = 300.0
"""How long a key that was removed from the bucket may still be believed."""

KEYS_MAX = 10_000
"""About 5 MB."""


class DeviceKeys:
    """The registered keys, in one bucket."""

    def __init__(
        self, store: ObjectStore, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Look keys up in `store`."""
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def find(self, device: str) -> str:
        """Return a device's public key, as PEM.

        Raises:
            UntrustedError: No such device is enrolled.
            UpstreamUnavailableError: It cannot be looked up now.
        """
        with self._lock:
            until, key = self._known.get(device, (float("-inf"), ""))
        if self._clock() < until:
            return key
        key = self._look_up(device)
        with self._lock:
            self._known[device] = (self._clock() + FRESH_S, key)
            self._known.move_to_end(device)
            if len(self._known) > KEYS_MAX:
                self._known.popitem(last=False)
        return key

    def _look_up(self, device: str) -> str:
        body = self._store.read(device_name(device), RECORD_MAX_BYTES)
        if body is None:
            raise UntrustedError(f"no device {device} is enrolled")
        try:
            return decode_device(body).public_key
        except MalformedError as error:
            # Not the sender's fault.
            raise UpstreamRefusedError(f"the record of {device} is broken") from error
