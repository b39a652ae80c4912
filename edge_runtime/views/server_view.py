"""What the status page, the metrics and the API document tell of a server.

Plain data: made from what serves at the moment of asking, by one process of
itself or of several together.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from resource import getpagesize
from typing import TypedDict

import numpy as np

from edge_runtime.counts import Counts
from edge_runtime.measures import ModelMeasures
from edge_runtime.settings.serve_settings import ContainerSettings, Limits
from packhorse.inference.signature import Signature

CLASSES_SHOWN = 3
_SCORES_NDIM = 2
"""Rows by classes."""

Shapes = Mapping[str, tuple[int, ...]]


class PlainProcess(TypedDict):
    """What a process used, as it tells another."""

    cpu_s: float
    resident_bytes: int
    count: int


@dataclass(frozen=True, slots=True)
class ProcessView:
    """What the serving processes used.

    Attributes:
        cpu_s: Seconds of processor time.
        resident_bytes: Memory; pages that processes share count in each.
        count: How many processes there are.
    """

    cpu_s: float
    resident_bytes: int
    count: int = 1

    def to_plain(self) -> PlainProcess:
        """Return what another process needs to add these to its own."""
        return {
            "cpu_s": self.cpu_s,
            "resident_bytes": self.resident_bytes,
            "count": self.count,
        }

    def plus(self, plain: PlainProcess) -> "ProcessView":
        """Return what this and another process used together."""
        return ProcessView(
            self.cpu_s + plain["cpu_s"],
            self.resident_bytes + plain["resident_bytes"],
            self.count + plain["count"],
        )


def read_process() -> ProcessView:
    """Return what this process used so far.

    Source: Linux, proc_pid_statm(5): the second field is resident pages
    """
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # no /proc in this container
        pages = 0
    return ProcessView(time.process_time(), pages * getpagesize())


@dataclass(frozen=True, slots=True)
class ModelView:
    """One version of one model.

    Attributes:
        release: Name and version as people write them, `magika@2`.
        reason: Why it is not ready; empty when it is.
        is_proven: Whether golden samples ran on this machine.
        is_latest: Whether it answers where no version is named.
        rows_max: Rows that are run together; 1 where it is never batched.
        source: Where it was loaded from.
    """

    name: str
    version: str
    release: str
    signature: Signature
    measures: ModelMeasures
    is_ready: bool = True
    reason: str = ""
    is_proven: bool = True
    is_latest: bool = True
    rows_max: int = 1
    source: str = ""


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answered request, without what was in it.

    Attributes:
        classes: Number of the greatest score in each row, where there are scores.
        took_ms: None where it was not measured.
    """

    at_s: float
    release: str
    inputs: Shapes
    outputs: Shapes
    classes: tuple[int, ...] = ()
    took_ms: float | None = None


@dataclass(frozen=True, slots=True)
class ServerView:
    """A server at one moment.

    Attributes:
        release: What the slot serves; empty where nothing is installed.
        slot: Name of the slot, empty for none.
        reason: Why the server is not ready; empty when it is.
        predictions: The last ones, the newest first.
        log_dropped: Entries that the prediction log had no room for.
        now_s: Unix time.
        needs_token: Whether requests must show one.
    """

    release: str
    slot: str
    reason: str
    models: Sequence[ModelView]
    counts: Counts
    limits: Limits
    predictions: Sequence[Prediction] = ()
    log_dropped: int = 0
    process: ProcessView = field(default_factory=read_process)
    now_s: float = field(default_factory=time.time)
    container: ContainerSettings | None = None
    needs_token: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether it answers for all that it was set up to serve."""
        return not self.reason


def shapes_of(arrays: Mapping[str, np.ndarray]) -> Shapes:
    """Return the shapes of arrays by name."""
    return {name: array.shape for name, array in arrays.items()}


def classes_of(outputs: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    """Return the greatest score's number for the first rows.

    Only of a single output that can be scores: real numbers, rows by classes.
    """
    if len(outputs) != 1:
        return ()
    (scores,) = outputs.values()
    if scores.ndim != _SCORES_NDIM or scores.dtype.kind != "f" or scores.shape[1] <= 1:
        return ()
    return tuple(np.argmax(scores[:CLASSES_SHOWN], axis=1).tolist())
