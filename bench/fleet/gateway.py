"""A gateway of the bench: the agent's own code, but for the processes.

It keeps its trusted metadata, slots, memory and reports on disk, as any gateway
does, through the same modules. What it leaves out is trying the model and
switching workers, which cost its own processor and nobody else's, and two of the
reports: that a release was offered, and verified.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from bench.fleet.publisher import MODEL, VARIANT
from edge_runtime.agent.decide import Gateway, Wish, decide
from edge_runtime.agent.identity.enroll import load_identity
from edge_runtime.agent.install import install_bundle
from edge_runtime.agent.machine import Event, Stage
from edge_runtime.agent.memory import Deployment, MemoryFile
from edge_runtime.agent.network.web import Web
from edge_runtime.agent.pull import Downloads
from edge_runtime.agent.report import News, Spool
from edge_runtime.agent.trust.trust import Trust, Truth
from edge_runtime.agent.verify import verify_bundle
from edge_runtime.slots import Slot, open_slots
from packhorse.report import DeviceState

_STATES = (
    DeviceState.DOWNLOADED,
    DeviceState.INSTALLED,
    DeviceState.TRIED,
)


@dataclass(frozen=True, slots=True)
class Share:
    """The gateways that one process plays, one after another.

    Attributes:
        root: The root metadata that they are shipped with.
    """

    folder: Path
    numbers: range
    url: str
    root: bytes


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one poll of each.

    Attributes:
        serving: How many gateways run which version.
        cpu_s: Processor time of all of them.
        failures: What was raised, as sentences; the first few.
    """

    serving: dict[int, int]
    cpu_s: float
    failures: list[str]


def play(share: Share) -> Played:
    """Let each gateway poll once, and do what follows."""
    web = Web()
    begun_s = time.process_time()
    serving: dict[int, int] = {}
    failures: list[str] = []
    for number in share.numbers:
        try:
            version = _poll(f"gw-{number}", share, web)
            serving[version] = serving.get(version, 0) + 1
        except Exception as error:  # noqa: BLE001 - counted, and told
            failures.append(f"gw-{number}: {type(error).__name__}: {error}")
    return Played(serving, time.process_time() - begun_s, failures[:_FAILURES_TOLD])


_FAILURES_TOLD = 3

_trusts: dict[Path, Trust] = {}
"""Those of this process's gateways: an agent keeps its own between polls."""


def _poll(device: str, share: Share, web: Web) -> int:
    """Look once; return the version that runs afterwards."""
    state_dir = share.folder / device
    if state_dir not in _trusts:
        _trusts[state_dir] = Trust(state_dir, share.url, share.root, web)
    truth = _trusts[state_dir].refresh(MODEL)
    file = MemoryFile(state_dir / "agent" / "memory.json")
    memory = file.load()
    slots = open_slots(state_dir)
    active = slots.active()
    gateway = Gateway(
        device=device,
        ring=0,
        variants=(VARIANT,),
        active=active.release if active else None,
        other=slots.inactive().release,
    )
    wish = decide(truth.document, gateway, memory)
    if wish is None:
        return active.release.version if active and active.release else 0
    _bring_in(wish, truth, share, web, state_dir)
    file.save(memory.with_serving(wish.release, wish.rollout_id))
    return wish.release.version


def _bring_in(
    wish: Wish, truth: Truth, share: Share, web: Web, state_dir: Path
) -> None:
    """Bring a release into service, and report as the agent does."""
    slots = open_slots(state_dir)
    slot = slots.inactive()
    states = list(_STATES) if wish.event is Event.OFFERED else []
    if states:
        _install(wish, truth, Downloads(state_dir / "downloads", share.url, web), slot)
    slots.activate(slot)
    identity = load_identity(state_dir, state_dir.name)
    spool = Spool(state_dir / "spool", device=identity.device, sign=identity.sign)
    for state in (*states, DeviceState.SERVING):
        spool.add(News(state, wish.release, wish.rollout_id, "", {"took_s": 1.5}))
    spool.send(web, f"{share.url}/reports")


def _install(wish: Wish, truth: Truth, downloads: Downloads, slot: Slot) -> None:
    downloads.pull(wish.bundle)
    deployment = Deployment(
        release=wish.release,
        variant=wish.variant,
        bundle=wish.bundle,
        rollout_id=wish.rollout_id,
        stage=Stage.VERIFY,
        valid_until=truth.valid_until,
    )
    verify_bundle(downloads.path(wish.bundle), deployment)
    install_bundle(downloads.path(wish.bundle), slot)
    downloads.remove_all_but(None)
