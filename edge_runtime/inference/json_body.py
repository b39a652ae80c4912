"""A request's JSON: Python's objects for small bodies, flat numbers for large ones.

orjson turns a small body into Python's objects. Of a large one simdjson makes a
tape of the whole document; what describes the tensors becomes Python's objects,
and the numbers go from the tape to an array. What all this takes in memory is
bounded before it is made.

Source: simdjson, "The Document-Object-Model (DOM) front-end"
"""

import re
from collections.abc import Mapping

import numpy as np
import orjson
import simdjson

from edge_runtime.inference.json_numbers import JsonNumbers, Tally
from packhorse.errors import LimitExceededError, TensorError
from packhorse.inference.vertex import INSTANCES_MAX

SMALL_MAX_BYTES = 8192
"""Up to here orjson is sooner than simdjson and the walk over its document."""

LISTS_MAX = 1024**2
"""Lists, and objects, in one body: walking them takes 0.1 s, and making Python's
objects of them 64 MB. Rows shorter than these allow belong into binary tensors."""

VALUES_MAX = 2**24 - 1
"""Values in one body: simdjson counts those of a list in 24 bits. On its tape and
as doubles they take 400 MB."""

KEPT_MAX_BYTES = 4 * 1024**2
"""Bodies up to here leave their parser's memory, up to 13 times as much, to the
next one, which saves a quarter of the time; a picture's numbers are 3 MB."""

RETRIED_MAX_BYTES = 4 * 1024**2
"""Bodies up to here that simdjson refuses are given to orjson, which says where
they are wrong, and takes integers beyond 64 bits as floats."""

FIELDS_MAX = 64
"""Fields of one object; those of the protocols have five."""

PLAIN_MAX = 10_000
"""Values beside the tensors' own: ids, shapes, parameters."""

DEPTH_MAX = 32
"""Levels of lists and objects beside the tensors' own."""

_SHORTEST_BYTES = 3
"""Of a list or an object with the comma that parts it from the next."""

_SEARCHED_BYTES = 1024**2
"""Looked through at a time, so that little memory is taken for it."""

_PLAIN_FIELDS = frozenset({"id", "outputs", "parameters"})

_CONTAINERS = frozenset({simdjson.Array, simdjson.Object})

_kept: list[simdjson.Parser] = []
"""At most one: popped while it parses, so two threads never share it."""


_NO_NUMBER = re.compile(rb"\b(?:NaN|nan|Infinity|inf)\b")


def decode_document(body: bytes | bytearray | memoryview) -> Mapping[str, object]:
    """Read a request's JSON object, whichever protocol it speaks.

    Returns:
        Its fields. In a large body the arrays under `data` and `instances` are
        `Numbers`, which must be read before the next body is decoded to let that
        one use the same memory; fields of no protocol are left out.

    Raises:
        TensorError: It is no JSON object.
        LimitExceededError: It has more values, lists or fields than allowed.
    """
    if len(body) <= SMALL_MAX_BYTES:
        return _decode_small(body)
    lists = _check_size(body)
    try:
        document = _parse(body)
    except (ValueError, RuntimeError) as error:
        if len(body) <= RETRIED_MAX_BYTES:
            return _decode_small(body)
        raise TensorError(f"a request must be JSON{_nan_hint(body)}") from error
    if not isinstance(document, simdjson.Object):
        raise TensorError("a request must be a JSON object")
    reader = _Reader(lists)
    fields = reader.read_request(document)
    reader.tally.settle()
    return fields


def _decode_small(body: bytes | bytearray | memoryview) -> dict[str, object]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise TensorError(
            f"a request must be JSON: {error.msg} at character {error.pos}"
            f"{_nan_hint(body)}"
        ) from error
    if type(document) is not dict:
        raise TensorError("a request must be a JSON object")
    return document


def _nan_hint(body: bytes | bytearray | memoryview) -> str:
    """Say what to do where the mistake may be that a number is none."""
    if _NO_NUMBER.search(body) is None:
        return ""
    return "; NaN and the infinities have no JSON: send them in binary tensors"


def _check_size(body: bytes | bytearray | memoryview) -> int:
    """Refuse what would take too much memory or time; return how many '[' there are."""
    lists = _count(body, b"[")
    if lists > LISTS_MAX:
        raise LimitExceededError(f"at most {LISTS_MAX} lists, came {lists}")
    if len(body) > LISTS_MAX * _SHORTEST_BYTES and _count(body, b"{") > LISTS_MAX:
        raise LimitExceededError(f"at most {LISTS_MAX} objects, came more")
    if len(body) > VALUES_MAX and _count(body, b",") >= VALUES_MAX:
        raise LimitExceededError(
            f"at most {VALUES_MAX} values in JSON, came more; send binary tensors"
        )
    return lists


def _count(body: bytes | bytearray | memoryview, character: bytes) -> int:
    """Count a character, which in long bodies numpy does soonest."""
    text = np.frombuffer(body, np.uint8)
    pieces = range(0, len(text), _SEARCHED_BYTES)
    wanted = character[0]
    return sum(
        int(np.count_nonzero(text[at : at + _SEARCHED_BYTES] == wanted))
        for at in pieces
    )


