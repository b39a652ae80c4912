"""One version of one model in memory, proven or at least warm, and how it fares.

A run can fail since its input is odd, or since the model is broken. Which of the
two it was is found out by running a sample that the model has answered before: a
model that still answers it is sound. One that fails on it as well, several times
in a row, is not ready any more, until a run succeeds again.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_runtime.errors import ModelError
from edge_runtime.http.replies import Headers
from edge_runtime.measures import ModelMeasures
from edge_runtime.model_session import ModelSession
from edge_runtime.models.run_plan import RunPlan
from edge_runtime.recent import RecentExchanges
from packhorse.inference.signature import Arrays, Signature

RELEASE_HEADER = "X-Packhorse-Release"

FAILURES_MAX = 5
"""Failures in a row after which a model is not ready any more."""

RETRY_S = 5.0
"""Time after which a model that is not ready is tried again, when somebody asks:
nobody sends requests to a server that is not ready, so none would ever succeed."""


@dataclass(slots=True, eq=False)
class ServedModel:
    """One version of one model.

    Attributes:
        name: As requests name it.
        version: A number, as text.
        session: Runs it.
        plan: How it is best run.
        source: Where it was loaded from: `slot a`, or a directory.
        sample: Inputs that it has answered on this machine.
        is_proven: Whether its golden samples have run here and agreed.
        headers: What every answer of this model carries.
        failures: Runs in a row that failed by its own fault.
        reason: Why it is not ready; empty when it is.
    """

    name: str
    version: str
    session: ModelSession
    plan: RunPlan
    source: str
    sample: Arrays
    is_proven: bool = False
    clock: Callable[[], float] = time.monotonic
    measures: ModelMeasures = field(default_factory=ModelMeasures)
    recent: RecentExchanges = field(default_factory=RecentExchanges)
    headers: Headers = field(init=False)
    failures: int = field(default=0, init=False)
    reason: str = field(default="", init=False)
    _tried_s: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Write down once what every answer repeats."""
        self.headers = ((RELEASE_HEADER, self.release),)

    @property
    def release(self) -> str:
        """Return name and version as people write them: `magika@2`."""
        return f"{self.name}@{self.version}"

    @property
    def signature(self) -> Signature:
        """Return what the model takes and gives."""
        return self.session.signature

    @property
    def is_ready(self) -> bool:
        """Whether it answers."""
        return not self.reason

    def failed(self, error: Exception) -> bool:
        """Say whether the model is to blame for a failed run, and not its input.

        Runs the model once more, in the thread that asks.

        Args:
            error: What the run raised; one of ours, whose text may be shown.
        """
        try:
            self.session.run(self.sample)
        except ModelError:
            self._count(error)
            return True
        # The sample's success is no reason to forget: it is an answer nobody got.
        return False

    def succeeded(self) -> None:
        """Forget former failures; to be called after a run that was answered."""
        self.failures = 0
        self.reason = ""

    def try_again(self) -> None:
        """Run the sample of a model that is not ready, now and then.

        In a thread: in the event loop a run of some length would be stopped, and
        such a model would never be ready again. Who asks next is told.
        """
        if self.is_ready or self.clock() - self._tried_s < RETRY_S:
            return
        self._tried_s = math.inf  # one at a time
        try:
            threading.Thread(target=self._try_sample, daemon=True).start()
        except RuntimeError:  # no memory for a thread
            self._tried_s = self.clock()

    def _try_sample(self) -> None:
        try:
            self.session.run(self.sample)
        except ModelError as error:
            self._count(error)
        else:
            self.succeeded()
        finally:
            self._tried_s = self.clock()

    def _count(self, error: Exception) -> None:
        self.failures += 1
        if self.failures >= FAILURES_MAX:
            self._tried_s = self.clock()
            self.reason = (
                f"{self.release} failed {self.failures} times in a row,"
                f" on its own sample too: {error}"
            )


def own_measures(model: ServedModel) -> ModelMeasures:
    """Return what this process has measured of a model."""
    return model.measures
