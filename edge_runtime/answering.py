"""Everything with which one process answers, put together from its configuration.

Made when the process has its event loop, after the last fork: it has threads.
"""

import time
from functools import partial
from pathlib import Path
from typing import cast

from edge_runtime.counts import Counts
from edge_runtime.crew import Crew
from edge_runtime.dispatch import Dispatch, Watchers
from edge_runtime.http.access import Access
from edge_runtime.http.tls import LiveTls
from edge_runtime.http.wsgi import WsgiApp
from edge_runtime.inference.calls import Call
from edge_runtime.log import log
from edge_runtime.models.models import Models
from edge_runtime.prediction_log.folder import DIRECTORY
from edge_runtime.prediction_log.log import PredictionLog
from edge_runtime.recent import Saved, join_saved
from edge_runtime.routes import build_routes
from edge_runtime.server import Server
from edge_runtime.service import Service
from edge_runtime.views.overview import Overview, overview_routes
from edge_runtime.worker_config import WorkerConfig
from packhorse.inference.prediction import Entry
from packhorse.inference.signature import Arrays


class Answering:
    """One process's server with what stands behind it.

    Attributes:
        tls: What the server speaks TLS with; None for plain HTTP.
    """

    def __init__(self, config: WorkerConfig, models: Models, crew: Crew) -> None:
        """Put together what answers for `models`, as one of `crew`."""
        tls = config.access.tls if config.access else None
        self.tls = LiveTls(tls) if tls else None
        self._models = models
        self._crew = crew
        self._counts = Counts()
        self._predictions = PredictionLog(
            Path(config.state_dir) / DIRECTORY, config.prediction_log
        )
        self._service = Service(models)
        self._overview = self._make_overview(config)
        self._dispatch = self._make_dispatch(config)
        self._service.submit = self._dispatch.submit
        self._service.refused = self._dispatch.refused
        self._service.measures_of = self._overview.measures_of
        models.on_change = self._dispatch.changed
        self.server = Server(self._dispatch, config.limits, crew.load)

    def tell(self) -> None:
        """Tell the other processes what this one has measured."""
        if not self._crew.board.write(self._crew.number, self._overview.note()):
            log("note_too_long", process=self._crew.number)

    def save_recent(self, path: Path, after_us: int) -> Saved:
        """Write the last requests; the first process joins what its mates wrote."""
        recent = self._models.all()[0].recent
        if self._crew.number:
            part = _part(path, self._crew.number)
            return recent.save(part, after_us=after_us)
        saved = recent.save(path, after_us=after_us)
        parts = [_part(path, number) for number in range(1, len(self._crew.mates) + 1)]
        return join_saved(path, parts, after_us=after_us) if parts else saved

    def shut_down(self) -> None:
        """Let go of the threads, and finish the prediction log."""
        self._dispatch.shut_down()
        self._predictions.close()

    def _make_overview(self, config: WorkerConfig) -> Overview:
        return Overview(
            self._models,
            self._counts,
            config.limits,
            slot=config.slot,
            container=config.container,
            needs_token=bool(config.access and config.access.tokens_sha256),
            others=partial(self._crew.board.others, self._crew.number),
            log_dropped=self._dropped,
        )

    def _make_dispatch(self, config: WorkerConfig) -> Dispatch:
        programs = overview_routes(self._overview.look)
        return Dispatch(
            partial(build_routes, self._service, config.container, programs),
            self._make_app,
            Watchers(self._counts, self._note),
            config.limits,
            _access(config),
        )

    def _make_app(self) -> WsgiApp:
        """Build the Flask app, when the first request needs it."""
        from edge_runtime.app import create_app  # noqa: PLC0415 - costs 17 MiB

        return cast("WsgiApp", create_app(self._service, self._overview).wsgi_app)

    def _dropped(self) -> int:
        return self._predictions.counts().dropped_total

    def _note(
        self,
        call: Call,
        outputs: Arrays | None,
        outcome: str,
        queue_s: float,
        compute_s: float,
    ) -> None:
        """Keep a prediction that the log wants; it is asked for every one."""
        if self._predictions.wants():
            elapsed_s = time.perf_counter() - call.arrived_s
            entry = Entry(
                at_s=time.time() - elapsed_s,
                model=call.model.name,
                version=call.model.version,
                request_id=call.request_id,
                traceparent=call.envelope.traceparent,
                outcome=outcome,
                queue_s=queue_s,
                compute_s=compute_s,
                rows=call.rows,
                inputs=call.inputs,
                outputs=outputs or {},
                ratio=self._predictions.ratio,
            )
            self._predictions.offer(entry)


def _access(config: WorkerConfig) -> Access | None:
    if config.access is None or not config.access.tokens_sha256:
        return None
    container = config.container
    open_paths = [container.health_route.encode()] if container else []
    return Access(config.access, open_paths=open_paths)


def _part(path: Path, number: int) -> Path:
    """Return where one mate writes what belongs into `path`."""
    return path.with_name(f"{path.name}.{number}")
