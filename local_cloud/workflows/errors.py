"""Errors of the interpreter.

SourceError        the file is refused; nothing of it runs
WorkflowError      raised inside an execution, which may catch it
Interrupted        the stand-in stops; the execution is taken up again later
Cancelled          somebody cancelled the execution
"""

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]


class SourceError(Exception):
    """The source is no workflow that this interpreter can run."""


class Interrupted(BaseException):
    """The stand-in is being stopped."""


class Cancelled(BaseException):
    """The execution was cancelled."""


class WorkflowError(Exception):
    """An error that a workflow sees.

    Attributes:
        value: What `except: {as: e}` binds: a map with `message` and `tags`
            for errors of the runtime, anything for those the workflow raises.
        where: The steps it went through, the innermost first, as (routine, step).
    """

    def __init__(self, value: Value) -> None:
        """Hold the value."""
        super().__init__(str(value))
        self.value = value
        self.where: list[tuple[str, str]] = []


def runtime_error(tag: str, message: str, **fields: Value) -> WorkflowError:
    """Return an error as Workflows itself raises it."""
    return WorkflowError({"message": message, "tags": [tag], **fields})
