"""Who asks every place, and sees whether the story is true."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import requests

from local_cloud.demo.board import Board
from local_cloud.demo.client import Client, Tally, ask
from local_cloud.demo.samples import LiveFile
from local_cloud.stack.stack import Gateway, Stack

MODEL = "magika"
NEWCOMER = "gw-2"
"""Joins late; until then, and while it installs, nobody asks it."""
_WAIT_S = 90.0
_POLL_S = 0.02
_REQUESTS_ALONE = 200


class StoryError(Exception):
    """Something did not happen as the story says."""


def wait_until(is_so: Callable[[], bool], who: str, *, poll_s: float = _POLL_S) -> None:
    """Wait for a condition.

    Raises:
        StoryError: It did not become true in time.
    """
    until = time.monotonic() + _WAIT_S
    while not is_so():
        if time.monotonic() > until:
            raise StoryError(f"{who} did not get there within {_WAIT_S:.0f} s")
        time.sleep(poll_s)


@dataclass(frozen=True, slots=True)
class Witness:
    """Asks the function and the gateways about real files, and checks the answers."""

    stack: Stack
    board: Board
    files: Sequence[LiveFile]

    def places(self) -> dict[str, str]:
        """Return the URL of each place that answers, the cloud's first."""
        path = f"/v2/models/{MODEL}/infer"
        gateways = {
            device: gateway.url + path
            for device, gateway in self.stack.gateways.items()
            if device != NEWCOMER
        }
        return {"cloud function": self.stack.plan.url("predict") + path, **gateways}

    def client(self) -> Client:
        """Return a client that keeps asking all places once it is entered."""
        return Client(self.places(), self.files)

    def expect_no_failure(self, client: Client) -> None:
        """Show what a client was answered, all of it right."""
        failures = client.failures()
        if failures:
            raise StoryError("; ".join(failures))
        for place, tally in client.tallies.items():
            counts = ", ".join(f"{n} by {r}" for r, n in sorted(tally.answers.items()))
            self.board.line(place, "0 failed, 0 wrong answers", note=counts)

    def wait_for_requests(self, client: Client, count: int) -> None:
        """Let each gateway have seen enough requests for its shadow run."""
        wait_until(
            lambda: all(tally.count >= count for tally in client.tallies.values()),
            "the client",
        )

    def wait_for_answers(self, client: Client, release: str, count: int) -> None:
        """Let every place have answered with the release for a while."""
        wait_until(
            lambda: all(t.answers[release] >= count for t in client.tallies.values()),
            "the client",
        )

    def expect_everywhere(self, release: str) -> None:
        """Wait until all places answer with the release; they switch one by one."""
        for place, url in self.places().items():
            wait_until(lambda url=url: self._answers(url, release), place)  # type: ignore[misc]

    def expect_unanswered(self, client: Client, release: str) -> None:
        """See that a release answered none of a client's requests."""
        for place, tally in client.tallies.items():
            if release in tally.answers:
                raise StoryError(f"{release} answered a live request on {place}")
        self.board.line("everywhere", f"no live request answered by {release}")

    def expect_never_downloaded(self, device: str, release: str) -> None:
        """See that a gateway had nothing to do with a release."""
        log = self.stack.gateways[device].agent.log.read_text(errors="replace")
        lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        stages = [line["event"] for line in lines if line.get("release") == release]
        if stages:
            raise StoryError(f"{device} had to do with {release}: {stages}")
        self.board.line(device, f"never downloaded {release}")

    def release_of(self, gateway: Gateway) -> str:
        """Return the release that a gateway answers with; empty without one."""
        url = f"{gateway.url}/v2/models/{MODEL}/infer"
        tally = Tally()
        with requests.Session() as session:
            ask(session, url, self.files[0], tally)
        return next(iter(tally.answers), "")

    def ask_alone(self, gateway: Gateway) -> Tally:
        """Ask one gateway many times; every answer must be right."""
        tally = Tally()
        url = f"{gateway.url}/v2/models/{MODEL}/infer"
        with requests.Session() as session:
            for turn in range(_REQUESTS_ALONE):
                ask(session, url, self.files[turn % len(self.files)], tally)
        if tally.failures:
            raise StoryError(f"{gateway.device}: {tally.failures[0]}")
        return tally

    def _answers(self, url: str, release: str) -> bool:
        tally = Tally()
        with requests.Session() as session:
            ask(session, url, self.files[0], tally)
        return release in tally.answers
