"""Executions: written down before they begin, run in threads, kept.

An execution that a SIGKILL cut off is run again from the top, under the same
name, so `GOOGLE_CLOUD_WORKFLOW_EXECUTION_ID` is the same too. Google goes on at
the step instead; a workflow whose steps are safe to repeat cannot tell.
"""

import hashlib
import json
import threading
import traceback
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from local_cloud.documents import Document, Store
from local_cloud.google_http import ApiError, timestamp_now
from local_cloud.workflows.errors import Cancelled, Interrupted, Value, WorkflowError
from local_cloud.workflows.http_calls import HttpCalls
from local_cloud.workflows.loader import load
from local_cloud.workflows.machine import Machine
from local_cloud.workflows.program import Program

KIND = "execution"
ARGUMENT_MAX_BYTES = 32 * 1024
"""Google's limit for an execution's argument."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow that was deployed."""

    program: Program
    revision: str


def deploy(source: bytes) -> Workflow:
    """Return the workflow in `source`.

    Raises:
        SourceError: This interpreter cannot run it.
    """
    digest = hashlib.sha256(source).hexdigest()
    return Workflow(load(source), f"000001-{digest[:3]}")


@dataclass(slots=True)
class Run:
    """One execution while it runs: what it does to the world."""

    http: HttpCalls
    stopping: threading.Event
    cancelled: threading.Event = field(default_factory=threading.Event)
    place: tuple[str, str] = ("main", "")

    def call(self, function: str, arguments: Mapping[str, Value]) -> Value:
        """Carry out a call of the library."""
        if function == "sys.log":
            print(json.dumps({"event": "sys.log", **arguments}), flush=True)  # noqa: T201  where Google's go to Cloud Logging
            return None
        return self.http.call(function.removeprefix("http.").upper(), arguments)

    def sleep(self, seconds: float) -> None:
        """Wait, unless the execution is to stop."""
        self.cancelled.wait(seconds)
        self.check()

    def enter(self, routine: str, step: str) -> None:
        """Remember the step, unless the execution is to stop."""
        self.place = (routine, step)
        self.check()

    def check(self) -> None:
        """Leave the execution when it is to stop."""
        if self.stopping.is_set():
            raise Interrupted
        if self.cancelled.is_set():
            raise Cancelled


