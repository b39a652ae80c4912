"""The functions that an expression may call.

Only what this table names can be called, with the number of arguments it says;
the loader refuses anything else, by name.

Source: Google Workflows, "Standard library overview"
"""

import copy
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote

from local_cloud.workflows.errors import Value, runtime_error
from local_cloud.workflows.operators import type_name


@dataclass(frozen=True, slots=True)
class Function:
    """A function, and the least and most arguments it takes."""

    call: Callable[..., Value]
    least: int
    most: int


def _length(value: Value) -> Value:
    if isinstance(value, str | list | dict):
        return len(value)
    raise _wrong("len", "a string, list or map", value)


def _keys(value: Value) -> Value:
    return list(_map("keys", value))


def _integer(value: Value) -> Value:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise _wrong("int", "a number or a string", value)
    try:
        return int(value)
    except ValueError as error:
        raise runtime_error("ValueError", f"int: {value!r} is no integer") from error


def _double(value: Value) -> Value:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise _wrong("double", "a number or a string", value)
    try:
        return float(value)
    except ValueError as error:
        raise runtime_error("ValueError", f"double: {value!r} is no number") from error


def _string(value: Value) -> Value:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise _wrong("string", "a number, a boolean or a string", value)


def _default(value: Value, otherwise: Value) -> Value:
    return otherwise if value is None else value


def _map_get(of: Value, keys: Value) -> Value:
    """Look a key, or a path of keys, up; null where there is none."""
    found: Value = of
    for key in keys if isinstance(keys, list) else [keys]:
        if found is None:
            return None
        found = _map("map.get", found).get(_text("map.get", key))
    return found


def _map_merge(first: Value, second: Value) -> Value:
    return {**_map("map.merge", first), **_map("map.merge", second)}


def _map_delete(of: Value, key: Value) -> Value:
    wanted = _text("map.delete", key)
    return {k: v for k, v in _map("map.delete", of).items() if k != wanted}


def _concat(items: Value, item: Value) -> Value:
    if not isinstance(items, list):
        raise _wrong("list.concat", "a list", items)
    return [*items, copy.deepcopy(item)]


def _encode(value: Value) -> Value:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _decode(text: Value) -> Value:
    try:
        decoded: Value = json.loads(_text("json.decode", text))
    except ValueError as error:
        raise runtime_error("ValueError", "json.decode: no JSON came") from error
    return decoded


def _split(text: Value, at: Value) -> Value:
    return list(_text("text.split", text).split(_text("text.split", at)))


def _replace_all(text: Value, old: Value, new: Value) -> Value:
    name = "text.replace_all"
    return _text(name, text).replace(_text(name, old), _text(name, new))


def _substring(text: Value, begin: Value, end: Value) -> Value:
    if not isinstance(begin, int) or not isinstance(end, int):
        raise _wrong("text.substring", "integers", begin)
    return _text("text.substring", text)[begin:end]


def _map(name: str, value: Value) -> dict[str, Value]:
    if not isinstance(value, dict):
        raise _wrong(name, "a map", value)
    return value


def _text(name: str, value: Value) -> str:
    if not isinstance(value, str):
        raise _wrong(name, "a string", value)
    return value


def _wrong(name: str, wanted: str, value: Value) -> Exception:
    sentence = f"{name}: expected {wanted}, {type_name(value)} came"
    return runtime_error("TypeError", sentence)


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "default": Function(_default, 2, 2),
        "double": Function(_double, 1, 1),
        "get_type": Function(type_name, 1, 1),
        "int": Function(_integer, 1, 1),
        "json.decode": Function(_decode, 1, 1),
        "json.encode_to_string": Function(_encode, 1, 1),
        "keys": Function(_keys, 1, 1),
        "len": Function(_length, 1, 1),
        "list.concat": Function(_concat, 2, 2),
        "map.delete": Function(_map_delete, 2, 2),
        "map.get": Function(_map_get, 2, 2),
        "map.merge": Function(_map_merge, 2, 2),
        "string": Function(_string, 1, 1),
        "sys.now": Function(time.time, 0, 0),
        "text.replace_all": Function(_replace_all, 3, 3),
        "text.split": Function(_split, 2, 2),
        "text.substring": Function(_substring, 3, 3),
        "text.to_lower": Function(lambda t: _text("to_lower", t).lower(), 1, 1),
        "text.to_upper": Function(lambda t: _text("to_upper", t).upper(), 1, 1),
        "text.url_encode": Function(lambda t: quote(_text("url", t), safe=""), 1, 1),
        "uuid.generate": Function(lambda: str(uuid.uuid4()), 0, 0),
    }
)
"""What an expression may call, apart from `sys.get_env`, which the evaluator owns."""

GET_ENV = "sys.get_env"


def arity(name: str) -> tuple[int, int] | None:
    """Return the least and most arguments of a function, or None if unknown."""
    if name == GET_ENV:
        return 1, 2
    found = FUNCTIONS.get(name)
    return (found.least, found.most) if found else None
