"""The ring: starts in turn, then windows of load in turn, round after round."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace

from bench.predict.cells import BIG, MANY, Cell
from bench.predict.entrants import CLIENT_GRPC, DIRECT, Entrant
from bench.predict.results import FirstAnswer, Held
from bench.predict.running import (
    FunctionError,
    Place,
    Running,
    start_function,
    start_stand_in,
)
from bench.predict.samples import MARK, request_body
from bench.serving.load import Load, LoadError, Measured, run_load
from bench.serving.processes import Tree
from bench.serving.results import LeftOut, Window, Writer
from bench.serving.samples import Request

_MB_IN_MIB = 1.048576
_BODIES = 8
"""Different bodies of a load, which take turns."""

_HEADERS = (("Content-Type", "application/json"),)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        seconds: Length of one window.
        starts: Starts of every function whose time is taken; one more is not.
    """

    entrants: Sequence[Entrant]
    cells: Sequence[Cell]
    seconds: int
    rounds: int
    starts: int

    @property
    def functions(self) -> list[Entrant]:
        """Everybody who has a process of his own."""
        return [entrant for entrant in self.entrants if entrant.venv]

    @property
    def steps(self) -> int:
        """How many times the progress will be told."""
        windows = sum(c.suits(e.name) for c in self.cells for e in self.entrants)
        return windows * self.rounds + (self.starts + 2) * len(self.functions)


@contextmanager
def stand_ins(place: Place, pause_ms: float) -> Iterator[Mapping[str, Tree]]:
    """Run Google's stand-ins; give the trees of Vertex AI's by the entrants they serve.

    The one of HTTP is there for all but the one that asks by gRPC.
    """
    data = place.cache / "predict" / "identity"
    data.mkdir(parents=True, exist_ok=True)
    identity = ("--port", str(place.identity_port), "--data", str(data))
    pause = ("--pause-ms", str(pause_ms))
    rest = ("--port", str(place.upstream_port), *pause)
    grpc = ("--port", str(place.grpc_port), *pause)
    with ExitStack() as stack:

        def begin(module: str, options: tuple[str, ...]) -> Tree:
            tree = start_stand_in(module, place.cache, *options)
            stack.callback(tree.stop)
            return tree

        begin("local_cloud.identity", identity)
        yield {
            DIRECT: begin("bench.predict.upstream", rest),
            CLIENT_GRPC: begin("bench.predict.upstream_grpc", grpc),
        }


class Ring:
    """Runs a plan; tells what it does, and writes what it finds."""

    def __init__(
        self,
        plan: Plan,
        place: Place,
        upstreams: Mapping[str, Tree],
        writer: Writer,
        tell: Callable[[str], None],
    ) -> None:
        """Only remember; `run` does it.

        Args:
            plan: What to measure.
            place: Where everything lies.
            upstreams: What `stand_ins` gave.
            writer: Takes what is found.
            tell: Called with what is done now.
        """
        self._plan, self._place, self._upstreams = plan, place, upstreams
        self._writer, self._tell = writer, tell
        self._failed: set[str] = set()

    def run(self) -> None:
        """Measure everything of the plan."""
        # The first start writes what Python compiles, and is not counted.
        for number in range(-1, self._plan.starts):
            for entrant in self._plan.functions:
                self._measure_start(entrant, number)
        with ExitStack() as stack:
            running = [
                found
                for entrant in self._plan.entrants
                if (found := self._begin(entrant, stack)) is not None
            ]
            for number in range(self._plan.rounds):
                for cell in self._plan.cells:
                    for function in running:
                        if cell.suits(function.entrant.name):
                            self._measure(function, cell, number)

    def _begin(self, entrant: Entrant, stack: ExitStack) -> Running | None:
        """Start a function, and check its answers to a body of every length."""
        if entrant.name == DIRECT:
            log = self._place.cache / "predict" / "bench.predict.upstream.log"
            function = Running(
                entrant, self._upstreams[DIRECT], self._place.upstream_port, log
            )
        else:
            self._tell(f"starting {entrant.name}")
            function = start_function(entrant, self._place)
            stack.callback(function.stop)
        try:
            function.await_answer()
            for cell in self._plan.cells:
                function.check(request_body(cell.floats))
        except (FunctionError, OSError) as error:
            self._drop(entrant, "", error)
            return None
        return function

    def _measure_start(self, entrant: Entrant, number: int) -> None:
        """Start a function while no other one runs."""
        self._tell(f"start {number + 1}: {entrant.name}")
        if entrant.name in self._failed:
            return
        function = start_function(entrant, self._place)
        try:
            function.await_answer()
            cpu_s = function.tree.cpu_s()
        except FunctionError as error:
            self._drop(entrant, "", error)
        else:
            if number >= 0:
                self._writer.write(
                    FirstAnswer(entrant.name, number, function.started_s, cpu_s)
                )
        finally:
            function.stop()

    def _measure(self, function: Running, cell: Cell, number: int) -> None:
        """Load a function for one window, and write what that showed."""
        entrant = function.entrant
        self._tell(f"round {number + 1}: {cell.title}: {entrant.name}")
        if entrant.name in self._failed:
            return
        bodies = [request_body(cell.floats, seed) for seed in range(_BODIES)]
        load = Load(
            path=entrant.path,
            requests=[Request(_HEADERS, body) for body in bodies],
            connections=cell.connections,
            is_varied=True,
            expected=MARK,
        )
        directory = self._place.cache / "predict" / "bodies"
        upstream = self._upstreams.get(entrant.name, self._upstreams[DIRECT])
        upstream_s = upstream.cpu_s()
        try:
            measured = run_load(
                function.tree, function.port, load, directory, self._plan.seconds
            )
        except LoadError as error:
            self._drop(entrant, cell.name, error)
            return
        if entrant.name != DIRECT:
            measured = self._without(measured, upstream.cpu_s() - upstream_s)
        self._writer.write(
            Window(
                cell=cell.name, entrant=entrant.name, round=number, **asdict(measured)
            )
        )
        if cell.name in {MANY, BIG} and entrant.venv:
            self._note_memory(function, cell, number)

    def _without(self, measured: Measured, upstream_s: float) -> Measured:
        """Leave the upstream's own work out of what others did."""
        share = upstream_s / self._plan.seconds / (os.cpu_count() or 1)
        return replace(measured, others_share=max(0.0, measured.others_share - share))

    def _note_memory(self, function: Running, cell: Cell, number: int) -> None:
        memory = function.tree.memory()
        self._writer.write(
            Held(
                cell=cell.name,
                entrant=function.entrant.name,
                round=number,
                alone_mb=memory.alone_mib * _MB_IN_MIB,
                answering_rss_mb=memory.busiest_rss_mib * _MB_IN_MIB,
                processes=memory.processes,
            )
        )

    def _drop(self, entrant: Entrant, where: str, error: Exception) -> None:
        """Leave a function out from now on, and say why."""
        self._failed.add(entrant.name)
        self._writer.write(LeftOut(entrant.name, where, str(error)))
        self._tell(f"{entrant.name} drops out: {error}")
