"""Turn a workflow file into a program, or refuse it.

Everything is checked here, before anything runs: a key, a kind of step or a
function that this interpreter does not know is refused by its name, so that no
file half-runs, and none runs here that means something else on Google Cloud.
"""

from collections.abc import Callable, Mapping

from local_cloud.workflows.calls import PREDICATES, RETRY_POLICIES, SIGNATURES
from local_cloud.workflows.errors import SourceError
from local_cloud.workflows.expressions import Expression
from local_cloud.workflows.jumps import check_jumps
from local_cloud.workflows.program import (
    Action,
    Assign,
    Block,
    Call,
    For,
    Program,
    Raise,
    Retry,
    Return,
    Routine,
    Step,
    Steps,
    Switch,
    Try,
)
from local_cloud.workflows.scope import Template
from local_cloud.workflows.templates import (
    read_expression,
    read_reference,
    read_target,
    read_template,
)
from local_cloud.workflows.yaml_source import read_yaml

ASSIGNMENTS_MAX = 50
CONDITIONS_MAX = 50
_KINDS = {
    "assign": {"assign", "next"},
    "call": {"call", "args", "result", "next"},
    "switch": {"switch", "next"},
    "for": {"for", "next"},
    "try": {"try", "retry", "except", "next"},
    "raise": {"raise"},
    "return": {"return"},
    "steps": {"steps", "next"},
    "next": {"next"},
}

Fields = Mapping[str, object]


def load(source: bytes) -> Program:
    """Return the program in a workflow's source.

    Raises:
        SourceError: There is something in it that is not known, named in the message.
    """
    document = read_yaml(source)
    if isinstance(document, list):
        document = {"main": {"steps": document}}
    routines = _fields(document, "the source")
    if "main" not in routines:
        raise SourceError("the source has no `main`")
    loader = _Loader(frozenset(routines) - {"main"})
    program = {
        name: loader.routine(name, _fields(routine, name))
        for name, routine in routines.items()
    }
    check_jumps(program)
    return program


