"""Stop asking an upstream that fails, and ask again as soon as it may be well.

Every answer is held against a circuit: of the deployed model that its header
names, or, where none came or nobody is named, of the endpoint itself. A request
cannot choose which deployed model answers it, so it is refused only when the
endpoint's circuit is open, or that of every deployed model that answered lately.

A circuit keeps a score: one up for a failure, one down for an answer, one down for
each second, never below nought. It opens at `OPENS_AT`. Where more than half fails it
gets there, the sooner the worse; where three in ten do, an excursion gets there
once in twenty million; and one request a second is too few to be in the way.

Open, it lets single requests through as probes, and the first good answer closes it.
Probes come soon: after a tenth of a second, then after twice as long each time, but
no more than `PROBE_MAX_S`. What a long pause would spare the upstream is one request
a second, less than what opened the circuit; what it would cost is minutes of refusals
after the upstream is well. Only probes that do not come back make the pauses longer,
for each of them is a caller who waits, and holds memory here.

Source: Nygard, "Release It!", "Circuit Breaker"; Page, "Continuous Inspection
Schemes" (the score)
"""

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from functions.errors import CircuitOpenError
from functions.prediction.circuit_state import Circuit, Probes

LATELY_S = 60.0
"""Who has not answered for so long may be deployed no more."""

MODELS_MAX = 16
"""Circuits of deployed models for each endpoint; the longest silent goes first."""

LATE_LEAST_S = 0.5
LATE_TIMES = 4.0
"""A late answer is a failure where there was time for several usual ones. Else a few
callers in a hurry would close a slow model to everybody."""

_FAILURES = frozenset({500, 502, 503, 504})
_SERVER_ERROR = 500
_SMOOTHED = 8
"""The usual time of an answer is that of about so many."""
_ALMOST = 0.99
"""Of an endpoint's whole time; some was spent before the try."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A circuit opened, or closed.

    Attributes:
        deployed_id: Whose circuit; empty for the endpoint's own.
        why: What the last request met; empty where it was answered well.
    """

    endpoint: str
    deployed_id: str
    why: str
    is_open: bool


class _Tell(Protocol):
    def __call__(self, deployed_id: str, why: str, *, is_open: bool) -> None: ...


class _Endpoint:
    """The circuits of one endpoint."""

    __slots__ = ("_models", "_own", "_tell", "last", "probes", "usual_s")

    def __init__(self, draw: Callable[[], float], tell: "_Tell") -> None:
        """Begin with all well."""
        self._tell = tell
        self.probes = Probes(draw)
        self.last = 0
        self._own = Circuit()
        self._models: dict[str, Circuit] = {}
        self.usual_s = 0.0

    def is_shut(self, now: float) -> bool:
        """Say whether no request but probes shall go there."""
        if self._own.is_open:
            return True
        lately = [
            circuit.is_open
            for circuit in self._models.values()
            if now - circuit.answered_at < LATELY_S
        ]
        return bool(lately) and all(lately)

    def note_model(self, deployed_id: str, began: int, now: float, why: str) -> None:
        """Take an answer of a deployed model into account.

        That it came at all speaks for the endpoint.
        """
        self.note(began, now, "")
        circuit = self._models.get(deployed_id) or self._begin(deployed_id)
        circuit.answered_at = now
        self._note(circuit, deployed_id, began, now, why)

    def note(self, began: int, now: float, why: str) -> None:
        """Take into account what no deployed model answers for."""
        self._note(self._own, "", began, now, why)

    def _note(
        self, circuit: Circuit, deployed_id: str, began: int, now: float, why: str
    ) -> None:
        """Take an outcome into account; `why` says what failed, if anything did."""
        if not circuit.note(began, self.last, now, is_failure=bool(why)):
            return
        if circuit.is_open:
            self.probes.begin(now)
        self._tell(deployed_id, why, is_open=circuit.is_open)

    def learn_usual(self, took_s: float) -> None:
        """Remember how long an answer took."""
        known_s = self.usual_s or took_s
        self.usual_s = known_s + (took_s - known_s) / _SMOOTHED

    def had_time(self, allowed_s: float, limit_s: float) -> bool:
        """Say whether a usual answer would have come in `allowed_s`."""
        fair_s = max(LATE_LEAST_S, LATE_TIMES * self.usual_s)
        return allowed_s >= _ALMOST * min(limit_s, fair_s)

    def _begin(self, deployed_id: str) -> Circuit:
        if len(self._models) >= MODELS_MAX:
            del self._models[
                min(self._models, key=lambda name: self._models[name].answered_at)
            ]
        circuit = self._models[deployed_id] = Circuit()
        return circuit


