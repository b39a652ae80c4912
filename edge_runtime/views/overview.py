"""Looks at what serves now, for the status page, the metrics and the API document."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypedDict, cast

import orjson

from edge_runtime.counts import Counts, PlainCounts
from edge_runtime.errors import UnknownModelError
from edge_runtime.http.replies import Body, Reply
from edge_runtime.measures import ModelMeasures, PlainMeasures
from edge_runtime.models.models import Models
from edge_runtime.models.served_model import ServedModel
from edge_runtime.recent import Exchange
from edge_runtime.service import Handler
from edge_runtime.settings.serve_settings import ContainerSettings, Limits
from edge_runtime.views.metrics import CONTENT_TYPE, write_metrics
from edge_runtime.views.openapi import build_document
from edge_runtime.views.server_view import (
    ModelView,
    PlainProcess,
    Prediction,
    ServerView,
    classes_of,
    read_process,
    shapes_of,
)


class Note(TypedDict):
    """What one process tells the others of itself; JSON can hold it."""

    counts: PlainCounts
    process: PlainProcess
    log_dropped: int
    models: dict[str, PlainMeasures]


def _nobody() -> Sequence[object]:
    return ()


def _none() -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Overview:
    """What one process serves and counts; `look` may be called from any thread.

    Attributes:
        slot: Name of the slot that is served, "" for none.
        container: Vertex AI's routes, on Vertex AI.
        needs_token: Whether requests must show one.
        others: Gives the notes of the processes that serve the same.
        log_dropped: Gives the number of entries that the prediction log dropped.
    """

    models: Models
    counts: Counts
    limits: Limits
    slot: str = ""
    container: ContainerSettings | None = None
    needs_token: bool = False
    others: Callable[[], Sequence[object]] = _nobody
    log_dropped: Callable[[], int] = _none

    def note(self) -> Note:
        """Return what the other processes need to add this one to themselves."""
        return {
            "counts": self.counts.to_plain(),
            "process": read_process().to_plain(),
            "log_dropped": self.log_dropped(),
            "models": {m.release: m.measures.to_plain() for m in self.models.all()},
        }

    def look(self) -> ServerView:
        """Return the server as it is at this moment, all its processes together."""
        models = self.models.all()
        notes = cast("list[Note]", list(self.others()))
        process = read_process()
        for note in notes:
            process = process.plus(note["process"])
        return ServerView(
            release=models[0].release if self.slot and models else "",
            slot=self.slot,
            reason=self.models.reason,
            models=[self._model(model, notes) for model in models],
            counts=_join_counts(self.counts, notes),
            limits=self.limits,
            predictions=list(_predictions(models)),
            log_dropped=self.log_dropped() + sum(n["log_dropped"] for n in notes),
            process=process,
            container=self.container,
            needs_token=self.needs_token,
        )

    def measures_of(self, model: ServedModel) -> ModelMeasures:
        """Return what all processes together have measured of a model."""
        return _join_measures(model, cast("list[Note]", list(self.others())))

    def _model(self, model: ServedModel, notes: Sequence[Note]) -> ModelView:
        return ModelView(
            name=model.name,
            version=model.version,
            release=model.release,
            signature=model.signature,
            measures=_join_measures(model, notes),
            is_ready=model.is_ready,
            reason=model.reason,
            is_proven=model.is_proven,
            is_latest=self._answers_for_name(model),
            rows_max=min(model.plan.rows_max, self.limits.batch_rows_max),
            source=model.source,
        )

    def _answers_for_name(self, model: ServedModel) -> bool:
        try:
            return self.models.get(model.name) is model
        except UnknownModelError:  # unloaded while somebody looks
            return False


def overview_routes(look: Callable[[], ServerView]) -> Mapping[str, Handler]:
    """Return what answers for programs, by path; the hot path and Flask serve it."""
    return {
        "/metrics": partial(_metrics, look),
        "/openapi.json": partial(_document, look),
    }


def _metrics(look: Callable[[], ServerView], _body: Body = b"") -> Reply:
    return Reply(200, write_metrics(look()).encode(), CONTENT_TYPE)


def _document(look: Callable[[], ServerView], _body: Body = b"") -> Reply:
    return Reply(200, orjson.dumps(build_document(look())))


def _join_counts(counts: Counts, notes: Sequence[Note]) -> Counts:
    """Return the counts of all processes; those of the only one as they are."""
    if not notes:
        return counts
    joined = Counts(clock=counts.clock, started_s=counts.started_s)
    for plain in (counts.to_plain(), *(note["counts"] for note in notes)):
        joined.merge(plain)
    return joined


def _join_measures(model: ServedModel, notes: Sequence[Note]) -> ModelMeasures:
    """Return the measures of all processes; those of the only one as they are."""
    theirs = [n["models"][model.release] for n in notes if model.release in n["models"]]
    if not theirs:
        return model.measures
    return ModelMeasures.merged((model.measures.to_plain(), *theirs))


def _predictions(models: list[ServedModel]) -> Iterator[Prediction]:
    """Yield the last predictions of all models, the newest first."""
    kept = [(x, model.release) for model in models for x in model.recent.all()]
    kept.sort(key=lambda pair: -pair[0].at_s)
    for exchange, release in kept:
        yield _prediction(exchange, release)


def _prediction(exchange: Exchange, release: str) -> Prediction:
    """Return what may be told of an exchange: no payload leaves by the page."""
    took_s = exchange.took_s
    return Prediction(
        at_s=exchange.at_s,
        release=release,
        inputs=shapes_of(exchange.inputs),
        outputs=shapes_of(exchange.outputs),
        classes=classes_of(exchange.outputs),
        took_ms=1000.0 * took_s if took_s else None,
    )
