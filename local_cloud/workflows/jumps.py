"""Refuse a program whose `next` leads nowhere, before it runs.

A jump may leave nested steps for the steps around them, but never a loop other
than by `break`, `continue` or `end`.
"""

from local_cloud.workflows.errors import SourceError
from local_cloud.workflows.program import Block, For, Program, Step, Steps, Switch, Try

_NAMES = frozenset[str]()


def check_jumps(program: Program) -> None:
    """Check every step of every routine.

    Raises:
        SourceError: A step's name comes twice, or a `next` names no step.
    """
    for routine in program.values():
        _check_steps(routine.steps, routine.name, _NAMES, in_loop=False)


def _check_steps(
    steps: Steps, where: str, outer: frozenset[str], *, in_loop: bool
) -> None:
    own = [step.name for step in steps]
    twice = sorted({name for name in own if own.count(name) > 1})
    if twice:
        raise SourceError(f"{where}: the step {twice[0]!r} comes twice")
    for step in steps:
        _check_step(step, where, outer | set(own), in_loop=in_loop)


def _check_step(
    step: Step, where: str, known: frozenset[str], *, in_loop: bool
) -> None:
    allowed = known | {"", "end"} | ({"break", "continue"} if in_loop else set())
    if step.next not in allowed:
        raise SourceError(f"{where}.{step.name}: there is no step {step.next!r}")
    action = step.action
    if isinstance(action, Switch):
        for _, branch in action.branches:
            _check_step(branch, where, known, in_loop=in_loop)
    elif isinstance(action, For):
        _check_steps(action.steps, where, _NAMES, in_loop=True)
    elif isinstance(action, Block):
        _check_steps(action.steps, where, known, in_loop=in_loop)
    elif isinstance(action, Try):
        for steps in (action.steps, action.handler or ()):
            _check_steps(steps, where, known, in_loop=in_loop)
