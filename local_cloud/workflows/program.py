"""A workflow as it is run: routines of steps, with every expression read.

Source: Google Workflows, "Syntax overview"
"""

from collections.abc import Mapping
from dataclasses import dataclass

from local_cloud.workflows.expressions import Expression
from local_cloud.workflows.scope import Template


@dataclass(frozen=True, slots=True)
class Assign:
    """Sets variables, in order."""

    pairs: tuple[tuple[Expression, Template], ...]


@dataclass(frozen=True, slots=True)
class Call:
    """Calls a function of the library or a subworkflow."""

    function: str
    arguments: Mapping[str, Template]
    result: str


@dataclass(frozen=True, slots=True)
class Switch:
    """Runs the first step whose condition is true, if there is one."""

    branches: tuple[tuple[Expression, "Step"], ...]


@dataclass(frozen=True, slots=True)
class For:
    """Runs steps for each value of a list, or of a range with both its ends."""

    value: str
    index: str
    of: Template
    is_range: bool
    steps: "Steps"


@dataclass(frozen=True, slots=True)
class Retry:
    """When, how often and after which pause a `try` is run again.

    Attributes:
        predicate: Name of a predicate of the library or of a subworkflow.
        max_retries: Runs after the first one.
        initial_delay: Seconds before the first of them.
        max_delay: The longest pause, in seconds.
        multiplier: Each pause is so many times as long as the one before.
    """

    predicate: str
    max_retries: Template
    initial_delay: Template
    max_delay: Template
    multiplier: Template


@dataclass(frozen=True, slots=True)
class Try:
    """Runs steps; again under a policy; then what is to be done about the error."""

    steps: "Steps"
    retry: Retry | None
    error_name: str
    handler: "Steps | None"


@dataclass(frozen=True, slots=True)
class Raise:
    """Ends with an error."""

    value: Template


@dataclass(frozen=True, slots=True)
class Return:
    """Ends the routine with a value."""

    value: Template


@dataclass(frozen=True, slots=True)
class Block:
    """Runs steps."""

    steps: "Steps"


Action = Assign | Call | Switch | For | Try | Raise | Return | Block


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it does, and which step is next if not the one below."""

    name: str
    action: Action
    next: str


Steps = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Routine:
    """`main` or a subworkflow: parameters with their defaults, and steps."""

    name: str
    parameters: tuple[tuple[str, Template | None], ...]
    steps: Steps


Program = Mapping[str, Routine]
