"""Kill processes of a running stack, and look whether all came right again."""

import contextlib
import logging
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass

import psutil
import requests

from tests.path.fleet import MODEL, NotSoError, wait_until

LOG = logging.getLogger(__name__)
"""Seen with `--log-cli-level=INFO`, and in the report of a failure."""

AWAY_S = (1.0, 4.0)
"""How long a process stays down that is not started again at once."""

ONCE = (
    "registered",
    "fp32 packaged",
    "packaged",
    "published",
    "deployed",
    "rollout waiting",
)
"""What happens exactly once in a release's life, however often it is tried."""

CHILD_WAIT_S = 15.0
CHILD_AGE_S = 0.3
"""How old a child may be that lives for moments only."""

TRIES = ('"is_probe":true', '"is_probe":false')
SHORT_LIVED = ("onnx_child", *TRIES)
CLOUD_ANSWERS = {"predict", "vertex"}
"""Who answers for the cloud; while one is down, nobody does."""

WORKER = "edge-worker"
"""The name of a gateway's worker, whose command line is its supervisor's."""


@dataclass(frozen=True)
class Kill:
    """One process, by name, that dies at a moment of a release's life.

    Attributes:
        victim: Its name; or `OWNER/WORD`, a child with that word in its name or
            its command.
        at_s: After the push began.
        away_s: Until it is started again; 0 leaves that to who keeps it alive.
    """

    victim: str
    at_s: float
    away_s: float = 0.0

    def __str__(self):
        down = f", {self.away_s:.1f} s down" if self.away_s else ""
        return f"{self.victim} at {self.at_s:.2f} s{down}"

    @property
    def owner(self):
        """Name the process that the stack keeps alive."""
        return self.victim.partition("/")[0]

    def carry_out(self, stack):
        """Kill it; say what came of it."""
        process = stack.process(self.owner)
        if "/" in self.victim:
            word = self.victim.partition("/")[2]
            return _kill_a_child(process, word, random.Random(self.at_s))
        if not self.away_s:
            process.kill()
            return str(self)
        process.kill_for_good()
        time.sleep(self.away_s)
        process.start()
        return str(self)


def _kill_a_child(process, word, draw):
    """Kill one of what a process started, with `word` in its name or its command.

    Some have one for moments only; the kill waits for such a moment.
    """
    until = time.monotonic() + CHILD_WAIT_S
    while time.monotonic() < until:
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(process.pid).children(recursive=True)
            found = [each for each in children if word in " ".join(_words(each))]
            if found:
                child = draw.choice(found)
                words = " ".join(_words(child)[:4])[:80]
                time.sleep(draw.uniform(0.0, CHILD_AGE_S))
                child.kill()
                return f"{process.name}'s child: {words}"
        time.sleep(0.002)
    return f"{process.name} had no child"


def _words(process):
    """Return a process's name and its command line."""
    return [process.name(), *process.cmdline()[1:]]


def victims(stack):
    """Name every process of the stack, and the children that die without it."""
    gateways = stack.gateways.values()
    children = [
        ("vertex", "edge"),
        ("package_bundle", "onnx_child"),
        *((gateway.server.name, WORKER) for gateway in gateways),
        *((gateway.agent.name, word) for gateway in gateways for word in TRIES),
    ]
    return [
        *stack.process_names(),
        *(f"{parent}/{word}" for parent, word in children),
    ]


def plan_kills(names, draw, *, life_s):
    """Let every one die once, at any moment of `life_s`; some stay down a while."""
    kills = [
        Kill(
            name,
            # Who waits for its victim's birth waits from the beginning.
            draw.uniform(0.0, 0.01 if name.endswith(SHORT_LIVED) else life_s),
            draw.choice([0.0, 0.0, draw.uniform(*AWAY_S)]),
        )
        for name in names
    ]
    return sorted(kills, key=lambda kill: kill.at_s)


