"""The ring: starts in turn, then windows of load in turn, round after round."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass

from bench.awake import kept_awake
from bench.serving.cells import MANY, Cell
from bench.serving.entrants import Entrant
from bench.serving.load import Load, LoadError, run_load
from bench.serving.results import LeftOut, Start, Window, Writer
from bench.serving.running import EntrantError, Place, Running, Session
from bench.serving.samples import encode, sample

SESSION = "session.run"
_SESSION_S = 0.3
_VARIED_BODIES = 64
_START_MODEL = "S"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        seconds: Length of one window.
        starts: Starts of every server whose CPU time is taken.
    """

    entrants: Sequence[Entrant]
    cells: Sequence[Cell]
    seconds: int
    rounds: int
    starts: int

    @property
    def models(self) -> list[str]:
        """The models of the cells, each once."""
        return list(dict.fromkeys(cell.model for cell in self.cells))

    @property
    def steps(self) -> int:
        """How many times the progress will be told."""
        windows = sum(cell.suits(e) for cell in self.cells for e in self.entrants)
        boots = sum(m in e.models for m in self.models for e in self.entrants)
        return windows * self.rounds + boots + self._start_steps

    @property
    def _start_steps(self) -> int:
        has_starts = _START_MODEL in self.models
        return self.starts * len(self.entrants) if has_starts else 0


class Ring:
    """Runs a plan; tells what it does, and writes what it finds."""

    def __init__(
        self, plan: Plan, place: Place, writer: Writer, tell: Callable[[str], None]
    ) -> None:
        """Only remember; `run` does it."""
        self._plan, self._place, self._writer, self._tell = plan, place, writer, tell
        self._failed: set[tuple[str, str]] = set()

    def run(self) -> None:
        """Measure everything of the plan."""
        if _START_MODEL in self._plan.models:
            session = Session(self._place, _START_MODEL)
            for number in range(self._plan.starts):
                for entrant in self._living(_START_MODEL):
                    self._measure_start(entrant, number, session)
        for model in self._plan.models:
            with ExitStack() as stack:
                self._run_model(model, stack)

    def _run_model(self, model: str, stack: ExitStack) -> None:
        """Start all servers with the model, load them in turn, stop them."""
        session = Session(self._place, model)
        cells = [cell for cell in self._plan.cells if cell.model == model]
        running: list[Running] = []
        for entrant in self._living(model):
            self._tell(f"{model}: starting {entrant.name}")
            server = self._start(entrant, model, session, stack)
            if server is not None:
                self._check(server, cells)
                running.append(server)
        for number in range(self._plan.rounds):
            for cell in cells:
                for server in running:
                    if cell.suits(server.entrant):
                        self._measure(server, cell, number)
                self._measure_session(session, cell, number)

    def _living(self, model: str) -> Iterable[Entrant]:
        """Return who takes part and did not fail to start with the model."""
        for entrant in self._plan.entrants:
            if model in entrant.models and (entrant.name, model) not in self._failed:
                yield entrant

    def _start(
        self, entrant: Entrant, model: str, session: Session, stack: ExitStack
    ) -> Running | None:
        """Start a server and await its first right answer."""
        try:
            server = Running(entrant, model, self._place, session)
        except OSError as error:
            self._drop(entrant, model, str(error))
            return None
        stack.callback(server.stop)
        try:
            server.await_answer()
        except EntrantError as error:
            self._drop(entrant, model, str(error))
            return None
        return server

    def _check(self, server: Running, cells: Iterable[Cell]) -> None:
        """Check the server's answers in every form that it will be asked in."""
        for cell in cells:
            form = server.entrant.form(cell.wish)
            if not form or cell.is_varied:
                continue
            try:
                server.check_together(form)
            except (EntrantError, OSError) as error:
                self._drop(server.entrant, cell.name, str(error))

    def _measure_start(self, entrant: Entrant, number: int, session: Session) -> None:
        """Start a server by itself; on the first time look at its memory too."""
        self._tell(f"start {number + 1}: {entrant.name}")
        with ExitStack() as stack:
            server = self._start(entrant, _START_MODEL, session, stack)
            if server is None:
                return
            cpu_s, wall_s = server.tree.cpu_s(), server.started_s
            memory = None
            if number == 0:
                self._load(server, _memory_cell())
                memory = server.tree.memory()
            self._writer.write(
                Start(
                    entrant=entrant.name,
                    round=number,
                    cpu_s=cpu_s,
                    wall_s=wall_s,
                    memory_mib=memory.alone_mib if memory else None,
                    pss_mib=memory.pss_mib if memory else None,
                    processes=len(server.tree.pids()),
                )
            )

    def _measure(self, server: Running, cell: Cell, number: int) -> None:
        name = server.entrant.name
        self._tell(f"round {number + 1}: {cell.title}: {name}")
        if not self._failed & {(name, cell.model), (name, cell.name)}:
            self._load(server, cell, number)

    def _load(self, server: Running, cell: Cell, number: int | None = None) -> None:
        """Load a server for one window; write what it showed when in a round."""
        form = server.entrant.form(cell.wish)
        assert form  # noqa: S101 - `suits` was asked
        count = _VARIED_BODIES if cell.is_varied else 1
        load = Load(
            path=server.path(form),
            requests=[encode(form, sample(cell.model, n)) for n in range(count)],
            connections=cell.connections,
            is_varied=cell.is_varied,
        )
        bodies = self._place.directory(f"load-{server.entrant.name}-{cell.name}")
        try:
            with kept_awake() if cell.is_awake else nullcontext():
                shown = run_load(
                    server.tree, server.port, load, bodies, self._plan.seconds
                )
        except LoadError as error:
            self._drop(server.entrant, cell.name, str(error))
            return
        if number is not None:
            self._writer.write(
                Window(
                    cell=cell.name,
                    entrant=server.entrant.name,
                    round=number,
                    **asdict(shown),
                )
            )

    def _measure_session(self, session: Session, cell: Cell, number: int) -> None:
        """Note what the model's run alone costs in this round."""
        cpu_us = session.run_us(_SESSION_S)
        self._writer.write(
            Window(
                cell=cell.name,
                entrant=SESSION,
                round=number,
                requests=round(_SESSION_S / cpu_us * 1e6),
                per_s=1e6 / cpu_us,
                cpu_us=cpu_us,
                client_cpu_us=0.0,
                p50_us=cpu_us,
                p90_us=cpu_us,
                p99_us=cpu_us,
                others_share=0.0,
            )
        )

    def _drop(self, entrant: Entrant, where: str, why: str) -> None:
        """Leave a server out, of one load or of all with a model."""
        if (entrant.name, where) not in self._failed:
            self._failed.add((entrant.name, where))
            self._writer.write(LeftOut(entrant.name, where, why))
            self._tell(f"{entrant.name} drops out of {where}: {why}")


def _memory_cell() -> Cell:
    return Cell("memory", _START_MODEL, "json", MANY, "S, to see the memory")
