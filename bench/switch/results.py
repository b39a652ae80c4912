"""What a run found, as it is kept in a file."""

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Window:
    """Some time under load.

    Attributes:
        count: Requests that were sent in it.
        p50_ms: Median of the time to their answers.
        p99_ms: Time that one in a hundred took longer than.
        most_ms: The longest.
    """

    count: int
    p50_ms: float
    p99_ms: float
    most_ms: float


@dataclass(frozen=True, slots=True)
class Switch:
    """One switch, and the control beside it.

    Attributes:
        took_s: From the order to the supervisor's word that it is done.
        start_cpu_s: CPU time that the new worker had used by then.
        burned_cpu_s: What the idle-priority process used in the control window.
        window: From the order on.
        control: As long, without a switch.
    """

    took_s: float
    start_cpu_s: float
    burned_cpu_s: float
    window: Window
    control: Window


@dataclass(frozen=True, slots=True)
class Memory:
    """What the gateway's processes hold, in MiB.

    Attributes:
        alone_mib: Their proportional share on a machine where nobody else maps the
            same files.
    """

    alone_mib: float
    pss_mib: float
    processes: int


@dataclass(frozen=True, slots=True)
class Results:
    """One run.

    Attributes:
        requests: Right answers in the whole run.
        failed: Requests that came to nothing, or were answered wrongly, but for
            those that a worker held when it was made to crash.
        examples: How the first of those failed.
        memory: Before the first switch, beside a warm worker, and after the last.
        lost: Requests that the crashes took along.
        rolled_back_s: Times from an event to the former release's first answer, by
            the kind of event.
    """

    at: str
    machine: str
    connections: int
    per_s: float
    window_s: float
    requests: int
    failed: int
    examples: list[str]
    switches: list[Switch]
    memory: dict[str, Memory]
    rolled_back_s: dict[str, list[float]] = field(default_factory=dict)
    lost: int = 0

    def values(self, kind: str, measure: str) -> list[float]:
        """Return a measure of all windows of a kind, by switch."""
        windows = [s.window if kind == "window" else s.control for s in self.switches]
        return [float(asdict(window)[measure]) for window in windows]

    def ratio(self, measure: str) -> float:
        """Return the median over switches of a measure by that of its control."""
        pairs = zip(
            self.values("window", measure), self.values("control", measure), strict=True
        )
        return statistics.median(ours / max(control, 1e-9) for ours, control in pairs)

    def median(self, kind: str, measure: str) -> float:
        """Return the median of a measure over all windows of a kind."""
        return statistics.median(self.values(kind, measure))


def save_results(results: Results, path: Path) -> None:
    """Write a run to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(results), indent=1) + "\n")


def load_results(path: Path) -> Results:
    """Read a run from a file."""
    found = json.loads(path.read_text())
    switches = [
        Switch(
            **{**s, "window": Window(**s["window"]), "control": Window(**s["control"])}
        )
        for s in found["switches"]
    ]
    memory = {name: Memory(**m) for name, m in found["memory"].items()}
    return Results(**{**found, "switches": switches, "memory": memory})
