"""What a supervisor tells a worker that it starts: one command line argument."""

import json
from dataclasses import asdict, dataclass

from edge_runtime.settings import ContainerSettings, Limits


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What the supervisor tells a worker on its command line.

    Attributes:
        slot: Name of the slot to serve; "" for none.
        reason: Why none is served, for those who ask.
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
    control_fd: int = -1

    def encode(self) -> str:
        """Write the configuration as one command line argument."""
        return json.dumps(asdict(self))


def decode_config(text: str) -> WorkerConfig:
    """Read what `WorkerConfig.encode` wrote."""
    fields = json.loads(text)
    container = fields.pop("container")
    return WorkerConfig(
        limits=Limits(**fields.pop("limits")),
        container=ContainerSettings(**container) if container else None,
        **fields,
    )
