"""Variables, and the values of expressions over them.

Source: Google Workflows, "Variables", "Variable scope"
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

from local_cloud.workflows import operators
from local_cloud.workflows.errors import Value, runtime_error
from local_cloud.workflows.expressions import (
    Binary,
    Call,
    Expression,
    Index,
    ListOf,
    Literal,
    MapOf,
    Name,
    Unary,
)
from local_cloud.workflows.library import FUNCTIONS, GET_ENV

Template = Expression | dict[str, "Template"] | list["Template"]
"""A value in the file, with its expressions read."""


@dataclass(slots=True)
class Scope:
    """Variables of a routine, or of a loop or except block inside one."""

    environment: Mapping[str, str]
    variables: dict[str, Value] = field(default_factory=dict)
    outer: "Scope | None" = None

    def inner(self, variables: dict[str, Value]) -> "Scope":
        """Return a scope inside this one: what it makes, it takes along."""
        return Scope(self.environment, variables, self)

    def fill(self, template: Template) -> Value:
        """Return the value of something in the file."""
        if isinstance(template, dict):
            return {key: self.fill(value) for key, value in template.items()}
        if isinstance(template, list):
            return [self.fill(value) for value in template]
        return self.evaluate(template)

    def evaluate(self, tree: Expression) -> Value:  # noqa: C901, PLR0911  one case per kind of node
        """Return the value of an expression."""
        match tree:
            case Literal(value):
                return copy.deepcopy(value)
            case Name(name):
                return self._holder(name).variables[name]
            case Index(of, key):
                return operators.look_up(self.evaluate(of), self.evaluate(key))
            case Call(function, arguments):
                return self._call(function, [self.evaluate(one) for one in arguments])
            case Unary(sign, operand):
                return self._unary(sign, self.evaluate(operand))
            case Binary(sign, left, right):
                return self._binary(sign, left, right)
            case ListOf(items):
                return [self.evaluate(item) for item in items]
            case MapOf(pairs):
                return {str(self.evaluate(k)): self.evaluate(v) for k, v in pairs}

    def assign(self, target: Expression, value: Value) -> None:
        """Set a variable, or one entry of a map or list in a variable."""
        if isinstance(target, Name):
            holder = self._find(target.name) or self
            holder.variables[target.name] = copy.deepcopy(value)
            return
        if not isinstance(target, Index):
            raise TypeError(f"the loader let {target} through as a target")
        of, key = self.evaluate(target.of), self.evaluate(target.key)
        if isinstance(of, dict) and isinstance(key, str):
            of[key] = copy.deepcopy(value)
        elif isinstance(of, list) and isinstance(key, int):
            operators.look_up(of, key)
            of[key] = copy.deepcopy(value)
        else:
            operators.look_up(of, key)

    def _find(self, name: str) -> "Scope | None":
        scope: Scope | None = self
        while scope is not None and name not in scope.variables:
            scope = scope.outer
        return scope

    def _holder(self, name: str) -> "Scope":
        found = self._find(name)
        if found is None:
            raise runtime_error("KeyError", f"variable not found: {name}")
        return found

    def _call(self, function: str, arguments: list[Value]) -> Value:
        if function == GET_ENV:
            return self._get_env(*arguments)
        return FUNCTIONS[function].call(*arguments)

    def _get_env(self, name: Value, default: Value = None) -> Value:
        if not isinstance(name, str):
            raise runtime_error("TypeError", "sys.get_env: expected a string")
        return self.environment.get(name, default)

    def _unary(self, sign: str, operand: Value) -> Value:
        if sign == "not":
            return not operators.as_boolean(operand, "not")
        return operators.negate(operand)

    def _binary(self, sign: str, left: Expression, right: Expression) -> Value:
        first = self.evaluate(left)
        if sign not in {"and", "or"}:
            return operators.combine(sign, first, self.evaluate(right))
        is_settled = operators.as_boolean(first, sign) is (sign == "or")
        return first if is_settled else operators.as_boolean(self.evaluate(right), sign)
