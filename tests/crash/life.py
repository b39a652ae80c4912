"""The whole life of a gateway, lived by the real agent and the real supervisor.

It enrols, takes its first release and a second one, falls back, is refused one that
answers NaN, resumes a download that broke off, obeys a withdrawal, follows a new
root, brings an old release back from the archive and collects what is too much.
Every chapter ends when the agent has nothing left to do and has sent its reports.

What the cloud says in a chapter is kept in a folder, so that any moment of it can be
lived again.
"""

import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edge_runtime.control import ask
from packhorse.assignment import Offer, RolloutDocument
from tests.crash.steps import python, read_steps, watched
from tests.edge_runtime.agent.bundles import make_bundle, not_a_number, release
from tests.edge_runtime.agent.gateway import ROOT, running_gateway, wait_until
from tests.edge_runtime.agent.receiver import Receiver
from tests.tuf_repository import RepositoryServer, TufRepository

ARCHIVE_BYTES = 9000
"""Room for two of the bundles here: the third makes the archive collect one."""

READY_S = 30.0


@dataclass(frozen=True)
class Chapter:
    """A part of the life.

    Attributes:
        name: What happens.
        cloud: The repository as it was meanwhile.
        before: The state directory as it was at its beginning.
        steps: The durable steps taken in it.
        serves: The versions that may serve at its end; 0 is none.
        agent_steps: How many of the steps the agent took.
    """

    name: str
    cloud: Path
    before: Path
    steps: tuple
    serves: tuple
    agent_steps: int


class AgentProcess:
    """The agent's process, which is started again when it is killed."""

    def __init__(self, log: Path):
        self._log = log
        self._process = None
        self._for = None

    def run(self, environment, *, fault="", record=None, flushes=True):
        """Let an agent run until it is done; return what it says, None if killed."""
        state_dir = environment["PACKHORSE_STATE_DIR"]
        process = self._started(state_dir, record, flushes=flushes)
        order = {"environment": environment, "fault": fault}
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if line:
            return json.loads(line)
        self.stop()
        return None

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self, state_dir, record, *, flushes):
        if self._process is None or self._for != (state_dir, record, flushes):
            self.stop()
            self._for = (state_dir, record, flushes)
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    python("-m", "tests.crash.agent_process"),
                    env=watched(os.environ, state_dir, log=record, flushes=flushes),
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                )
        return self._process


def agent_environment(state_dir, root_file, repository_url, receiver_url):
    return {
        "PACKHORSE_STATE_DIR": str(state_dir),
        "PACKHORSE_DEVICE": "gateway-1",
        "PACKHORSE_RING": "0",
        "PACKHORSE_MODEL": "magika",
        "PACKHORSE_REPOSITORY_URL": repository_url,
        "PACKHORSE_ROOT_FILE": str(root_file),
        "PACKHORSE_ENROLL_URL": f"{receiver_url}/enroll",
        "PACKHORSE_ENROLL_TOKEN": "one-time",
        "PACKHORSE_REPORT_URL": receiver_url,
        "PACKHORSE_PROBATION_S": "0.3",
        "PACKHORSE_SHADOW_S": "0.1",
        "PACKHORSE_ARCHIVE_BYTES": str(ARCHIVE_BYTES),
    }


SERVE = {"PACKHORSE_PREDICTION_LOG_RATIO": "1"}
"""Each request is logged, so that the log's steps are in the record too."""