@dataclass
class Ordeal:
    """A release that travels while processes die, and what is seen of it."""

    fleet: object
    version: int
    kills: list

    def run(self):
        """Push, kill, wait, and check; return how long the release took."""
        begun = time.monotonic()
        with self.fleet.traffic(pause_s=0.03) as answers:
            threads = [
                threading.Thread(target=self._kill, args=[kill, begun])
                for kill in self.kills
            ]
            for thread in threads:
                thread.start()
            try:
                self._push()
                ended = self.fleet.settled(self.version)
                took_s = time.monotonic() - begun
            finally:
                for thread in threads:
                    thread.join()
            for kill in self.kills:
                self.fleet.stack.process(kill.owner).wait_ready()
            assert ended == "rollout finished", self._history()
            self.fleet.all_answer(self.version)
        self.check_answers(answers)
        self.check_end()
        return took_s

    def _kill(self, kill, begun):
        time.sleep(max(0.0, begun + kill.at_s - time.monotonic()))
        what = kill.carry_out(self.fleet.stack)
        LOG.info("%6.2f s  %s", time.monotonic() - begun, what)

    def _push(self):
        """Push as an engineer does: once more when the registry was away."""

        def is_pushed():
            done = self.fleet.push(self.version)
            assert "Traceback" not in done.stderr, done.stderr
            return done.returncode == 0

        wait_until(is_pushed, f"{MODEL}@{self.version} is pushed")

    def _history(self):
        document = self.fleet.operate(f"releases/{MODEL}@{self.version}")
        return [f"{c['what']} {c['reason']}".strip() for c in document["history"]]

    def check_answers(self, answers):
        """No answer was wrong; only who was killed failed to answer."""
        good = {f"{MODEL}@{self.version}", f"{MODEL}@{self.version - 1}"}
        dead = {kill.owner for kill in self.kills}
        for place, counts in answers.items():
            others = Counter({a: n for a, n in counts.items() if a not in good})
            assert not [a for a in others if "wrong" in a], (place, others)
            assert not [a for a in others if a.startswith(MODEL)], (place, others)
            answerers = CLOUD_ANSWERS if place == "cloud" else {place}
            assert not others or dead & answerers, (place, others)

    def check_end(self):
        """Everything holds the release once, and nothing is left over."""
        try:
            wait_until(lambda: not self._unrest(), "all is at rest", 60)
        except NotSoError as error:
            raise NotSoError(f"{error}: {self._unrest()}") from error
        what = Counter(self.fleet.history(self.version))
        assert {name: what[name] for name in ONCE} == dict.fromkeys(ONCE, 1)
        assert what["rollout finished"] == 1
        releases = [r["release"] for r in self.fleet.operate("status")["releases"]]
        assert releases.count(f"{MODEL}@{self.version}") == 1
        assert self.fleet.stable() == f"{MODEL}@{self.version}"
        assert not self.fleet.record()["withdrawn"]
        assert self.fleet.dead_letters() == []
        self._verify()

    def _unrest(self):
        """Say what is not yet as it must become by itself."""
        release, former = f"{MODEL}@{self.version}", f"{MODEL}@{self.version - 1}"
        found = []
        if pending := self.fleet.operate("status")["pending_events"]:
            found.append(f"{pending} events wait in the outbox")
        versions = self.fleet.model_versions(release)
        if versions != 1:
            found.append(f"{versions} model versions of {release}")
        candidate, serving = self.fleet.deployed("1"), self.fleet.deployed("2")
        if candidate != {release: [100]}:
            found.append(f"candidate endpoint: {candidate}")
        expected = {release: [100], former: [0]} if self.version > 1 else {}
        if serving not in (expected, {release: [100]}):
            found.append(f"serving endpoint: {serving}")
        return found

    def _verify(self):
        plan = self.fleet.stack.plan
        done = self.fleet.stack.packhorse(
            *("verify", f"{MODEL}@{self.version}"),
            *("--repository", plan.repository_url, "--json"),
            *("--root", str(plan.folder / "repository" / "1.root.json")),
        )
        assert done.returncode == 0, done.stderr


def endure(fleet, version, kills, seed):
    """Send a release through `kills`; a failure names them and the seed.

    Raises:
        AssertionError: Something did not come right.
    """
    LOG.info("%s@%d, seed %d", MODEL, version, seed)
    try:
        took_s = Ordeal(fleet, version, kills).run()
    except (AssertionError, NotSoError, requests.RequestException) as error:
        story = "; ".join(map(str, kills))
        raise AssertionError(
            f"KILLS_SEED={seed}, {MODEL}@{version}, killed: {story}: {error}"
        ) from error
    LOG.info("%6.2f s  everywhere", took_s)
    return took_s
