"""What requests meet here when a test asked for it.

`PUT /_faults` sets the faults, in the order they are tried; `GET` shows them
with how often each was met; `DELETE` takes them away. Nothing of this is an API
of Google's. A fault says whom it meets, what is answered, and how the answer
then travels; `wire.py` does the travelling.
"""

import dataclasses
import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from local_cloud.documents import Document
from local_cloud.google_http import ApiError

PLACES = ("start", "head", "body", "end")
_WORDS = {
    "on": ("predictions", "reads"),
    "tokens": ("any", "seen"),
    "says": ("", "expired", "moved", "gone"),
    "cut": ("", "reset", "close"),
    "at": PLACES,
}
_STATUSES = range(200, 600)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    The container answers, and its answer is what is damaged, unless `status` or
    `says` is set.

    Attributes:
        on: `predictions`, or `reads`: the GET of an endpoint.
        endpoint: Its name or number; "" for any.
        deployed_model: Its id; "" for any. When set, an answer of `status` says
            which deployed model it is from, as a container's own does.
        tokens: `seen` meets only bearer tokens that were shown before the fault
            was set, so that a fresh one passes.
        share: Of the requests that fit, drawn from the seed.
        count: So many requests meet it, and no more; below 0: all.
        status: Answered in place of the container, 0 for the container's own.
        headers: Added to the answer, such as `Retry-After`.
        body: The answer's; "" for Google's own error of that status.
        body_bytes: The answer's body is so many spaces.
        says: What Google's front end says: `expired` token, endpoint that
            `moved` to a dedicated host, endpoint that is `gone`.
        at: Where `stall_s` and `cut` act: before the answer, in its head, in the
            middle of its body, or after its end.
        stall_s: Nothing is sent for so long.
        cut: `reset` ends the connection with RST, `close` with FIN.
        bytes_per_s: What is sent after `at` is sent so slowly; 0 for at once.
        length_by: Content-Length says so many bytes more than there are.
        is_chunked: The body comes with Transfer-Encoding: chunked.
        is_garbage: What comes is not HTTP.
    """

    on: str = "predictions"
    endpoint: str = ""
    deployed_model: str = ""
    tokens: str = "any"
    share: float = 1.0
    count: int = -1
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    body_bytes: int = 0
    says: str = ""
    at: str = "start"
    stall_s: float = 0.0
    cut: str = ""
    bytes_per_s: int = 0
    length_by: int = 0
    is_chunked: bool = False
    is_garbage: bool = False

    def __post_init__(self) -> None:
        """Refuse words and numbers that mean nothing."""
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise _refusal(f"{name}: expected one of {words}")
        if self.status and self.status not in _STATUSES:
            raise _refusal("status: expected 200 to 599")
        if not 0 <= self.share <= 1:
            raise _refusal("share: expected 0 to 1")

    def fits(self, on: str, endpoint: str, deployed_id: str) -> bool:
        """Tell whether it is meant for such a request."""
        names = {"", endpoint, endpoint.rsplit("/", 1)[1]}
        is_model = self.deployed_model in {"", deployed_id}
        return self.on == on and self.endpoint in names and is_model


@dataclass(slots=True)
class _Rule:
    fault: Fault
    left: int
    old_tokens: frozenset[str]
    met: int = 0


class Faults:
    """The faults that are set, and the tokens that were shown."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []
        self._tokens: set[str] = set()
        self._random = random.Random(0)  # noqa: S311  a test wants the same again

    def replace(self, document: Mapping[str, object]) -> None:
        """Set the faults of `{"seed": 7, "faults": [{...}]}`, in place of all others.

        Raises:
            ApiError: One of them is none.
        """
        wanted = document.get("faults", [])
        if not isinstance(wanted, list):
            raise _refusal("faults: expected a list")
        faults = [_read(one) for one in wanted]
        with self._lock:
            old = frozenset(self._tokens)
            self._random.seed(str(document.get("seed", 0)))
            self._rules = [_Rule(fault, fault.count, old) for fault in faults]

    def shown(self) -> Document:
        """Return the faults and how often each was met."""
        with self._lock:
            rules = [(dataclasses.asdict(r.fault), r.met) for r in self._rules]
        return {"faults": [{**fault, "met": met} for fault, met in rules]}

    def draw(
        self, on: str, endpoint: str, deployed_id: str, token: str
    ) -> Fault | None:
        """Return the fault that a request meets, or None."""
        with self._lock:
            self._tokens.add(token)
            for rule in self._rules:
                if rule.fault.fits(on, endpoint, deployed_id) and self._hits(
                    rule, token
                ):
                    rule.met += 1
                    rule.left -= 1
                    return rule.fault
        return None

    def _hits(self, rule: _Rule, token: str) -> bool:
        if rule.left == 0:
            return False
        if rule.fault.tokens == "seen" and token not in rule.old_tokens:
            return False
        return self._random.random() < rule.fault.share


def _read(value: object) -> Fault:
    if not isinstance(value, dict):
        raise _refusal("expected an object")
    try:
        return Fault(**value)
    except TypeError as error:
        raise _refusal(str(error)) from error


def _refusal(sentence: str) -> ApiError:
    return ApiError("INVALID_ARGUMENT", f"/_faults: {sentence}")