class Permit:
    """One request that may go, and what became of it.

    Where neither `answered` nor `was_late` nor `failed` is called, it says nothing.
    `close` is called once, always.
    """

    __slots__ = ("_began", "_began_at", "_clock", "_endpoint", "_era")

    def __init__(
        self, endpoint: _Endpoint, clock: Callable[[], float], era: int | None
    ) -> None:
        """Number the request.

        Args:
            endpoint: Where it goes.
            clock: Seconds that never go back.
            era: Of a probe, as it was taken; None for any other request.
        """
        endpoint.last += 1
        self._endpoint = endpoint
        self._clock = clock
        self._began = endpoint.last
        self._began_at = clock()
        self._era = era

    def answered(self, status: int, deployed_id: str) -> None:
        """Note an answer.

        Args:
            status: Of these only 500, 502, 503 and 504 are failures. 429 is none: it
                comes from an upstream that is well and is asked too much.
            deployed_id: Who answered; empty where the answer does not say.
        """
        now = self._clock()
        if status < _SERVER_ERROR:
            self._endpoint.learn_usual(now - self._began_at)
        why = f"it answered {status}" if status in _FAILURES else ""
        if deployed_id:
            self._endpoint.note_model(deployed_id, self._began, now, why)
        else:
            self._endpoint.note(self._began, now, why)

    def was_late(self, allowed_s: float, limit_s: float) -> None:
        """Note that no answer came in time.

        Args:
            allowed_s: The time that it had.
            limit_s: The time that the endpoint may take.
        """
        if self._endpoint.had_time(allowed_s, limit_s):
            self._endpoint.note(self._began, self._clock(), "it did not answer in time")

    def failed(self) -> None:
        """Note that no answer came, or none that is one."""
        self._endpoint.note(self._began, self._clock(), "it gave no answer")

    def close(self) -> None:
        """Let another probe go in this one's place."""
        if self._era is not None:
            self._endpoint.probes.give_back(self._era)


class Circuits:
    """The circuits of every endpoint; one for the process."""

    def __init__(
        self,
        clock: Callable[[], float],
        draw: Callable[[], float] = random.random,
        tell: Callable[[Turn], None] | None = None,
    ) -> None:
        """Begin with all well.

        Args:
            clock: Seconds that never go back.
            draw: Gives random numbers in [0, 1).
            tell: Is told of each circuit that opens or closes.
        """
        self._clock = clock
        self._draw = draw
        self._tell = tell
        self._endpoints: dict[str, _Endpoint] = {}

    def shut_for_s(self, endpoint: str) -> float:
        """Return when to ask again; 0 where a request would be sent now."""
        found = self._endpoints.get(endpoint)
        if found is None:
            return 0.0
        now = self._clock()
        if not found.is_shut(now) or found.probes.is_due(now):
            return 0.0
        return found.probes.left_s(now)

    def admit(self, endpoint: str) -> Permit:
        """Let a request go, as a probe where the endpoint is given up for now.

        Raises:
            CircuitOpenError: It shall not be sent; nothing was.
        """
        shut_for_s = self.shut_for_s(endpoint)
        if shut_for_s:
            raise CircuitOpenError(
                "the model's endpoint failed too often just now; ask again in a moment",
                retry_after_s=shut_for_s,
            )
        found = self._endpoints.get(endpoint)
        if found is None:
            # Endpoints are those of the settings, so there are never many.
            told = functools.partial(self._turned, endpoint)
            found = self._endpoints[endpoint] = _Endpoint(self._draw, told)
        now = self._clock()
        era = found.probes.take(now) if found.is_shut(now) else None
        return Permit(found, self._clock, era)

    def _turned(
        self, endpoint: str, deployed_id: str, why: str, *, is_open: bool
    ) -> None:
        if self._tell is not None:
            self._tell(Turn(endpoint, deployed_id, why, is_open=is_open))

    def usual_s(self, endpoint: str) -> float:
        """Return how long an endpoint's answers take; 0 before the first."""
        found = self._endpoints.get(endpoint)
        return found.usual_s if found else 0.0
