"""The last live requests with their answers, kept for a candidate's shadow run.

They stay in memory; the supervisor's `recent` order writes them to a file that
the agent names. Requests with text tensors are left out: an npz archive holds
text as Python objects, which nobody here reads.
"""

import io
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np

from edge_runtime import durable
from edge_runtime.held_bytes import held_bytes
from packhorse.inference.signature import Arrays

KEPT = 32
BURST_S = 1.0
"""Keeping all of thousands a second would cost each, and show the same."""

KEPT_MAX_BYTES = 16 * 1024**2
"""Memory that the kept arrays may keep alive; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request with its answer.

    Attributes:
        took_s: Time from its arrival to its answer; 0 where nobody measured it.
    """

    at_s: float
    inputs: Arrays
    outputs: Arrays
    size_bytes: int
    took_s: float = 0.0


class RecentExchanges:
    """A bounded memory; safe to use from several threads."""

    def __init__(self) -> None:
        """Start empty."""
        self._kept: deque[Exchange] = deque()
        self._size_bytes = 0
        self._lock = threading.Lock()

    def add(
        self, inputs: Arrays, outputs: Arrays, *, at_s: float, took_s: float = 0.0
    ) -> None:
        """Keep one exchange, and let the oldest go where there are too many.

        Of a burst the first are kept: at most `KEPT` in `BURST_S`.
        """
        kept = self._kept
        if len(kept) == KEPT and 0.0 <= at_s - kept[0].at_s < BURST_S:
            return
        size_bytes = 0
        for array in inputs.values():
            size_bytes += held_bytes(array)
        for array in outputs.values():
            size_bytes += held_bytes(array)
        if size_bytes > KEPT_MAX_BYTES:
            return
        with self._lock:
            self._kept.append(Exchange(at_s, inputs, outputs, size_bytes, took_s))
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


def join_saved(path: Path, parts: Sequence[Path], kept: int) -> int:
    """Add to the archive at `path` what others saved, and remove theirs.

    Each gives the newest of its own in turn, until there are `kept`.

    Returns:
        How many exchanges `path` has then.
    """
    archives = [_load_exchanges(part) for part in (path, *parts)]
    newest = [x for turn in zip_longest(*archives) for x in turn if x is not None]
    arrays = {
        f"i.{index}.{name}": array
        for index, exchange in enumerate(reversed(newest[:kept]))
        for name, array in exchange.items()
    }
    body = io.BytesIO()
    np.savez(body, allow_pickle=False, **arrays)
    durable.write_file(path, body.getvalue(), mode=0o600)
    for part in parts:
        part.unlink()
    return min(kept, len(newest))


def _load_exchanges(path: Path) -> list[dict[str, np.ndarray]]:
    """Return what `save` wrote, the newest first, by the rest of each name."""
    found: dict[int, dict[str, np.ndarray]] = {}
    with np.load(path, allow_pickle=False) as archive:
        for key in archive.files:
            _, index, name = key.split(".", 2)
            found.setdefault(int(index), {})[name] = archive[key]
    return [found[index] for index in sorted(found, reverse=True)]


def _is_plain(arrays: Arrays) -> bool:
    return all(array.dtype.kind in "biuf" for array in arrays.values())
