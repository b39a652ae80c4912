"""Run a program.

The machine knows no network, clock or disk: what a `call` step does to the
world it asks of `Effects`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from local_cloud.workflows import operators
from local_cloud.workflows.calls import PREDICATES, SIGNATURES
from local_cloud.workflows.errors import Value, WorkflowError, runtime_error
from local_cloud.workflows.expressions import Name
from local_cloud.workflows.program import (
    Assign,
    Block,
    Call,
    For,
    Program,
    Raise,
    Retry,
    Return,
    Step,
    Steps,
    Switch,
    Try,
)
from local_cloud.workflows.scope import Scope

STEPS_MAX = 100_000
DEPTH_MAX = 20
"""How deep subworkflows may call each other."""


class Effects(Protocol):
    """What an execution does to the world."""

    def call(self, function: str, arguments: Mapping[str, Value]) -> Value:
        """Carry out a call of the library, such as `http.post`."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def enter(self, routine: str, step: str) -> None:
        """Take note of the step that begins; may raise to stop the execution."""


@dataclass(frozen=True, slots=True)
class Jump:
    """Go on at a step, or at `end`, `break` or `continue`."""

    to: str


@dataclass(frozen=True, slots=True)
class Returned:
    """Leave the routine with a value."""

    value: Value


Outcome = Jump | Returned | None
"""None: go on with the next step."""


