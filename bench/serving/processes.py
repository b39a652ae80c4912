"""A server and every process below it: its CPU time, its memory, its end.

Source: proc_pid_stat(5), proc_pid_smaps(5), clock_getcpuclockid(3)
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_STOP_S = 10.0
"""Time a server gets to end by itself."""

_QUIET_PAUSE_S = 0.03
_QUIET_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a process tree, in MiB.

    Attributes:
        alone_mib: Its proportional share (PSS) on a machine where nothing else
            maps the same files. Here other environments do: uv links one
            onnxruntime into all, which would halve everybody's share.
        pss_mib: The proportional share as the kernel counts it here.
        rss_mib: Resident; shared pages count once for each process.
        busiest_rss_mib: That of the one process that has worked most.
    """

    alone_mib: float
    pss_mib: float
    rss_mib: float
    busiest_rss_mib: float
    processes: int


@dataclass(frozen=True, slots=True)
class Mapped:
    """One mapping of a process: the part of a file, and its sizes by name."""

    file: str
    kib: dict[str, int] = field(default_factory=dict)


class Tree:
    """One server process in a session of its own, and all that it starts."""

    def __init__(
        self,
        command: list[str],
        environ: Mapping[str, str],
        directory: Path,
        log: Path,
    ) -> None:
        """Start it; its output goes to `log`."""
        self.begun_s = time.monotonic()
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own list of servers
                command,
                env=environ,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def is_alive(self) -> bool:
        """Whether the process that was started still runs."""
        return self._process.poll() is None

    def pids(self) -> list[int]:
        """Return the process that was started and all below it."""
        children: dict[int, list[int]] = {}
        for entry in os.listdir("/proc"):  # noqa: PTH208 - thousands of Paths
            if entry.isdigit() and (fields := _stat(int(entry))):
                children.setdefault(int(fields[1]), []).append(int(entry))
        found = [self._process.pid]
        for pid in found:
            found += children.get(pid, [])
        return found

    def cpu_s(self) -> float:
        """Return the CPU time that the tree has used, children that ended too."""
        return sum(map(_cpu_s, self.pids()))

    def memory(self) -> Memory:
        """Return what the tree holds now."""
        pids = self.pids()
        of_each = [read_mappings(pid) for pid in pids]
        mappings = [mapping for mappings in of_each for mapping in mappings]
        rss_mib = [sum(m.kib["Rss"] for m in each) / 1024 for each in of_each]
        worked_s = [_cpu_s(pid) for pid in pids]
        return Memory(
            alone_mib=_alone_kib(mappings) / 1024,
            pss_mib=sum(m.kib["Pss"] for m in mappings) / 1024,
            rss_mib=sum(rss_mib),
            busiest_rss_mib=rss_mib[worked_s.index(max(worked_s))],
            processes=len(pids),
        )

    def wait_quiet(self, limit_s: float = 3.0) -> None:
        """Wait until it has worked off what a load left behind."""
        until_s = time.monotonic() + limit_s
        before_s = self.cpu_s()
        while time.monotonic() < until_s:
            time.sleep(_QUIET_PAUSE_S)
            now_s = self.cpu_s()
            if now_s - before_s < _QUIET_SHARE * _QUIET_PAUSE_S:
                return
            before_s = now_s

    def stop(self) -> None:
        """End the tree: politely, then by force, by the ids seen below us."""
        pids = self.pids()
        born = {pid: _birth(pid) for pid in pids}
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        for pid in pids:
            # An id may be another's by now.
            if born[pid] is not None and _birth(pid) == born[pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._process.wait()


def machine_busy_s() -> float:
    """Return the CPU time that the whole machine has been busy."""
    line = Path("/proc/stat").read_text().partition("\n")[0]
    user, nice, system, _idle, _wait, irq, softirq, *_ = map(int, line.split()[1:])
    return (user + nice + system + irq + softirq) * _TICK_S


def clock_s(pid: int) -> float:
    """Return a process's own CPU time, to the nanosecond.

    Raises:
        OSError: There is no such process.

    Source: clock_getcpuclockid(3)
    """
    return time.clock_gettime((~pid << 3) | 2)


def _cpu_s(pid: int) -> float:
    """Return a process's CPU time and that of its children that ended."""
    fields = _stat(pid)
    if fields is None:
        return 0.0
    ended_s = sum(map(int, fields[13:15])) * _TICK_S
    try:
        # `stat` counts ticks.
        return clock_s(pid) + ended_s
    except OSError:
        return ended_s


def _birth(pid: int) -> str | None:
    fields = _stat(pid)
    return fields[19] if fields else None


def _stat(pid: int) -> list[str] | None:
    """Return the fields after the name, the state first; None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def _alone_kib(mappings: Iterable[Mapped]) -> int:
    """Return what the tree holds when only its own processes share its pages.

    Clean pages of a file are the same for all of the tree, so the process with
    most of them counts; what they wrote to is their own, and of memory without
    a file the kernel knows the shares, which never leave the tree.
    """
    anonymous_kib, files_kib = 0, dict[str, int]()
    for mapping in mappings:
        kib = mapping.kib
        if not mapping.file:
            anonymous_kib += kib["Pss"]
            continue
        anonymous_kib += kib["Private_Dirty"] + kib["Shared_Dirty"]
        clean_kib = kib["Private_Clean"] + kib["Shared_Clean"]
        files_kib[mapping.file] = max(files_kib.get(mapping.file, 0), clean_kib)
    return anonymous_kib + sum(files_kib.values())


def read_mappings(pid: int) -> list[Mapped]:
    """Return the process's mappings; none when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []
    found: list[Mapped] = []
    for line in lines:
        name, _, rest = line.partition(" ")
        if not name.endswith(":"):
            found.append(Mapped(_file_and_offset(rest)))
        elif rest.endswith(" kB"):
            found[-1].kib[name[:-1]] = int(rest.split()[0])
    return found


def _file_and_offset(rest: str) -> str:
    """Return which part of which file it is, empty for none."""
    _rights, offset, device, inode, *_ = rest.split()
    return "" if inode == "0" else f"{device}:{inode}:{offset}"
