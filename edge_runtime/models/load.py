"""Load everything that a process serves: its slot's release, and models beside it."""

import time
from collections.abc import Callable
from functools import partial

from edge_runtime.errors import EdgeError, ModelError
from edge_runtime.log import log
from edge_runtime.models.models import Models
from edge_runtime.models.repository import Repository, StoredModel
from edge_runtime.models.served_model import ServedModel
from edge_runtime.models.warm import load_slot, load_stored
from edge_runtime.run_watch import RunWatch
from edge_runtime.settings.serve_settings import NO_RELEASE
from edge_runtime.slots import Slot

REASON_MAX = 500
"""Characters of a line in the log: names of tensors may be many and long."""


def load_models(  # noqa: PLR0913 - what a worker is told, by keyword
    slot: Slot | None,
    repository: Repository | None,
    watch: RunWatch,
    *,
    allow_load: bool = False,
    reason: str = NO_RELEASE,
    fault: str = "",
) -> Models:
    """Load the slot's release, and every model of the directory that can be.

    A model of the directory that cannot be loaded keeps the process from being
    ready, and nothing else: the release answers.

    Args:
        slot: Holds the gateway's own release; None without one.
        repository: Where further models lie.
        watch: Ends runs that take too long.
        allow_load: Whether models may be loaded and unloaded on request. Only for
            one process: others would not know.
        reason: What to say while nothing is served.
        fault: Why the gateway's own release is not served, whatever else is.

    Raises:
        EdgeError: The slot's release cannot serve here.
    """
    load_on_request = partial(_load_tried, watch=watch) if allow_load else None
    models = Models(
        repository=repository, load=load_on_request, reason=reason, fault=fault
    )
    if slot is not None:
        load = partial(load_slot, slot, watch)
        models.add(_told(load, str(slot.release), f"slot {slot.name}"))
    models.add_stored(partial(_load_told, watch=watch))
    return models


def _load_told(stored: StoredModel, *, watch: RunWatch) -> ServedModel:
    load = partial(load_stored, stored, watch)
    return _told(load, "@".join(stored.key), str(stored.path))


def _load_tried(stored: StoredModel, *, watch: RunWatch) -> ServedModel:
    """Load a model that a child process has loaded before."""
    from edge_runtime.models.try_load import try_load  # noqa: PLC0415 - seldom needed

    release = "@".join(stored.key)

    def load() -> ServedModel:
        try_load(stored)
        return load_stored(stored, watch)

    try:
        return _told(load, release, str(stored.path))
    except EdgeError as error:
        raise ModelError(f"{release}: {error}") from error


def _told(load: Callable[[], ServedModel], release: str, source: str) -> ServedModel:
    """Load a model, and log what came of it."""
    begun_s = time.monotonic()
    try:
        model = load()
    except EdgeError as error:
        reason = str(error)[:REASON_MAX]
        log("model_failed", release=release, source=source, reason=reason)
        raise
    log(
        "model_loaded",
        release=release,
        source=source,
        rows_max=model.plan.rows_max,
        is_slow=model.plan.is_slow,
        proven=model.is_proven,
        took_s=round(time.monotonic() - begun_s, 3),
    )
    return model
