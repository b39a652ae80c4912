"""What follows when a gateway is switched on again: the real agent, the real serve."""

from contextlib import contextmanager

from edge_runtime.slots import open_slots
from packhorse.report import DeviceState, decode_report, open_envelope
from tests.crash.life import (
    AT_THE_GATEWAY,
    SERVE,
    AgentProcess,
    agent_environment,
    named,
)
from tests.crash.steps import watched
from tests.edge_runtime.agent.gateway import running_gateway, wait_until
from tests.edge_runtime.agent.receiver import Receiver
from tests.tuf_repository import RepositoryServer

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
    def cloud(self, chapter):
        """Run the cloud of a chapter; give the environment of an agent in it."""
        server = RepositoryServer(chapter.cloud)
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

    def recover(self, chapter, state_dir, *, fault=""):
        """Switch the gateway on, and let it go on until the chapter's end.

        With a `fault` the chapter is lived from its beginning, and the agent is
        started again if it was killed.

        Returns:
            What the agent said of its steps, and the reports that came.
        """
        serve = watched(SERVE, state_dir)
        with (
            self.cloud(chapter) as (environment, receiver),
            running_gateway(state_dir, self.serve_log, serve) as gateway,
        ):
            if fault:
                AT_THE_GATEWAY.get(chapter.name, nothing)(state_dir)
            before = open_slots(state_dir).active()
            said = self._agent.run(environment(state_dir), fault=fault)
            if said is None:
                active = open_slots(state_dir).active()
                assert before is None or active is not None
                said = self._agent.run(environment(state_dir)) | {"hits": 1}
            self._check(chapter, gateway, receiver, said)
        return said

    def stop(self):
        self._agent.stop()

    def _check(self, chapter, gateway, receiver, said):
        assert said is not None
        assert "not done within" not in said["trouble"], said
        expected = {named(version) for version in chapter.serves}
        wait_until(lambda: gateway.infer(1, 2, 3)[1] in expected, chapter.name)
        said["reports"] = check_reports(receiver)
        bad = [
            r for r in said["reports"] if r.state in BAD and str(r.release) in expected
        ]
        assert not bad or len(expected) > 1, bad


def nothing(_state_dir):
    """Let nothing happen."""


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