def _parse(body: bytes | bytearray | memoryview) -> object:
    """Return simdjson's document.

    Raises:
        ValueError: It is no JSON.
        RuntimeError: It is no JSON.
    """
    if bytes(body[:3]) == b"\xef\xbb\xbf":
        raise ValueError("a byte order mark")
    if len(body) > KEPT_MAX_BYTES:
        return simdjson.Parser().parse(body)
    try:
        parser = _kept.pop()
    except IndexError:  # another thread has it, or there was none yet
        parser = simdjson.Parser()
    try:
        return parser.parse(body)
    except RuntimeError:
        # Somebody still reads the document before: that one keeps its parser.
        parser = simdjson.Parser()
        return parser.parse(body)
    finally:
        _kept[:] = [parser]


class _Reader:
    """Takes what describes the tensors out of a document."""

    def __init__(self, lists: int) -> None:
        """Read a document whose text has so many opening brackets."""
        self.tally = Tally(lists)
        self._left = PLAIN_MAX

    def read_request(self, document: simdjson.Object) -> dict[str, object]:
        """Return the fields that the protocols know."""
        fields: dict[str, object] = {}
        for name, value in _fields(document):
            if name in _PLAIN_FIELDS:
                fields[name] = self._plain(value)
            elif name == "inputs":
                fields[name] = self._tensors(value)
            elif name == "instances":
                fields[name] = self._instances(value)
        return fields

    def _tensors(self, value: object) -> object:
        """Return the entries of `inputs`."""
        if not isinstance(value, simdjson.Array) or len(value) > FIELDS_MAX:
            return self._plain(value)
        self.tally.count(1)
        return [self._tensor(entry) for entry in value]

    def _tensor(self, entry: object) -> object:
        """Return one entry of `inputs`, its data as they are."""
        if not isinstance(entry, simdjson.Object):
            return self._plain(entry)
        return {
            name: self._array(value)
            if name == "data" and isinstance(value, simdjson.Array)
            else self._plain(value)
            for name, value in _fields(entry)
        }

    def _instances(self, value: object) -> object:
        """Return the instances: objects one by one, anything else as it is."""
        if not isinstance(value, simdjson.Array):
            return self._plain(value)
        if len(value) == 0 or not isinstance(next(iter(value)), simdjson.Object):
            return self._array(value)
        if len(value) > INSTANCES_MAX:
            raise LimitExceededError(
                f"at most {INSTANCES_MAX} instances, came {len(value)}"
            )
        self.tally.count(1)
        return [self._instance(instance) for instance in value]

    def _instance(self, instance: object) -> object:
        """Return one instance, its rows as they are."""
        if isinstance(instance, simdjson.Object):
            return {name: self._row(value) for name, value in _fields(instance)}
        return self._row(instance)

    def _row(self, value: object) -> object:
        """Return a row: short ones as a list, which many stack sooner."""
        if isinstance(value, simdjson.Object):
            return {name: self._part(part) for name, part in _fields(value)}
        if not isinstance(value, simdjson.Array):
            return value
        if len(value) <= FIELDS_MAX:
            items = list(value)
            if _CONTAINERS.isdisjoint(map(type, items)):
                self.tally.count(1)
                return items
        return self._array(value)

    def _part(self, value: object) -> object:
        """Return a field of a row that is an object, as with base64."""
        return self._plain(value) if type(value) in _CONTAINERS else value

    def _array(self, value: simdjson.Array) -> JsonNumbers:
        return JsonNumbers(value, self.tally)

    def _plain(self, value: object, depth: int = 0) -> object:
        """Turn something small into Python's objects."""
        self._left -= 1
        if self._left < 0 or depth > DEPTH_MAX:
            raise LimitExceededError(
                f"beside the tensors' data at most {PLAIN_MAX} values,"
                f" {DEPTH_MAX} levels deep"
            )
        if isinstance(value, simdjson.Array):
            self.tally.count(1)
            return [self._plain(part, depth + 1) for part in value]
        if isinstance(value, simdjson.Object):
            return {name: self._plain(part, depth + 1) for name, part in _fields(value)}
        return value


def _fields(document: simdjson.Object) -> list[tuple[str, object]]:
    """Return an object's fields.

    Raises:
        LimitExceededError: There are too many: each is looked up from the start.
        TensorError: A name stands there twice, so that readers could differ, or
            cannot be looked up.
    """
    if len(document) > FIELDS_MAX:
        raise LimitExceededError(
            f"an object has at most {FIELDS_MAX} fields, came {len(document)}"
        )
    names = list(document)
    if len(set(names)) != len(names):
        raise TensorError(f"a field stands there twice among {sorted(names)}"[:200])
    if any("\0" in name for name in names):
        # simdjson looks a name up to its first NUL.
        raise TensorError("a field's name holds the character NUL")
    return [(name, document[name]) for name in names]
