"""Switch a gateway back and forth while clients ask, and go back in every way.

Each switch has a window, and a control window as long, in which a process of idle
priority uses the CPU time that the new worker had used when it was ready: what the
same work costs others when it takes only what is left.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.serving.processes import clock_s
from bench.switch.gateway import Gateway, GatewayError
from bench.switch.load import Load, Question, Record, questions
from bench.switch.releases import NAME, answers, install, rows
from bench.switch.results import Memory, Switch, Window

SLOTS = ("a", "b")
_PROBATION_S = "0.1"
_LONG_S = "600"
_WARM_UP_S = 2.0
_LOOK_S = 0.002
_BACK_S = 30.0
_SETTLED_S = 1.0
"""After a switch, in which every kept connection is asked on once."""
_PROBE_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        command: Our program and what comes before its command.
        per_s: Requests a second, all clients together; 0 for as many as can be.
        window_s: Time from a switch that is looked at; holds the start of a worker.
        back: How often it is gone back in each way.
    """

    command: list[str]
    folder: Path
    switches: int
    connections: int
    per_s: float
    window_s: float
    back: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found.

    Attributes:
        records: What was asked of all gateways but the one that was made to crash.
        crashing: What was asked of that one.
    """

    switches: list[Switch]
    memory: dict[str, Memory]
    rolled_back_s: dict[str, list[float]]
    records: list[Record]
    crashing: list[Record]


async def measure(plan: Plan, tell: Callable[[str], None]) -> Measured:
    """Run the whole plan."""
    found = Measured([], {}, {}, [], [])
    async with _serving(plan, "switch", PACKHORSE_PROBATION_S=_PROBATION_S) as (
        gateway,
        load,
    ):
        found.records.append(load.record)
        await asyncio.sleep(_WARM_UP_S)
        found.memory["before"] = gateway.memory()
        for number in range(plan.switches):
            tell(f"switch {number + 1} of {plan.switches}")
            slot = SLOTS[(number + 1) % 2]
            found.switches.append(await _switch(plan, gateway, load, slot))
            times = "one switch" if not number else f"{number + 1} switches"
            if number + 1 in {1, plan.switches}:
                found.memory[f"after {times}"] = gateway.memory()
    for cause in _causes(plan.folder / "unwell") if plan.back else ():
        await _go_back_often(plan, cause, found, tell)
    return found


async def _go_back_often(
    plan: Plan, cause: "Cause", found: Measured, tell: Callable[[str], None]
) -> None:
    times = found.rolled_back_s[cause.name] = list[float]()
    async with _serving(plan, cause.name, **cause.settings) as (gateway, load):
        (found.crashing if cause.is_crash else found.records).append(load.record)
        for number in range(plan.back):
            tell(f"back {cause.name}, {number + 1} of {plan.back}")
            times.append(await _go_back(cause, gateway, load))
            cause.undo()


@asynccontextmanager
async def _serving(
    plan: Plan, name: str, **settings: str
) -> AsyncIterator[tuple[Gateway, Load]]:
    """Run a gateway with a release in each slot, under load."""
    state_dir = plan.folder / name.replace(" ", "-")
    asked = _prepare(state_dir, plan.connections)
    gateway = Gateway(plan.command, state_dir, **settings)
    try:
        port = (await gateway.ready())["port"]
        assert isinstance(port, int)  # noqa: S101 - the protocol says so
        async with Load(port, asked, plan.per_s) as load:
            yield gateway, load
    finally:
        await asyncio.to_thread(gateway.tree.stop)


def _prepare(state_dir: Path, connections: int) -> list[Question]:
    """Fill both slots; return what to ask, and what is right."""
    asked = rows(connections)
    right: dict[str, np.ndarray] = {}
    for version, slot in enumerate(SLOTS, 1):
        model = install(state_dir, slot, version)
        right[f"{NAME}@{version}"] = answers(model, asked)
    (state_dir / "active").symlink_to("slots/a")
    return questions(asked, right)


async def _switch(plan: Plan, gateway: Gateway, load: Load, slot: str) -> Switch:
    begun_s = time.monotonic()
    took_s = await gateway.switch(slot)
    start_cpu_s = await gateway.worker_cpu_s()
    await _until(begun_s + plan.window_s)
    await gateway.alone()
    control_s = time.monotonic()
    burned_s = await _burn(start_cpu_s, control_s + plan.window_s)
    await _until(control_s + plan.window_s)
    return Switch(
        took_s=took_s,
        start_cpu_s=start_cpu_s,
        burned_cpu_s=burned_s,
        window=_window(load, begun_s, plan.window_s),
        control=_window(load, control_s, plan.window_s),
    )


async def _burn(cpu_s: float, until_s: float) -> float:
    """Have another process use CPU time that is left; return how much it got."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.switch.burn", str(cpu_s)
    )
    used_s = 0.0
    while process.returncode is None and time.monotonic() < until_s:
        try:
            used_s = clock_s(process.pid)
        except OSError:
            break
        await asyncio.sleep(_LOOK_S)
    if process.returncode is None:
        process.kill()
    await process.wait()
    return used_s


