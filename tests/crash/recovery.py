"""What follows when a gateway is switched on again: the real agent, the real serve."""

from contextlib import contextmanager

from edge_runtime.slots import open_slots
from packhorse.report import DeviceState, decode_report, open_envelope
from tests.crash.agent import AgentProcess, agent_environment
from tests.crash.at_the_gateway import act
from tests.crash.kept_gateway import kept_gateway
from tests.crash.life import SERVE, faults_in, named
from tests.crash.steps import watched
from tests.edge_runtime.agent.gateway import running_gateway, wait_until
from tests.edge_runtime.agent.receiver import Receiver
from tests.tuf_repository import Faults, RepositoryServer

BAD = {DeviceState.FAILED, DeviceState.REFUSED, DeviceState.ROLLED_BACK}
"""What must not be told of a release that is good, whatever the disk did to it."""


class Recovery:
    """A cloud and an agent that any state directory of a life can be given to."""

    def __init__(self, life, folder):
        self._life = life
        self._folder = folder
        self._agent = AgentProcess(folder / "agent.log")
        self.serve_log = folder / "serve.log"
        self.run_agent = self._agent.run

    @contextmanager
    def cloud(self, chapter, faults=None):
        """Run the cloud of a chapter; give the environment of an agent in it."""
        server = RepositoryServer(chapter.cloud, faults or Faults())
        receiver = Receiver()
        try:
            yield (
                lambda state_dir: agent_environment(
                    state_dir, self._life.root_file, server.url, receiver.url
                ),
                receiver,
            )
        finally:
            receiver.stop()
            server.stop()

    def recover(self, chapter, state_dir):
        """Switch the gateway on, and let it go on until the chapter's end."""
        serve = watched(SERVE, state_dir)
        with (
            self.cloud(chapter) as (environment, receiver),
            running_gateway(state_dir, self.serve_log, serve) as gateway,
        ):
            said = self._agent.run(environment(state_dir))
            self._check(chapter, gateway, receiver, said)

    def live_again(self, chapter, state_dir, *, fault="", serve_fault="", log=None):
        """Live a chapter from its beginning; who is killed is started again.

        Args:
            fault: What the agent meets.
            serve_fault: What the supervisor, or one of its workers, meets.
            log: Gets the steps of both.

        Returns:
            What the agent said of its steps, and the reports that came.
        """
        serve = watched(SERVE, state_dir, fault=serve_fault, log=log, role="serve")
        with (
            self.cloud(chapter, faults_in(chapter.name)) as (environment, receiver),
            kept_gateway(state_dir, self.serve_log, serve) as gateway,
        ):
            act(chapter.name)(state_dir)
            before = open_slots(state_dir).active()
            said = self._agent.run(environment(state_dir), fault=fault, record=log)
            if said is None:
                active = open_slots(state_dir).active()
                assert before is None or active is not None
                said = self._agent.run(environment(state_dir)) | {"hits": 1}
            self._check(chapter, gateway, receiver, said)
        return said

    def check_restart(self, chapter, state_dir):
        """Start what was stopped; it serves what the chapter ended with."""
        serve = watched(SERVE, state_dir)
        with running_gateway(state_dir, self.serve_log, serve) as gateway:
            wait_until(lambda: answers(gateway, chapter), f"again, {chapter.name}")

    def stop(self):
        self._agent.stop()

    def _check(self, chapter, gateway, receiver, said):
        assert said is not None
        assert "not done within" not in said["trouble"], said
        expected = {named(version) for version in chapter.serves}
        wait_until(lambda: answers(gateway, chapter), chapter.name)
        said["reports"] = check_reports(receiver)
        bad = [
            r for r in said["reports"] if r.state in BAD and str(r.release) in expected
        ]
        assert not bad or len(expected) > 1, bad


def answers(gateway, chapter):
    """Say whether the release answers that may at the chapter's end."""
    status, found, _ = gateway.infer(1, 2, 3)
    return status and found in {named(version) for version in chapter.serves}


def check_reports(receiver):
    """Each number was used for one report, and they came in order."""
    bodies = {}
    numbers = []
    for body in receiver.bodies:
        report = decode_report(open_envelope(body).payload)
        assert bodies.setdefault(report.sequence, report) == report
        numbers.append(report.sequence)
    assert numbers == sorted(numbers)
    return list(bodies.values())