class Life:
    """Lives it once, in `folder`, and keeps all that it takes to live it again."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.state_dir = folder / "state"
        self.state_dir.mkdir(parents=True)
        self.repository = TufRepository(folder / "repository")
        self.root_file = folder / "root.json"
        self.root_file.write_bytes(self.repository.root_bytes)
        self.chapters = []
        self._log = folder / "steps"
        self._log.touch()
        self._document = RolloutDocument("magika", 1)

    def live(self):
        """Live every chapter."""
        self._server = RepositoryServer(self.repository.folder)
        self._receiver = Receiver()
        self._agent = AgentProcess(self.folder / "agent.log")
        serve = watched(SERVE, self.state_dir, log=self._log)
        try:
            with running_gateway(
                self.state_dir, self.folder / "serve.log", serve
            ) as self._gateway:
                for chapter in CHAPTERS:
                    self._chapter(*chapter)
        finally:
            self._agent.stop()
            self._receiver.stop()
            self._server.stop()
        return self

    def _chapter(self, name, happen, serves):
        number = len(self.chapters)
        before = self.folder / f"before-{number}"
        shutil.copytree(self.state_dir, before, symlinks=True, ignore=not_files)
        begin = sum(len(chapter.steps) for chapter in self.chapters)
        happen(self)
        agent_steps = self.run_agent()["steps"]
        found = self._gateway.infer(1, 2, 3)
        assert found[1] == named(serves[0]), (name, found)
        wait_until(lambda: not self._gateway.status()["previous"], "probation is over")
        cloud = self.folder / f"cloud-{number}"
        shutil.copytree(self.repository.folder, cloud)
        steps = tuple(read_steps(self._log)[begin:])
        self.chapters.append(Chapter(name, cloud, before, steps, serves, agent_steps))

    def run_agent(self):
        environment = agent_environment(
            self.state_dir, self.root_file, self._server.url, self._receiver.url
        )
        said = self._agent.run(environment, record=self._log)
        assert said is not None
        return said

    # What happens.

    def enrol(self):
        self.repository.publish_rollout(self._document)

    def offer_first(self):
        self._publish(stable=self._offer(1))

    def offer_second(self):
        for row in ((1, 2, 3), (4, 5, 6)):
            assert self._gateway.infer(*row)[0] == 200
        self._open(2)

    def fall_back(self):
        fall_back(self.state_dir)

    def offer_nan(self):
        self._open(3, not_a_number())

    def offer_fourth(self):
        """Offer a release whose download breaks off twice."""
        self._open(4)
        self._server.faults.cut_after = 700
        self._agent_breaks_off()
        self._server.faults.cut_after = None

    def _agent_breaks_off(self):
        environment = agent_environment(
            self.state_dir, self.root_file, self._server.url, "http://127.0.0.1:1"
        )
        self._agent.run(environment | {"CRASH_LOOKS": "2"}, record=self._log)

    def withdraw_fourth(self):
        self._publish(
            stable=self._document.stable,
            withdrawn=(release(4),),
            rollout_id="",
            candidate=None,
            shares={},
        )

    def offer_fifth_under_a_new_root(self):
        self.repository.rotate("timestamp")
        self._publish(stable=self._offer(5))

    def ask_for_another_key(self):
        ask_for_another_key(self.state_dir, log=self._log)

    def offer_sixth(self):
        self._publish(stable=self._offer(6))

    def offer_the_first_again(self):
        self._publish(stable=self._first)

    def _open(self, version, *model):
        self._publish(
            candidate=self._offer(version, *model),
            rollout_id=f"magika@{version}#1",
            shares={0: 10_000},
        )

    def _offer(self, version, *model):
        body = make_bundle(release(version), *model)
        bundle = self.repository.publish_bundle(release(version), body)
        offer = Offer(release(version), {"fp32": bundle})
        if version == 1:
            self._first = offer
        return offer

    def _publish(self, **changes):
        sequence = self._document.sequence + 1
        self._document = replace(self._document, sequence=sequence, **changes)
        self.repository.publish_rollout(self._document)


def named(version):
    return f"magika@{version}" if version else None


def fall_back(state_dir):
    """Have the gateway go back, as an operator beside it does."""
    assert ask(state_dir, {"do": "roll_back"}, timeout_s=READY_S)["ok"]


def ask_for_another_key(state_dir, log=None):
    """Wish the device another key, as an operator beside it does."""
    command = "import sys; from pathlib import Path; from edge_runtime.agent.rotation"
    command += " import ask_for_key; ask_for_key(Path(sys.argv[1]))"
    subprocess.run(
        python("-c", command, str(state_dir)),
        env=watched(os.environ, state_dir, log=log),
        cwd=ROOT,
        check=True,
        timeout=READY_S,
    )


AT_THE_GATEWAY = {
    "a fall back": fall_back,
    "another key for the device": ask_for_another_key,
}
"""What happens in a chapter without the cloud: it has to happen again with it."""

# Where a state of that chapter is gone on from, nobody orders the fall back again.
CHAPTERS = (
    ("it enrols", Life.enrol, (0,)),
    ("its first release", Life.offer_first, (1,)),
    ("a second release", Life.offer_second, (2,)),
    ("a fall back", Life.fall_back, (1, 2)),
    ("a release that answers NaN", Life.offer_nan, (1,)),
    ("a release whose download broke off", Life.offer_fourth, (4,)),
    ("a withdrawal", Life.withdraw_fourth, (1,)),
    ("a release under a new root", Life.offer_fifth_under_a_new_root, (5,)),
    ("another key for the device", Life.ask_for_another_key, (5,)),
    ("a third release in the archive", Life.offer_sixth, (6,)),
    ("an old one from the archive", Life.offer_the_first_again, (1,)),
)


def not_files(folder, names):
    """Leave out what a state directory has beside files: sockets and locks."""
    return [name for name in names if name.endswith((".sock", "lock"))]


@contextmanager
def lived(folder):
    yield Life(folder).live()
