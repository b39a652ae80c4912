"""What operators and `[]` do to values.

Workflows converts nothing by itself: what does not fit is a TypeError.

Source: Google Workflows, "Data types"
"""

import operator
from collections.abc import Callable

from local_cloud.workflows.errors import Value, runtime_error

_ORDER: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


def type_name(value: Value) -> str:
    """Return what `get_type` calls the type of `value`."""
    names = {
        bool: "boolean",
        int: "integer",
        float: "double",
        str: "string",
        list: "list",
        dict: "map",
    }
    return "null" if value is None else names[type(value)]


def is_number(value: Value) -> bool:
    """Return whether `value` is an integer or a double."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_boolean(value: Value, what: str) -> bool:
    """Return `value`, which must be true or false."""
    if not isinstance(value, bool):
        raise _type_error(f"{what}: expected a boolean, {type_name(value)} came")
    return value


def look_up(of: Value, key: Value) -> Value:
    """Return `of[key]`."""
    if isinstance(of, dict) and isinstance(key, str):
        if key not in of:
            raise runtime_error("KeyError", f"key not found: {key}")
        return of[key]
    if isinstance(of, list) and isinstance(key, int) and not isinstance(key, bool):
        if not 0 <= key < len(of):
            raise runtime_error("IndexError", f"index out of range: {key}")
        return of[key]
    raise _type_error(f"{type_name(of)} has no [{type_name(key)}]")


def negate(value: Value) -> Value:
    """Return `-value`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _type_error(f"-: expected a number, {type_name(value)} came")
    return -value


def combine(sign: str, left: Value, right: Value) -> Value:
    """Apply any operator but `and` and `or`, which are the evaluator's."""
    if sign in {"==", "!="}:
        return _equals(left, right) is (sign == "==")
    if sign == "in":
        return _contains(left, right)
    if isinstance(left, str) and isinstance(right, str):
        return _combine_strings(sign, left, right)
    if sign in _ORDER:
        return _ORDER[sign](*_numbers(sign, left, right))
    return _calculate(sign, *_numbers(sign, left, right))


def _equals(left: Value, right: Value) -> bool:
    if is_number(left) and is_number(right):
        return left == right
    return type_name(left) == type_name(right) and left == right


def _contains(item: Value, of: Value) -> bool:
    if isinstance(of, dict) and isinstance(item, str):
        return item in of
    if isinstance(of, list):
        return any(_equals(item, one) for one in of)
    raise _type_error(f"in: expected a list or a map, {type_name(of)} came")


def _combine_strings(sign: str, left: str, right: str) -> Value:
    if sign == "+":
        return left + right
    if sign in _ORDER:
        comparison = (left > right) - (left < right)
        return _ORDER[sign](comparison, 0)
    raise _type_error(f"{sign}: expected numbers, strings came")


def _numbers(sign: str, left: Value, right: Value) -> tuple[float, float]:
    return _number(sign, left), _number(sign, right)


def _number(sign: str, value: Value) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _type_error(f"{sign}: expected a number, {type_name(value)} came")
    return value


def _calculate(sign: str, left: float, right: float) -> Value:
    if sign in {"/", "//", "%"} and right == 0:
        raise runtime_error("ZeroDivisionError", f"{sign}: division by zero")
    return _ARITHMETIC[sign](left, right)


def _type_error(message: str) -> Exception:
    return runtime_error("TypeError", message)
