"""The story that `make demo` tells, one chapter after the other.

Every chapter checks what it claims and raises `StoryError` where it is not so.
"""

import contextlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import requests

from local_cloud.demo.bad_models import always_nan, nan_on_first_byte
from local_cloud.demo.board import Board
from local_cloud.demo.client import Tally, ask
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
    golden_archive,
    live_files,
    read_files,
)
from local_cloud.demo.witness import MODEL, NEWCOMER, StoryError, Witness, wait_until
from local_cloud.stack.settings import ROOT
from local_cloud.stack.stack import Gateway, Stack


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
    witness: Witness = field(init=False)
    _tail: LogTail | None = None

    def begin(self) -> None:
        """Prepare the real input, and invite two gateways into different rings."""
        models = {
            f"{MODEL}@{number}": version.model.read_bytes()
            for number, version in enumerate(self.versions, 1)
        }
        files = live_files(ROOT, self._config, models)
        self.witness = Witness(self.stack, self.board, files)
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
        self.witness.expect_everywhere(f"{MODEL}@1")

    def upgrade(self) -> None:
        """Upgrade to release 2 while a client keeps asking everyone."""
        self.board.chapter(
            f"2  {MODEL}@2, standard_v3_3, while a client keeps asking all three"
        )
        model = self.versions[1].model.read_bytes()
        with self.witness.client() as client:
            journey = self._push(2, model, golden_of=model)
            self._expect_end(journey.follow(), "rollout finished")
            self.witness.expect_everywhere(f"{MODEL}@2")
            self.witness.wait_for_answers(client, f"{MODEL}@2", 50)
        self.witness.expect_no_failure(client)

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
        with self.witness.client() as client:
            self.witness.wait_for_requests(client, 64)
            journey = self._push(4, bad, golden_of=good)
            self._expect_end(journey.follow(), "rollout withdrawn")
            self.board.refusal("rollout", journey.reason())
            self.witness.expect_everywhere(f"{MODEL}@2")
        self.witness.expect_no_failure(client)
        self.witness.expect_unanswered(client, f"{MODEL}@4")
        self.witness.expect_never_downloaded("gw-1", f"{MODEL}@4")

    def outage(self) -> None:
        """Stop the cloud, and kill an agent in the middle of an install."""
        self.board.chapter(
            "5  The cloud goes away, and an agent is killed as it installs"
        )
        newcomer = self.stack.add_gateway(NEWCOMER, 1)
        self._kill_while_installing(newcomer)
        begun = time.monotonic()
        self.stack.stop_cloud()
        self.board.line("cloud", "every process stopped", time.monotonic() - begun)
        for device in ("gw-0", "gw-1"):
            tally = self.witness.ask_alone(self.stack.gateways[device])
            self.board.line(
                device, "answers alone", note=f"{tally.count} right answers"
            )
        begun = time.monotonic()
        self.stack.restart_cloud()
        newcomer.agent.start()
        wait_until(lambda: self.witness.release_of(newcomer) == f"{MODEL}@2", NEWCOMER)
        self.board.line(
            NEWCOMER,
            f"serves {MODEL}@2",
            time.monotonic() - begun,
            "after the cloud and its agent came back",
        )

    def compare(self) -> None:
        """Compare cloud and gateway on the same files, and add up the bytes."""
        self.board.chapter("6  Cloud and gateway answer alike")
        tallies = {name: Tally() for name in self.witness.places()}
        with requests.Session() as session:
            for name, url in self.witness.places().items():
                for file in self.witness.files:
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
        self.witness.expect_everywhere(f"{MODEL}@1")
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

    def _expect_end(self, last: str, expected: str) -> None:
        if not last.startswith(expected):
            raise StoryError(f"expected {expected!r}, it ended as {last!r}")

    def _kill_while_installing(self, gateway: Gateway) -> None:
        """Kill the agent once a slot holds a file and is not sealed."""
        slots = (
            Path(gateway.server.command.environment["PACKHORSE_STATE_DIR"]) / "slots"
        )
        self.stack.start_gateway(gateway.device)
        wait_until(lambda: _files_in(slots) > 0, gateway.device, poll_s=0.0005)
        gateway.agent.kill_for_good()
        sealed = [path.parent.name for path in slots.glob("*/installed.json")]
        note = f"files in the slot: {_files_in(slots)}, " + (
            "sealed" if sealed else "not yet sealed"
        )
        self.board.line(gateway.device, "agent killed as it installs", note=note)


def _files_in(slots: Path) -> int:
    """Count the files in the slots, which the agent may be clearing meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return sum(path.is_file() for path in slots.glob("*/*"))
    return 0
