"""The story that `make demo` tells, one chapter after the other.

Every chapter checks what it claims and raises `StoryError` where it is not so.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import requests

from local_cloud.demo.bad_models import always_nan, nan_on_first_byte
from local_cloud.demo.board import Board
from local_cloud.demo.client import Client, Tally, ask
from local_cloud.demo.journey import Journey, LogTail
from local_cloud.demo.magika import (
    INPUT,
    OUTPUT,
    MagikaConfig,
    MagikaVersion,
    stack_features,
)
from local_cloud.demo.samples import (
    BAD_BYTE,
    GOLDEN_FILES,
    LiveFile,
    golden_archive,
    live_files,
    read_files,
)
from local_cloud.stack.settings import ROOT
from local_cloud.stack.stack import Gateway, Stack

MODEL = "magika"
_WAIT_S = 90.0
_POLL_S = 0.02
_REQUESTS_ALONE = 200


class StoryError(Exception):
    """Something did not happen as the story says."""


@dataclass
class Story:
    """Two real releases, two bad ones, an outage and a withdrawal.

    Attributes:
        stack: All of Packhorse, started.
        versions: The two real versions of the model.
        folder: For the files that are pushed.
    """

    stack: Stack
    board: Board
    versions: tuple[MagikaVersion, MagikaVersion]
    folder: Path
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    _files: list[LiveFile] = field(default_factory=list)
    _tail: LogTail | None = None

    def begin(self) -> None:
        """Prepare the real input, and invite two gateways into different rings."""
        models = {
            f"{MODEL}@{number}": version.model.read_bytes()
            for number, version in enumerate(self.versions, 1)
        }
        self._files = live_files(ROOT, self._config, models)
        self._tail = LogTail(self.stack.plan.folder / "logs")
        for device, ring in (("gw-0", 0), ("gw-1", 1)):
            self.stack.add_gateway(device, ring)
        self.stack.start_gateways()

    def first_release(self) -> None:
        """Push release 1 and see it arrive everywhere."""
        self.board.chapter(
            f"1  {MODEL}@1, Google's standard_v3_2, travels the whole path"
        )
        model = self.versions[0].model.read_bytes()
        journey = self._push(1, model, golden_of=model)
        self._expect_end(journey.follow(), "rollout finished")
        self._expect_everywhere(f"{MODEL}@1")

    def upgrade(self) -> None:
        """Upgrade to release 2 while a client keeps asking everyone."""
        self.board.chapter(
            f"2  {MODEL}@2, standard_v3_3, while a client keeps asking all three"
        )
        model = self.versions[1].model.read_bytes()
        with self._client() as client:
            journey = self._push(2, model, golden_of=model)
            self._expect_end(journey.follow(), "rollout finished")
            self._expect_everywhere(f"{MODEL}@2")
            self._wait_for_answers(client, f"{MODEL}@2", 50)
        self._show_client(client)

    def broken_at_once(self) -> None:
        """Push release 3, NaN on its golden samples: packaging refuses it."""
        self.board.chapter(f"3  {MODEL}@3 answers NaN to its own golden samples")
        good = self.versions[1].model.read_bytes()
        journey = self._push(3, always_nan(good, output=OUTPUT), golden_of=good)
        self._expect_end(journey.follow(), "refused")
        known = self.stack.packhorse(
            *("verify", f"{MODEL}@3", "--repository", self.stack.plan.repository_url),
            *("--root", str(self.stack.plan.folder / "repository" / "1.root.json")),
        )
        if known.returncode != 1 or "nothing that is trusted" not in known.stderr:
            raise StoryError(f"{MODEL}@3 was published: {known.stdout}{known.stderr}")
        self.board.line("repository", "nothing was published")

    def broken_later(self) -> None:
        """Push release 4, NaN on real files that its golden samples do not hold."""
        self.board.chapter(
            f"4  {MODEL}@4 is right on its golden samples, and NaN on files "
            f"that begin with {chr(BAD_BYTE)!r}"
        )
        good = self.versions[1].model.read_bytes()
        bad = nan_on_first_byte(good, input_=INPUT, output=OUTPUT, byte=BAD_BYTE)
        with self._client() as client:
            self._wait_for_requests(client, 64)
            journey = self._push(4, bad, golden_of=good)
            self._expect_end(journey.follow(), "rollout withdrawn")
            self.board.refusal("rollout", journey.reason())
            self._expect_everywhere(f"{MODEL}@2")
        self._show_client(client)
        self._expect_unanswered(client, f"{MODEL}@4")
        self._expect_never_downloaded("gw-1", f"{MODEL}@4")

    def outage(self) -> None:
        """Stop the cloud, and kill an agent in the middle of an install."""
        self.board.chapter(
            "5  The cloud goes away, and an agent is killed as it installs"
        )
        newcomer = self.stack.add_gateway("gw-2", 1)
        self._kill_while_installing(newcomer)
        begun = time.monotonic()
        self.stack.stop_cloud()
        self.board.line("cloud", "every process stopped", time.monotonic() - begun)
        for device in ("gw-0", "gw-1"):
            tally = self._ask_alone(self.stack.gateways[device])
            self.board.line(
                device, "answers alone", note=f"{tally.count} right answers"
            )
        begun = time.monotonic()
        self.stack.restart_cloud()
        newcomer.agent.start()
        self._wait_until(lambda: self._release_of(newcomer) == f"{MODEL}@2", "gw-2")
        self.board.line(
            "gw-2",
            f"serves {MODEL}@2",
            time.monotonic() - begun,
            "after the cloud and its agent came back",
        )

    def compare(self) -> None:
        """Compare cloud and gateway on the same files, and add up the bytes."""
        self.board.chapter("6  Cloud and gateway answer alike")
        tallies = {name: Tally() for name in self._places()}
        with requests.Session() as session:
            for name, url in self._places().items():
                for file in self._files:
                    ask(session, url, file, tallies[name])
        failures = [failure for tally in tallies.values() for failure in tally.failures]
        if failures:
            raise StoryError(failures[0])
        for name, tally in tallies.items():
            note = (
                f"largest difference {tally.largest_difference:.2g} over {tally.count}"
            )
            self.board.line(name, "within the golden tolerances", note=f"{note} files")
        rows = [
            (release, f"{pushed:,}", f"{bundle:,}" if bundle else "never made")
            for release, (pushed, bundle) in sorted(self._sizes().items())
        ]
        self.board.table(
            "What each release cost, in bytes",
            ("release", "pushed", "per gateway"),
            rows,
        )

    def withdraw(self) -> None:
        """Take release 2 back everywhere."""
        self.board.chapter(f"7  packhorse withdraw {MODEL}@2")
        done = self.stack.packhorse("withdraw", f"{MODEL}@2", "--json")
        if done.returncode:
            raise StoryError(done.stderr)
        took_s = json.loads(done.stdout)["took_s"]
        self._expect_everywhere(f"{MODEL}@1")
        self.board.line("everywhere", f"back on {MODEL}@1", took_s)

    @property
    def _config(self) -> MagikaConfig:
        return self.versions[1].config()

    def _push(self, number: int, model: bytes, *, golden_of: bytes) -> Journey:
        release = f"{MODEL}@{number}"
        features = stack_features(self._config, read_files(ROOT, GOLDEN_FILES))
        model_file = self.folder / f"{number}.onnx"
        golden_file = self.folder / f"{number}.npz"
        model_file.write_bytes(model)
        golden_file.write_bytes(golden_archive(golden_of, features))
        begun = time.monotonic()
        done = self.stack.packhorse(
            *("push", str(model_file), "--name", MODEL, "--golden", str(golden_file)),
            *("--version", str(number), "--owner", "demo", "--licence", "Apache-2.0"),
        )
        if done.returncode:
            raise StoryError(f"packhorse push: {done.stderr}")
        pushed = model_file.stat().st_size + golden_file.stat().st_size
        self.sizes[release] = (pushed, 0)
        note = f"{pushed:,} bytes"
        self.board.line("you", f"push {release}", time.monotonic() - begun, note)
        if self._tail is None:
            raise StoryError("the story has not begun")
        return Journey(self.stack, self.board, release, self._tail)

    def _sizes(self) -> dict[str, tuple[int, int]]:
        found = {}
        for release, (pushed, _) in self.sizes.items():
            variants = self.stack.operate("GET", f"releases/{release}")["variants"]
            bundles = variants.values() if isinstance(variants, dict) else ()
            found[release] = (pushed, sum(b["length_bytes"] for b in bundles if b))
        return found

    def _places(self) -> dict[str, str]:
        path = f"/v2/models/{MODEL}/infer"
        gateways = {
            device: gateway.url + path
            for device, gateway in self.stack.gateways.items()
            if device != "gw-2"
        }
        return {"cloud function": self.stack.plan.url("predict") + path, **gateways}

    def _client(self) -> Client:
        return Client(self._places(), self._files)

    def _show_client(self, client: Client) -> None:
        failures = client.failures()
        if failures:
            raise StoryError("; ".join(failures))
        for place, tally in client.tallies.items():
            counts = ", ".join(f"{n} by {r}" for r, n in sorted(tally.answers.items()))
            self.board.line(place, "0 failed, 0 wrong answers", note=counts)

    def _wait_for_requests(self, client: Client, count: int) -> None:
        """Let each gateway have seen enough requests for its shadow run."""
        self._wait_until(
            lambda: all(tally.count >= count for tally in client.tallies.values()),
            "the client",
        )

    def _wait_for_answers(self, client: Client, release: str, count: int) -> None:
        """Let every place have answered with the release for a while."""
        self._wait_until(
            lambda: all(t.answers[release] >= count for t in client.tallies.values()),
            "the client",
        )

    def _expect_end(self, last: str, expected: str) -> None:
        if not last.startswith(expected):
            raise StoryError(f"expected {expected!r}, it ended as {last!r}")

    def _expect_everywhere(self, release: str) -> None:
        """Wait until all places answer with the release; they switch one by one."""
        for place, url in self._places().items():
            self._wait_until(lambda url=url: self._answers(url, release), place)  # type: ignore[misc]

    def _expect_unanswered(self, client: Client, release: str) -> None:
        for place, tally in client.tallies.items():
            if release in tally.answers:
                raise StoryError(f"{release} answered a live request on {place}")
        self.board.line("everywhere", f"no live request answered by {release}")

    def _expect_never_downloaded(self, device: str, release: str) -> None:
        log = self.stack.gateways[device].agent.log.read_text(errors="replace")
        lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        stages = [line["event"] for line in lines if line.get("release") == release]
        if stages:
            raise StoryError(f"{device} had to do with {release}: {stages}")
        self.board.line(device, f"never downloaded {release}")

    def _answers(self, url: str, release: str) -> bool:
        tally = Tally()
        with requests.Session() as session:
            ask(session, url, self._files[0], tally)
        return release in tally.answers

    def _release_of(self, gateway: Gateway) -> str:
        url = f"{gateway.url}/v2/models/{MODEL}/infer"
        tally = Tally()
        with requests.Session() as session:
            ask(session, url, self._files[0], tally)
        return next(iter(tally.answers), "")

    def _ask_alone(self, gateway: Gateway) -> Tally:
        tally = Tally()
        url = f"{gateway.url}/v2/models/{MODEL}/infer"
        with requests.Session() as session:
            for turn in range(_REQUESTS_ALONE):
                ask(session, url, self._files[turn % len(self._files)], tally)
        if tally.failures:
            raise StoryError(f"{gateway.device}: {tally.failures[0]}")
        return tally

    def _kill_while_installing(self, gateway: Gateway) -> None:
        """Kill the agent once a slot holds a file and is not sealed."""
        slots = (
            Path(gateway.server.command.environment["PACKHORSE_STATE_DIR"]) / "slots"
        )
        self.stack.start_gateway(gateway.device)
        self._wait_until(lambda: any(slots.glob("*/*")), gateway.device, poll_s=0.0005)
        gateway.agent.kill_for_good()
        sealed = [path.parent.name for path in slots.glob("*/installed.json")]
        files = len([path for path in slots.glob("*/*") if path.is_file()])
        note = f"files in the slot: {files}, " + (
            "sealed" if sealed else "not yet sealed"
        )
        self.board.line(gateway.device, "agent killed as it installs", note=note)

    def _wait_until(
        self, is_so: Callable[[], bool], who: str, *, poll_s: float = _POLL_S
    ) -> None:
        until = time.monotonic() + _WAIT_S
        while not is_so():
            if time.monotonic() > until:
                raise StoryError(f"{who} did not get there within {_WAIT_S:.0f} s")
            time.sleep(poll_s)
