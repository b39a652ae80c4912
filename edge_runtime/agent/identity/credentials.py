"""What lets this device read the bucket: a token, held in memory and renewed.

A token is renewed well before it ends; while that fails, the one at hand is used to
its end. One that the bucket refuses is replaced once. Where the cloud refuses a
token, it is asked ever more seldom: the gateway goes on serving what it has.

Whoever renews is the agent's loop, in one thread; serving knows nothing of it.
"""

import random
import time
from collections.abc import Callable, Mapping

from edge_runtime.agent.errors import RefusedError, UnavailableError
from edge_runtime.agent.identity.read_token import TokenDesk
from edge_runtime.agent.pause import Pause
from edge_runtime.log import log

RENEW_SHARES = (0.5, 0.8)
"""A token is renewed within this part of its life, at random: devices share tokens
that end together, and must not all come for the next at once."""

REPLACE_GAP_S = 60.0
"""A bucket that refuses every token costs one new token in this time."""

_UNAUTHORISED, _FORBIDDEN = 401, 403


class DeviceCredentials:
    """Credentials of a device that the cloud knows, for one repository."""

    def __init__(
        self,
        desk: TokenDesk,
        repository_url: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """Send tokens of `desk` to `repository_url`, and nowhere else."""
        self._desk = desk
        self._prefix = f"{repository_url}/"
        self._clock = clock
        self._draw = draw
        self._refused = Pause(clock=clock)
        self._away = Pause(clock=clock)
        self._token = ""
        self._renew_at_s = self._ends_at_s = float("-inf")
        self._replaced_at_s = float("-inf")
        self._is_403_final = False

    def headers(self, url: str) -> Mapping[str, str]:
        """Return the headers for a request to `url`.

        Raises:
            UnavailableError: It needs a token, and none can be had now.
        """
        if not url.startswith(self._prefix):
            return {}
        if self._clock() >= self._renew_at_s:
            self._renew()
        return self._headers()

    def replace(self, refused: Mapping[str, str], status: int) -> Mapping[str, str]:
        """Return the headers for another try, or none where that would be in vain.

        Args:
            refused: The headers of the request that was refused.
            status: What the bucket answered.
        """
        if not refused or status not in {_UNAUTHORISED, _FORBIDDEN}:
            return {}
        if status == _FORBIDDEN and self._is_403_final:
            return {}
        if self._clock() - self._replaced_at_s < REPLACE_GAP_S:
            return {}
        self._replaced_at_s = self._clock()
        log("token_refused", status=status)
        self._renew_at_s = float("-inf")
        if status == _UNAUTHORISED:
            self._ends_at_s = float("-inf")
        before = self._token
        try:
            self._renew()
        except UnavailableError:
            return {}
        # A bucket that may not be listed says 403 of every object that is not there.
        # That was worth one new token; from now on it is an answer as any other.
        self._is_403_final |= status == _FORBIDDEN
        return self._headers() if self._token != before else {}

    def _headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def _renew(self) -> None:
        """Get a new token; keep the old one while it is good and none can be had.

        Raises:
            UnavailableError: There is neither.
        """
        is_good = self._clock() < self._ends_at_s
        if not (self._refused.is_over and self._away.is_over):
            if is_good:
                return
            raise UnavailableError("no read token could be had; it is asked for later")
        try:
            self._take()
        except UnavailableError as error:
            pause = self._refused if isinstance(error, RefusedError) else self._away
            wait_s = round(pause.begin())
            log("token_failed", reason=str(error), wait_s=wait_s)
            if not is_good:
                raise

    def _take(self) -> None:
        asked_at_s = self._clock()
        token = self._desk.ask()
        life_s = token.expires_in_s
        self._token = token.access_token
        self._ends_at_s = asked_at_s + life_s
        self._renew_at_s = asked_at_s + life_s * self._draw(*RENEW_SHARES)
        self._refused.end()
        self._away.end()
        log("token_done", expires_in_s=round(life_s))
