"""JSON from strangers, read strictly, and JSON of ours, written one way only.

A document is refused when it is too long or too deep, repeats a key, holds a
number that JSON does not know, or has a field that its format does not.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NoReturn

from packhorse.errors import LimitExceededError, MalformedError

DEPTH_MAX = 32
"""No format of ours nests deeper than six; the rest is room."""

TEXT_MAX = 1024
"""Characters in one text field, unless the format says otherwise."""

# A string is taken whole, and to the end where it is never closed: trying again
# at each of its quotes would take time that grows with the square of the length.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def decode_json(body: bytes, *, what: str, limit_bytes: int) -> object:
    """Read one JSON document.

    Args:
        body: UTF-8 JSON.
        what: What the document is, for the error's sentence.
        limit_bytes: Longest `body` accepted, in bytes.

    Raises:
        LimitExceededError: It is longer than `limit_bytes` or nests too deep.
        MalformedError: It is no JSON, repeats a key, or holds NaN or Infinity.
    """
    if len(body) > limit_bytes:
        raise LimitExceededError(
            f"a {what} may be {limit_bytes} bytes long, this one is {len(body)}"
        )
    _check_depth(body, what)
    try:
        return json.loads(
            body, object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except UnicodeDecodeError as error:
        raise MalformedError(f"a {what} must be UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise MalformedError(
            f"a {what} must be JSON: {error.msg} at character {error.pos}"
        ) from error
    except ValueError as error:
        # json raises a plain ValueError for integers of over 4,300 digits.
        raise MalformedError(f"a {what} holds a number that is too long") from error


def encode_json(value: object) -> bytes:
    """Write `value` as canonical JSON: sorted keys, no spaces, ASCII.

    Raises:
        ValueError: `value` holds NaN or Infinity, a mistake of the caller's.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()


def decode_instant(text: str, what: str = "a time") -> datetime:
    """Read an instant out of a text field, as UTC.

    Raises:
        MalformedError: It is none, or does not name its offset.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise MalformedError(f"{what} must be ISO 8601, not {text[:40]!r}") from error
    if instant.tzinfo is None:
        raise MalformedError(f"{what} must name its offset from UTC")
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise MalformedError(f"{what} lies outside the calendar") from error


def _check_depth(body: bytes, what: str) -> None:
    """Refuse what would nest too deep, before the parser recurses into it."""
    depth = 0
    for match in _TOKEN.finditer(body):
        token = match.group()
        if token in b"[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise LimitExceededError(
                    f"a {what} may nest {DEPTH_MAX} deep, this one nests deeper"
                )
        elif token in b"]}":
            depth -= 1


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedError(f"the field {twice!r} stands there twice")
    return found


def _refuse_constant(constant: str) -> NoReturn:
    raise MalformedError(f"{constant} is no JSON number")


class Fields:
    """The fields of one JSON object, taken one by one; `done` refuses the rest."""

    def __init__(self, value: object, what: str) -> None:
        """Start on `value`, called `what` in errors."""
        if not isinstance(value, dict):
            raise MalformedError(f"{what} must be an object, not {_kind(value)}")
        self._left: dict[str, object] = dict(value)
        self._what = what

    def __contains__(self, name: str) -> bool:
        """Say whether the field `name` is there and not yet taken."""
        return name in self._left

    def take(self, name: str) -> object:
        """Return the field's value, whatever it is."""
        if name not in self._left:
            raise MalformedError(f"{self._what} lacks the field {name!r}")
        return self._left.pop(name)

    def text(
        self, name: str, *, pattern: str | None = None, max_length: int = TEXT_MAX
    ) -> str:
        """Return a text field of at most `max_length` characters."""
        value = self.take(name)
        if not isinstance(value, str):
            raise self._wrong(name, "text", value)
        if len(value) > max_length:
            raise LimitExceededError(
                f"{self._what}: {name!r} may have {max_length} characters, "
                f"it has {len(value)}"
            )
        if pattern is not None and re.fullmatch(pattern, value) is None:
            raise MalformedError(
                f"{self._what}: {name!r} must match {pattern}, not {value[:80]!r}"
            )
        return value

    def integer(self, name: str, *, low: int = 0, high: int = 2**53 - 1) -> int:
        """Return an integer field between `low` and `high`, both included."""
        value = self.take(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(name, "an integer", value)
        if not low <= value <= high:
            raise MalformedError(
                f"{self._what}: {name!r} must lie in {low}..{high}, not {value}"
            )
        return value

    def number(self, name: str, *, low: float = 0.0) -> float:
        """Return a number field of at least `low`."""
        value = self.take(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._wrong(name, "a number", value)
        try:
            number = float(value)
        except OverflowError as error:
            raise MalformedError(f"{self._what}: {name!r} is too large") from error
        if not low <= number < float("inf"):
            raise MalformedError(f"{self._what}: {name!r} must be at least {low}")
        return number

    def boolean(self, name: str) -> bool:
        """Return a field that is true or false."""
        value = self.take(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return value

    def mapping(self, name: str, *, max_items: int = 256) -> Mapping[str, object]:
        """Return an object field of at most `max_items` entries."""
        value = self.take(name)
        if not isinstance(value, dict):
            raise self._wrong(name, "an object", value)
        self._check_count(name, len(value), max_items)
        return value

    def sequence(self, name: str, *, max_items: int = 256) -> Sequence[object]:
        """Return a list field of at most `max_items` entries."""
        value = self.take(name)
        if not isinstance(value, list):
            raise self._wrong(name, "a list", value)
        self._check_count(name, len(value), max_items)
        return value

    def optional(self, name: str) -> object | None:
        """Return the field's value, or None where it is absent or null."""
        return self._left.pop(name, None)

    def done(self) -> None:
        """Refuse every field that nobody took."""
        if self._left:
            raise MalformedError(
                f"{self._what} has the unknown field {min(self._left)[:80]!r}"
            )

    def _check_count(self, name: str, count: int, max_items: int) -> None:
        if count > max_items:
            raise LimitExceededError(
                f"{self._what}: {name!r} may hold {max_items} entries, it holds {count}"
            )

    def _wrong(self, name: str, expected: str, value: object) -> MalformedError:
        return MalformedError(
            f"{self._what}: {name!r} must be {expected}, not {_kind(value)}"
        )


def _kind(value: object) -> str:
    """Name a JSON value's kind in the words of JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else "a number"