class _Loader:
    """Reads the steps of one source, whose subworkflows it knows by name."""

    def __init__(self, subworkflows: frozenset[str]) -> None:
        self._subworkflows = subworkflows
        self._readers: dict[str, Callable[[Fields, str], Action]] = {
            "assign": self._assign,
            "call": self._call,
            "switch": self._switch,
            "for": self._for,
            "try": self._try,
            "raise": lambda fields, _: Raise(read_template(fields["raise"])),
            "return": lambda fields, _: Return(read_template(fields["return"])),
            "steps": lambda fields, where: Block(self.steps(fields["steps"], where)),
            "next": lambda _fields, _where: Block(()),
        }

    def routine(self, name: str, fields: Fields) -> Routine:
        _allow(fields, {"params", "steps"}, name)
        parameters = tuple(_parameter(one) for one in _items(fields.get("params", [])))
        if name == "main" and len(parameters) > 1:
            raise SourceError("main: expected at most one parameter")
        return Routine(name, parameters, self.steps(fields.get("steps"), name))

    def steps(self, value: object, where: str) -> Steps:
        if not isinstance(value, list) or not value:
            raise SourceError(f"{where}: expected a list of steps")
        return tuple(self._named_step(one, where) for one in value)

    def _named_step(self, value: object, where: str) -> Step:
        fields = _fields(value, where)
        if len(fields) != 1:
            raise SourceError(f"{where}: expected one step, {sorted(fields)} came")
        ((name, body),) = fields.items()
        return self._step(name, _fields(body, f"{where}.{name}"), f"{where}.{name}")

    def _step(self, name: str, fields: Fields, where: str) -> Step:
        kinds = [kind for kind in _KINDS if kind in fields]
        if not kinds:
            sentence = f"this interpreter knows no step with {sorted(fields)}"
            raise SourceError(f"{where}: {sentence}")
        _allow(fields, _KINDS[kinds[0]], where)
        action = self._readers[kinds[0]](fields, where)
        return Step(name, action, str(fields.get("next", "")))

    def _assign(self, fields: Fields, where: str) -> Assign:
        entries = [_fields(entry, where) for entry in _items(fields["assign"])]
        if not 0 < len(entries) <= ASSIGNMENTS_MAX:
            raise SourceError(f"{where}: expected 1 to {ASSIGNMENTS_MAX} assignments")
        if any(len(entry) != 1 for entry in entries):
            raise SourceError(f"{where}: expected one variable in each assignment")
        pairs = [pair for entry in entries for pair in entry.items()]
        return Assign(tuple((read_target(k), read_template(v)) for k, v in pairs))

    def _call(self, fields: Fields, where: str) -> Call:
        function = str(fields["call"])
        arguments = _fields(fields.get("args", {}), where)
        if function in SIGNATURES:
            SIGNATURES[function].check(arguments, f"{where}: {function}")
        elif function not in self._subworkflows:
            raise SourceError(f"{where}: this interpreter knows no call {function}")
        filled = {name: read_template(one) for name, one in arguments.items()}
        return Call(function, filled, str(fields.get("result", "")))

    def _switch(self, fields: Fields, where: str) -> Switch:
        branches = [_fields(entry, where) for entry in _items(fields["switch"])]
        if not 0 < len(branches) <= CONDITIONS_MAX:
            raise SourceError(f"{where}: expected 1 to {CONDITIONS_MAX} conditions")
        return Switch(tuple(self._branch(one, where) for one in branches))

    def _branch(self, fields: Fields, where: str) -> tuple[Expression, Step]:
        condition = read_expression(fields.get("condition"), f"{where}.condition")
        rest = {key: one for key, one in fields.items() if key != "condition"}
        return condition, self._step("", rest, where)

    def _for(self, fields: Fields, where: str) -> For:
        loop = _fields(fields["for"], where)
        _allow(loop, {"value", "index", "in", "range", "steps"}, where)
        if ("in" in loop) is ("range" in loop) or "value" not in loop:
            raise SourceError(f"{where}: expected `value` and one of `in` and `range`")
        return For(
            value=str(loop["value"]),
            index=str(loop.get("index", "")),
            of=read_template(loop.get("in", loop.get("range"))),
            is_range="range" in loop,
            steps=self.steps(loop.get("steps"), where),
        )

    def _try(self, fields: Fields, where: str) -> Try:
        retry = self._retry(fields["retry"], where) if "retry" in fields else None
        caught = _fields(fields.get("except", {}), where)
        _allow(caught, {"as", "steps"}, f"{where}.except")
        handler = self.steps(caught.get("steps"), where) if caught else None
        if retry is None and handler is None:
            raise SourceError(f"{where}: expected `retry` or `except` with `try`")
        return Try(
            self._tried(fields["try"], where), retry, str(caught.get("as", "")), handler
        )

    def _tried(self, value: object, where: str) -> Steps:
        if isinstance(value, list):
            return self.steps(value, where)
        return (self._step("", _fields(value, where), where),)

    def _retry(self, value: object, where: str) -> Retry:
        if isinstance(value, str):
            return RETRY_POLICIES[read_reference(value, RETRY_POLICIES, where)]
        fields = _fields(value, where)
        _require(fields, {"predicate", "max_retries", "backoff"}, f"{where}.retry")
        pause = _fields(fields["backoff"], where)
        _require(pause, {"initial_delay", "max_delay", "multiplier"}, where)
        known = PREDICATES.keys() | self._subworkflows
        return Retry(
            predicate=read_reference(fields["predicate"], known, where),
            max_retries=read_template(fields["max_retries"]),
            **{name: read_template(one) for name, one in pause.items()},
        )


def _parameter(value: object) -> tuple[str, Template | None]:
    if isinstance(value, str):
        return value, None
    fields = _fields(value, "params")
    if len(fields) != 1:
        raise SourceError(f"params: expected a name or name: default, {value!r} came")
    ((name, default),) = fields.items()
    return name, read_template(default)


def _fields(value: object, where: str) -> Fields:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise SourceError(f"{where}: expected a map, {value!r} came")
    return value


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _allow(fields: Fields, known: set[str], where: str) -> None:
    strangers = sorted(set(fields) - known)
    if strangers:
        sentence = f"this interpreter knows no {strangers[0]!r} here"
        raise SourceError(f"{where}: {sentence}, only {sorted(known)}")


def _require(fields: Fields, known: set[str], where: str) -> None:
    _allow(fields, known, where)
    missing = sorted(known - set(fields))
    if missing:
        raise SourceError(f"{where}: expected {missing[0]!r}, which is missing")
