"""The last live requests with their answers, kept for a candidate's shadow run.

They stay in memory; the supervisor's `recent` order writes them to a file that
the agent names. Requests with text tensors are left out: an npz archive holds
text as Python objects, which nobody here reads.
"""

import io
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edge_runtime import durable

KEPT = 32
KEPT_MAX_BYTES = 64 * 1024**2
"""Memory that the kept arrays may take; the oldest go first."""

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request with its answer."""

    at_s: float
    inputs: Arrays
    outputs: Arrays
    size_bytes: int

    def describe(self) -> dict[str, object]:
        """Return when it was, and shapes: no payload leaves by the status page."""
        return {
            "at": datetime.fromtimestamp(self.at_s, UTC).isoformat(timespec="seconds"),
            "inputs": {name: list(a.shape) for name, a in self.inputs.items()},
            "outputs": {name: list(a.shape) for name, a in self.outputs.items()},
        }


class RecentExchanges:
    """A bounded memory; safe to use from several threads."""

    def __init__(self) -> None:
        """Start empty."""
        self._kept: deque[Exchange] = deque()
        self._size_bytes = 0
        self._lock = threading.Lock()

    def add(self, inputs: Arrays, outputs: Arrays, *, at_s: float) -> None:
        """Keep one exchange, and let the oldest go where there are too many."""
        size_bytes = 0
        for array in inputs.values():
            size_bytes += array.nbytes
        for array in outputs.values():
            size_bytes += array.nbytes
        if size_bytes > KEPT_MAX_BYTES:
            return
        with self._lock:
            self._kept.append(Exchange(at_s, inputs, outputs, size_bytes))
            self._size_bytes += size_bytes
            while len(self._kept) > KEPT or self._size_bytes > KEPT_MAX_BYTES:
                self._size_bytes -= self._kept.popleft().size_bytes

    def all(self) -> list[Exchange]:
        """Return what is kept, the oldest first."""
        with self._lock:
            return list(self._kept)

    def save(self, path: Path) -> int:
        """Write what is kept to an npz archive at `path`.

        Arrays are named `i.<k>.input.<name>` and `i.<k>.output.<name>`, k from 0.

        Returns:
            How many exchanges were written.
        """
        plain = [x for x in self.all() if _is_plain(x.inputs) and _is_plain(x.outputs)]
        arrays: dict[str, np.ndarray] = {}
        for index, exchange in enumerate(plain):
            for name, array in exchange.inputs.items():
                arrays[f"i.{index}.input.{name}"] = array
            for name, array in exchange.outputs.items():
                arrays[f"i.{index}.output.{name}"] = array
        body = io.BytesIO()
        np.savez(body, allow_pickle=False, **arrays)
        durable.write_file(path, body.getvalue(), mode=0o600)
        return len(plain)


def _is_plain(arrays: Arrays) -> bool:
    return all(array.dtype.kind in "biuf" for array in arrays.values())
