"""The fuzzer: rounds of cases, each held against what it should come to.

Every case follows from the seed and its number, so any of them can be made again.
"""

import hashlib
import json
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.edge_runtime.gateways import Gateway, install_tiny
from tests.fuzz import mutations
from tests.fuzz.drafts import draft
from tests.fuzz.exchange import Case
from tests.fuzz.judge import judge_talk
from tests.fuzz.minimise import minimise
from tests.fuzz.pump import converse
from tests.fuzz.served import RELEASE, all_served, write_models

HANG_S = 20.0
"""No answer takes a tenth of it; the machine may be busy with other things."""

CONNECTIONS = 8
WATCHED_ROUNDS = 50
MEMORY_MAX_MIB = 768
"""Of a worker with 30 models. The largest request that each has met raises it for
good, since ONNX Runtime and the allocator keep what they once had, and each keeps
its last 32 requests; `growth_mib` shows what nothing explains."""

WARM_CYCLES = 6

FINDINGS_MAX = 50

BAD_IN_LOG = (b"request_failed", b"Traceback", b"worker_lost", b"worker_died")
"""What no request may make a gateway write."""


@dataclass
class Fuzzer:
    """Sends rounds of cases to one gateway.

    Attributes:
        findings: What went wrong, by case.
        folder: Where the cases that failed are written.
    """

    gateway: Gateway
    seed: int
    folder: Path
    round: int = 0
    findings: list = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)
    _log_at: int = 0
    _worker: int = 0

    def run(self, seconds, report=None):
        """Fuzz for so long."""
        until_s = time.monotonic() + seconds
        self._worker = self.gateway.status()["worker_pid"]
        while time.monotonic() < until_s and len(self.findings) < FINDINGS_MAX:
            self.play(make_round(self.seed, self.round))
            self.round += 1
            if self.round % WATCHED_ROUNDS == 0:
                self._watch()
                if report is not None:
                    report(self)
        self._watch()

    def growth_mib(self, rounds, cycles):
        """Send the same rounds again and again; return what the worker grew by.

        No new largest request can explain growth then.
        """
        played = [make_round(self.seed, number) for number in range(rounds)]
        pid = self.gateway.status()["worker_pid"]
        taken = []
        for _ in range(WARM_CYCLES + cycles):
            for cases in played:
                self.play(cases)
            taken.append(rss_mib(pid))
        return max(taken[WARM_CYCLES:]) - max(taken[:WARM_CYCLES])

    def play(self, cases):
        """Send a round's cases; note what went wrong."""
        problems = self._send(cases)
        if (line := self._failure_in_log()) is not None and not any(problems):
            problems = [self.problem_of(case) for case in cases]
            if not any(problems):
                self._note(Case(wild=_joined(cases)), f"logged: {line}")
        for case, problem in zip(cases, problems, strict=True):
            if problem:
                self._note(case, problem)

    def problem_of(self, case):
        """Return what goes wrong when a case is sent alone; empty for nothing."""
        (problem,) = self._send([case])
        line = self._failure_in_log()
        return problem or (f"logged: {line}" if line else "")

    def _send(self, cases):
        try:
            talks = converse(self.gateway.port, cases, limit_s=HANG_S)
        except OSError as error:
            return [f"no connection: {error!r}"] * len(cases)
        for talk in talks:
            self.counts["requests"] += len(talk.case.requests)
            self.counts.update(answer.status for answer in talk.reader.answers)
        return [judge_talk(talk) for talk in talks]

    def _failure_in_log(self):
        """Return the first new line about a failed request, if there is one."""
        if self.gateway.log.stat().st_size == self._log_at:
            return None
        with self.gateway.log.open("rb") as log:
            log.seek(self._log_at)
            new = log.read()
        self._log_at += len(new)
        for word in BAD_IN_LOG:
            if (at := new.find(word)) >= 0:
                return new[max(0, at - 300) :][:3000].decode(errors="replace")
        return None

    def _watch(self):
        """Look whether the worker lives, and what it takes."""
        status = self.gateway.status()
        if status["worker_pid"] != self._worker:
            self._note(
                Case(), f"another worker since round {self.round - WATCHED_ROUNDS}"
            )
            self._worker = status["worker_pid"]
        mib = rss_mib(self._worker)
        self.counts["rss_mib"] = mib
        if mib > MEMORY_MAX_MIB:
            self._note(Case(), f"the worker takes {mib} MiB")

    def _note(self, case, problem):
        """Keep a case that failed, as small as it can quickly be made."""
        small, again = case, ""
        if case.requests or case.wild:
            again = self.problem_of(case)
            if again:
                small = minimise(case, self.problem_of)
                again = self.problem_of(small)
        self.findings.append((problem, small))
        self._write(case, small, problem, again)

    def _write(self, case, small, problem, again):
        self.folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(small.wire()).hexdigest()[:12]
        (self.folder / f"{name}.wire").write_bytes(small.wire())
        document = {
            "problem": problem,
            "alone": again or "not seen again when sent alone",
            "seed": self.seed,
            "round": self.round,
            "bytes": [len(case.wire()), len(small.wire())],
            "cuts": small.cuts,
            "wire": repr(small.wire()[:4000]),
        }
        (self.folder / f"{name}.json").write_text(json.dumps(document, indent=1))


def make_round(seed, number):
    """Return the cases of one round."""
    source = random.Random(f"{seed}/{number}")
    models = all_models()
    if source.random() < 0.5:
        models = [source.choice(models)]  # so that requests meet in one queue
    return [_case(source, models) for _ in range(CONNECTIONS)]


def _joined(cases):
    """Return what was sent in a round, to be looked at."""
    return b"\n-- another connection --\n".join(case.wire() for case in cases)


_models = []


def all_models():
    """Return the models, which are made once."""
    if not _models:
        _models.extend(all_served())
    return _models


def _case(source, models):
    drafts = [draft(source, models) for _ in range(source.choice((1, 1, 1, 2, 4)))]
    for made in drafts:
        if source.random() < 0.7:
            mutations.spoil(source, made)
    sent = [made.write(source) for made in drafts]
    if source.random() < 0.2:
        return mutations.spoil_wire(source, sent)
    last = draft(source, models, large_ratio=0.0).write(source)
    return Case((*sent, last), cuts=mutations.cuts(source))


def start_gateway(place, **settings):
    """Start a gateway that serves every model; its first port is known."""
    state_dir = place / "state"
    install_tiny(state_dir, "a", RELEASE, is_active=True)
    write_models(place / "models")
    gateway = Gateway(state_dir, PACKHORSE_MODELS_DIR=str(place / "models"), **settings)
    gateway.wait_ready()
    return gateway


def rss_mib(pid):
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20