class Machine:
    """Runs one execution of a program."""

    def __init__(
        self, program: Program, environment: Mapping[str, str], effects: Effects
    ) -> None:
        """Prepare; `environment` is what `sys.get_env` sees."""
        self._program = program
        self._environment = environment
        self._effects = effects
        self._steps_left = STEPS_MAX
        self._stack: list[str] = []

    def run(self, argument: Value) -> Value:
        """Run `main` and return its value.

        Raises:
            WorkflowError: The execution failed.
        """
        parameters = self._program["main"].parameters
        given = {parameters[0][0]: argument} if parameters else {}
        return self._run_routine("main", given)

    def _run_routine(self, name: str, given: Mapping[str, Value]) -> Value:
        if len(self._stack) > DEPTH_MAX:
            raise runtime_error("RecursionError", f"more than {DEPTH_MAX} calls deep")
        routine = self._program[name]
        scope = Scope(self._environment, self._bind(name, given))
        self._stack.append(name)
        try:
            outcome = self._run_steps(routine.steps, scope)
        finally:
            self._stack.pop()
        return outcome.value if isinstance(outcome, Returned) else None

    def _bind(self, name: str, given: Mapping[str, Value]) -> dict[str, Value]:
        parameters = self._program[name].parameters
        strangers = sorted(set(given) - {parameter for parameter, _ in parameters})
        if strangers:
            raise runtime_error("TypeError", f"{name} has no parameter {strangers[0]}")
        bound: dict[str, Value] = {}
        for parameter, default in parameters:
            if parameter in given:
                bound[parameter] = given[parameter]
            elif default is not None:
                bound[parameter] = Scope(self._environment).fill(default)
            else:
                raise runtime_error("TypeError", f"{name} needs {parameter}")
        return bound

    def _run_steps(self, steps: Steps, scope: Scope) -> Outcome:
        position = 0
        places = {step.name: index for index, step in enumerate(steps)}
        while position < len(steps):
            outcome = self._run_step(steps[position], scope)
            if isinstance(outcome, Jump) and outcome.to in places:
                position = places[outcome.to]
            elif isinstance(outcome, Jump) and outcome.to == "end":
                return Returned(None)
            elif outcome is not None:
                return outcome
            else:
                position += 1
        return None

    def _run_step(self, step: Step, scope: Scope) -> Outcome:
        self._steps_left -= 1
        if self._steps_left < 0:
            raise runtime_error("ResourceLimitError", f"more than {STEPS_MAX} steps")
        place = (self._stack[-1], step.name)
        if step.name:
            self._effects.enter(*place)
        try:
            outcome = self._act(step, scope)
        except WorkflowError as error:
            if step.name:
                error.where.append(place)
            raise
        if outcome is None and step.next:
            return Jump(step.next)
        return outcome

    def _act(self, step: Step, scope: Scope) -> Outcome:
        match step.action:
            case Assign(pairs):
                for target, template in pairs:
                    scope.assign(target, scope.fill(template))
            case Call() as call:
                self._call(call, scope)
            case Raise(template):
                raise WorkflowError(scope.fill(template))
            case Return(template):
                return Returned(scope.fill(template))
            case _:
                return self._nest(step, scope)
        return None

    def _nest(self, step: Step, scope: Scope) -> Outcome:
        match step.action:
            case Switch() as switch:
                return self._switch(switch, scope)
            case For() as loop:
                return self._for(loop, scope)
            case Try() as tried:
                return self._try(tried, scope)
            case Block(steps):
                return self._run_steps(steps, scope)
        raise TypeError(f"the loader let {step.action} through")

    def _call(self, call: Call, scope: Scope) -> None:
        arguments = {name: scope.fill(one) for name, one in call.arguments.items()}
        if call.function == "sys.sleep":
            self._effects.sleep(_seconds(arguments["seconds"]))
            result: Value = None
        elif call.function in SIGNATURES:
            result = self._effects.call(call.function, arguments)
        else:
            result = self._run_routine(call.function, arguments)
        if call.result:
            scope.assign(Name(call.result), result)

    def _switch(self, switch: Switch, scope: Scope) -> Outcome:
        for condition, branch in switch.branches:
            if operators.as_boolean(scope.evaluate(condition), "condition"):
                return self._run_step(branch, scope)
        return None

    def _for(self, loop: For, scope: Scope) -> Outcome:
        for index, value in enumerate(_values(scope.fill(loop.of), loop)):
            inner = scope.inner({loop.value: value})
            if loop.index:
                inner.variables[loop.index] = index
            outcome = self._run_steps(loop.steps, inner)
            if isinstance(outcome, Jump) and outcome.to == "break":
                break
            if outcome is not None and outcome != Jump("continue"):
                return outcome
        return None

    def _try(self, tried: Try, scope: Scope) -> Outcome:
        try:
            return self._retry(tried, scope)
        except WorkflowError as error:
            if tried.handler is None:
                raise
            names = {tried.error_name: error.value} if tried.error_name else {}
            return self._run_steps(tried.handler, scope.inner(names))

    def _retry(self, tried: Try, scope: Scope) -> Outcome:
        pauses = _pauses(tried.retry, scope) if tried.retry else iter(())
        while True:
            try:
                return self._run_steps(tried.steps, scope)
            except WorkflowError as error:
                pause_s = next(pauses, None)
                if pause_s is None or not self._is_retried(tried.retry, error):
                    raise
            self._effects.sleep(pause_s)

    def _is_retried(self, retry: Retry | None, error: WorkflowError) -> bool:
        name = retry.predicate if retry else ""
        if name in PREDICATES:
            return PREDICATES[name](error.value)
        (parameter, _), *_ = self._program[name].parameters
        answer = self._run_routine(name, {parameter: error.value})
        return operators.as_boolean(answer, name)


def _values(value: Value, loop: For) -> Iterable[Value]:
    if not isinstance(value, list):
        raise runtime_error("TypeError", "for: expected a list")
    if not loop.is_range:
        return list(value)
    match value:
        case [int(first), int(last)]:
            return list(range(first, last + 1))
    raise runtime_error("TypeError", "for: expected a range of two integers")


def _pauses(retry: Retry, scope: Scope) -> Iterator[float]:
    """Yield the pause before each run after the first, in seconds."""
    pause_s = _seconds(scope.fill(retry.initial_delay))
    longest_s = _seconds(scope.fill(retry.max_delay))
    multiplier = _seconds(scope.fill(retry.multiplier))
    for _ in range(int(_seconds(scope.fill(retry.max_retries)))):
        yield min(pause_s, longest_s)
        pause_s *= multiplier


def _seconds(value: Value) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise runtime_error("TypeError", f"expected a number from 0, {value!r} came")
    return float(value)