class Executions:
    """All executions of the deployed workflows."""

    def __init__(
        self,
        store: Store,
        workflows: Mapping[str, Workflow],
        environment: Mapping[str, str],
        http: HttpCalls,
    ) -> None:
        """Know the workflows by their short names; run nothing yet."""
        self._store = store
        self._workflows = workflows
        self._environment = environment
        self._http = http
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}

    def take_up(self) -> None:
        """Run what was not finished when the stand-in ended."""
        with self._store.reading() as work:
            cut_off = [e for e in work.all(KIND) if e["state"] == "ACTIVE"]
        for execution in cut_off:
            if str(execution["name"]).split("/")[5] in self._workflows:
                self._begin(execution)

    def create(self, parent: str, body: Mapping[str, object]) -> Document:
        """Write an execution down and begin it."""
        workflow = self._workflow(parent)
        argument = str(body.get("argument") or "null")
        _check_argument(argument)
        execution: Document = {
            "name": f"{parent}/executions/{uuid.uuid4()}",
            "startTime": timestamp_now(),
            "state": "ACTIVE",
            "argument": argument,
            "workflowRevisionId": workflow.revision,
            "labels": body.get("labels") or {},
        }
        with self._store.transaction() as work:
            work.put(KIND, str(execution["name"]), execution)
        self._begin(execution)
        return execution

    def get(self, name: str) -> Document:
        """Return an execution, with the step it is at."""
        with self._store.reading() as work:
            execution = work.get(KIND, name)
        if execution is None:
            raise ApiError("NOT_FOUND", f"execution {name} not found")
        run = self._runs.get(name)
        if run is None or execution["state"] != "ACTIVE":
            return execution
        routine, step = run.place
        current = [{"routine": routine, "step": step}]
        return {**execution, "status": {"currentSteps": current}}

    def list(self, parent: str) -> list[Document]:
        """Return the executions of a workflow, the newest first."""
        self._workflow(parent)
        with self._store.reading() as work:
            found = [
                one
                for one in work.all(KIND)
                if str(one["name"]).startswith(f"{parent}/executions/")
            ]
        return sorted(found, key=lambda one: str(one["startTime"]), reverse=True)

    def cancel(self, name: str) -> Document:
        """Stop an execution before its next step."""
        execution = self.get(name)
        run = self._runs.get(name)
        if execution["state"] != "ACTIVE" or run is None:
            sentence = f"execution {name} is {execution['state']}"
            raise ApiError("FAILED_PRECONDITION", sentence)
        self._finish(name, {"state": "CANCELLED"})
        run.cancelled.set()
        return self.get(name)

    def stop(self) -> None:
        """Leave every execution where it is; it is taken up at the next start."""
        self._stopping.set()

    def _workflow(self, parent: str) -> Workflow:
        workflow = self._workflows.get(parent.rsplit("/", 1)[1])
        if workflow is None:
            raise ApiError("NOT_FOUND", f"workflow {parent} not found")
        return workflow

    def _begin(self, execution: Document) -> None:
        name = str(execution["name"])
        run = Run(self._http, self._stopping)
        with self._lock:
            self._runs[name] = run
        arguments = (name, str(execution["argument"]), run)
        threading.Thread(target=self._run, args=arguments, daemon=True).start()

    def _run(self, name: str, argument: str, run: Run) -> None:
        workflow = self._workflow(name.rsplit("/", 2)[0])
        environment = {**self._environment, **_built_in(name, workflow.revision)}
        machine = Machine(workflow.program, environment, run)
        try:
            value = machine.run(json.loads(argument))
            outcome: Document = {"state": "SUCCEEDED", "result": json.dumps(value)}
        except WorkflowError as error:
            outcome = {"state": "FAILED", "error": _shown(error)}
        except (Interrupted, Cancelled):
            return
        except Exception:  # noqa: BLE001  the last handler of this thread
            traceback.print_exc()
            outcome = {"state": "FAILED", "error": {"payload": '"internal error"'}}
        self._finish(name, outcome)

    def _finish(self, name: str, outcome: Document) -> None:
        """Write how an execution ended, unless that is written already."""
        with self._store.transaction() as work:
            execution = work.get(KIND, name)
            if execution is not None and execution["state"] == "ACTIVE":
                ended = {**execution, **outcome, "endTime": timestamp_now()}
                work.put(KIND, name, {**ended, "duration": _duration(ended)})
        with self._lock:
            self._runs.pop(name, None)


def _check_argument(argument: str) -> None:
    if len(argument.encode()) > ARGUMENT_MAX_BYTES:
        sentence = f"argument: expected at most {ARGUMENT_MAX_BYTES} bytes"
        raise ApiError("INVALID_ARGUMENT", sentence)
    try:
        json.loads(argument)
    except ValueError as error:
        raise ApiError("INVALID_ARGUMENT", "argument: expected JSON text") from error


def _built_in(name: str, revision: str) -> dict[str, str]:
    _, project, _, location, _, workflow, _, execution = name.split("/")
    return {
        "GOOGLE_CLOUD_PROJECT_ID": project,
        "GOOGLE_CLOUD_PROJECT_NUMBER": project,
        "GOOGLE_CLOUD_LOCATION": location,
        "GOOGLE_CLOUD_WORKFLOW_ID": workflow,
        "GOOGLE_CLOUD_WORKFLOW_REVISION_ID": revision,
        "GOOGLE_CLOUD_WORKFLOW_EXECUTION_ID": execution,
    }


def _shown(error: WorkflowError) -> Document:
    """Return an error as the API shows it: its value as JSON, and where it was."""
    routine, step = error.where[0] if error.where else ("main", "")
    elements = [{"routine": where[0], "step": where[1]} for where in error.where]
    return {
        "payload": json.dumps(error.value, ensure_ascii=False),
        "context": f'in step "{step}", routine "{routine}"',
        "stackTrace": {"elements": elements},
    }


def _duration(execution: Document) -> str:
    begin = datetime.fromisoformat(str(execution["startTime"]))
    end = datetime.fromisoformat(str(execution["endTime"]))
    return f"{(end - begin).total_seconds():.6f}s"