async def _until(instant_s: float) -> None:
    await asyncio.sleep(max(0.0, instant_s - time.monotonic()))


def _window(load: Load, begun_s: float, window_s: float) -> Window:
    took_ms = load.record.between(begun_s, begun_s + window_s)
    if not len(took_ms):
        return Window(0, 0.0, 0.0, 0.0)
    p50, p99 = np.percentile(took_ms, [50, 99])
    return Window(len(took_ms), float(p50), float(p99), float(took_ms.max()))


# Going back.


@dataclass(frozen=True, slots=True)
class Cause:
    """One way in which a release is gone back from.

    Attributes:
        settings: Of the gateway that it happens to.
        happen: Brings it about.
        undo: Makes it past.
        is_crash: Whether requests are lost, as the worker is that held them.
    """

    name: str
    settings: Mapping[str, str]
    happen: Callable[[Gateway], Awaitable[object]]
    undo: Callable[[], None] = lambda: None
    is_crash: bool = False


def _causes(bad: Path) -> list[Cause]:
    """Return every way; while the file `bad` is there, the health command says no."""
    warm = {"PACKHORSE_PROBATION_S": _LONG_S}
    probed = {
        **warm,
        "PACKHORSE_HEALTH_COMMAND": f"! test -e '{bad}'",
        "PACKHORSE_HEALTH_EVERY_S": str(_PROBE_EVERY_S),
        "PACKHORSE_HEALTH_FAILURES_MAX": "1",
    }
    return [
        Cause("by command", warm, lambda gateway: gateway.order({"do": "roll_back"})),
        Cause("by crash", warm, Gateway.kill_worker, is_crash=True),
        Cause(
            "by health command",
            probed,
            lambda _: asyncio.to_thread(bad.touch),
            lambda: bad.unlink(missing_ok=True),
        ),
    ]


async def _go_back(cause: Cause, gateway: Gateway, load: Load) -> float:
    """Switch, go back, and return the time to the first answer from the former."""
    status = await gateway.status()
    former, answered = str(status["release"]), load.record.answered
    await gateway.switch(SLOTS[status["slot"] == SLOTS[0]])
    await asyncio.sleep(_SETTLED_S)
    before, begun_s = answered[former], time.monotonic()
    await cause.happen(gateway)
    await _wait_for(lambda: answered[former] > before)
    took_s = time.monotonic() - begun_s
    await gateway.until(lambda status: status["release"] == former)
    await gateway.alone()
    return took_s


async def _wait_for(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + _BACK_S
    while not condition():
        if time.monotonic() > until_s:
            raise GatewayError(f"the former release does not answer in {_BACK_S:g} s")
        await asyncio.sleep(_LOOK_S)
