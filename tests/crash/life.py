"""The whole life of a gateway, lived by the real agent and the real supervisor.

It enrols, takes its first release and a second one, falls back, is refused one that
answers NaN, resumes a download that broke off, obeys a withdrawal, follows a new
root, brings an old release back from the archive and collects what is too much.
Every chapter ends when the agent has nothing left to do and has sent its reports.

What the cloud says in a chapter is kept in a folder, so that any moment of it can be
lived again.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from packhorse.assignment import Offer, RolloutDocument
from tests.crash.agent import AgentProcess, agent_environment
from tests.crash.at_the_gateway import act
from tests.crash.steps import read_log, watched
from tests.edge_runtime.agent.bundles import make_bundle, not_a_number, release
from tests.edge_runtime.agent.gateway import running_gateway, wait_until
from tests.edge_runtime.agent.receiver import Receiver
from tests.tuf_repository import Faults, RepositoryServer, TufRepository


@dataclass(frozen=True)
class Chapter:
    """A part of the life.

    Attributes:
        name: What happens.
        cloud: The repository as it was meanwhile.
        before: The state directory as it was at its beginning.
        taken: Who took which kind of step, and the step.
        serves: The versions that may serve at its end; 0 is none.
    """

    name: str
    cloud: Path
    before: Path
    taken: tuple
    serves: tuple

    @property
    def steps(self):
        """The durable steps taken in it."""
        return tuple(step for _, _, step in self.taken)

    def kinds(self, role):
        """Return the kinds of all steps that `role` took in it, in their order."""
        return [kind for who, kind, _ in self.taken if who == role]


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
        serve = watched(SERVE, self.state_dir, log=self._log, role="serve")
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
        copy_state(self.state_dir, before)
        begin = sum(len(chapter.taken) for chapter in self.chapters)
        self._server.faults = faults_in(name)
        happen(self)
        assert act(name)(self.state_dir, log=self._log)
        self.run_agent()
        found = self._gateway.infer(1, 2, 3)
        assert found[1] == named(serves[0]), (name, found)
        wait_until(lambda: not self._gateway.status()["previous"], "probation is over")
        cloud = self.folder / f"cloud-{number}"
        shutil.copytree(self.repository.folder, cloud)
        taken = tuple(read_log(self._log)[begin:])
        self.chapters.append(Chapter(name, cloud, before, taken, serves))

    def run_agent(self):
        environment = agent_environment(
            self.state_dir, self.root_file, self._server.url, self._receiver.url
        )
        assert self._agent.run(environment, record=self._log) is not None

    # What happens.

    def enrol(self):
        self.repository.publish_rollout(self._document)

    def offer_first(self):
        self._publish(stable=self._offer(1))

    def offer_second(self):
        for row in ((1, 2, 3), (4, 5, 6)):
            assert self._gateway.infer(*row)[0] == 200
        self._open(2)

    def offer_nan(self):
        self._open(3, not_a_number())

    def offer_fourth(self):
        self._open(4)

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

    def offer_nothing(self):
        """Leave the cloud as it is."""

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


# Where a state of that chapter is gone on from, nobody orders the fall back again.
CHAPTERS = (
    ("it enrols", Life.enrol, (0,)),
    ("its first release", Life.offer_first, (1,)),
    ("a second release", Life.offer_second, (2,)),
    ("a fall back", Life.offer_nothing, (1, 2)),
    ("a release that answers NaN", Life.offer_nan, (1,)),
    ("a release whose download broke off", Life.offer_fourth, (4,)),
    ("a withdrawal", Life.withdraw_fourth, (1,)),
    ("a release under a new root", Life.offer_fifth_under_a_new_root, (5,)),
    ("another key for the device", Life.offer_nothing, (5,)),
    ("a third release in the archive", Life.offer_sixth, (6,)),
    ("an old one from the archive", Life.offer_the_first_again, (1,)),
)


def faults_in(chapter_name):
    """Return what the cloud does wrong in a chapter: a download breaks off twice."""
    breaks_off = chapter_name == "a release whose download broke off"
    return Faults(cut_after=700, cuts=2) if breaks_off else Faults()


def copy_state(source, target):
    """Copy a state directory without what is no file: sockets and locks."""

    def not_files(_folder, names):
        return [name for name in names if name.endswith((".sock", "lock"))]

    shutil.copytree(source, target, symlinks=True, ignore=not_files)
