"""An application that never stops asking, and checks every answer."""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import requests

from local_cloud.demo.magika import OUTPUT
from local_cloud.demo.samples import LiveFile

ABSOLUTE, RELATIVE = 1e-4, 1e-3
"""The golden tolerances that a release has unless its card says otherwise."""
_TIMEOUT_S = 10.0
_PAUSE_S = 0.005
_FAILURES_SHOWN = 5


@dataclass
class Tally:
    """What one place answered.

    Attributes:
        answers: Right answers by release.
        failures: What went wrong, a sentence each.
        largest_difference: From what onnxruntime gives directly.
    """

    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    largest_difference: float = 0.0

    @property
    def count(self) -> int:
        """Return how many requests were answered or failed."""
        return sum(self.answers.values()) + len(self.failures)


def ask(session: requests.Session, url: str, file: LiveFile, tally: Tally) -> None:
    """Ask once, and note whether the answer is right for the release that gave it."""
    try:
        reply = session.post(url, data=file.body, timeout=_TIMEOUT_S, headers=_JSON)
    except requests.RequestException as error:
        tally.failures.append(f"{file.name}: {type(error).__name__}")
        return
    release = reply.headers.get("X-Packhorse-Release", "")
    expected = file.answers.get(release)
    if reply.status_code != requests.codes.ok or expected is None:
        tally.failures.append(
            f"{file.name}: status {reply.status_code} from {release or 'no release'}: "
            f"{reply.text[:200]}"
        )
        return
    scores = _scores(reply)
    difference = np.abs(scores - expected)
    if not bool((difference <= ABSOLUTE + RELATIVE * np.abs(expected)).all()):
        tally.failures.append(f"{file.name}: a wrong answer from {release}")
        return
    tally.answers[release] += 1
    tally.largest_difference = max(tally.largest_difference, float(difference.max()))


_JSON = {"Content-Type": "application/json"}


def _scores(reply: requests.Response) -> np.ndarray:
    outputs = {output["name"]: output for output in reply.json()["outputs"]}
    data = [np.nan if value is None else value for value in outputs[OUTPUT]["data"]]
    return np.array(data, dtype=np.float64)


class Client:
    """Asks several places at once, one file after another, until it is stopped."""

    def __init__(self, places: dict[str, str], files: Sequence[LiveFile]) -> None:
        """Ask the URL of each place about the files, in turn."""
        self.tallies = {place: Tally() for place in places}
        self._files = files
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(url, self.tallies[place]))
            for place, url in places.items()
        ]

    def __enter__(self) -> Self:
        """Begin to ask."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop after the request under way."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def failures(self) -> list[str]:
        """Return the first few failures of all places."""
        return [
            f"{place}: {failure}"
            for place, tally in self.tallies.items()
            for failure in tally.failures[:_FAILURES_SHOWN]
        ]

    def _ask(self, url: str, tally: Tally) -> None:
        with requests.Session() as session:
            session.trust_env = False
            turn = 0
            while not self._stopped.wait(_PAUSE_S):
                ask(session, url, self._files[turn % len(self._files)], tally)
                turn += 1
