"""What a supervisor tells a worker that it starts."""

from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.settings.access_settings import AccessSettings
from edge_runtime.settings.serve_settings import (
    ContainerSettings,
    Limits,
    LogSettings,
    ServeSettings,
)


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What the supervisor tells a worker.

    Attributes:
        slot: Name of the slot to serve; "" for none.
        reason: Why none is served, for those who ask.
        models_dir: Models beside the slot's.
        processes: How many processes answer, this one included.
        access: What clients must show: hashes of tokens, never a token.
        control_fd: Its line to the supervisor; known once it is started.
    """

    listener_fd: int
    state_dir: str
    slot: str
    reason: str
    drain_s: float
    stop_s: float
    limits: Limits
    container: ContainerSettings | None
    models_dir: Path | None = None
    allow_load: bool = False
    processes: int = 1
    access: AccessSettings | None = None
    prediction_log: LogSettings = field(default_factory=LogSettings)
    control_fd: int = -1


def config_of(
    settings: ServeSettings, *, listener_fd: int, slot: str, reason: str
) -> WorkerConfig:
    """Return what a worker on `slot` is told."""
    return WorkerConfig(
        listener_fd=listener_fd,
        state_dir=str(settings.state_dir),
        slot=slot,
        reason=reason,
        drain_s=settings.drain_s,
        stop_s=settings.stop_s,
        limits=settings.limits,
        container=settings.container,
        models_dir=settings.models_dir,
        allow_load=settings.allow_load,
        processes=settings.processes,
        access=settings.access,
        prediction_log=settings.prediction_log,
    )
