"""Load everything that a process serves: its slot's release, and models beside it."""

from functools import partial

from edge_runtime.models import Models
from edge_runtime.repository import Repository, StoredModel
from edge_runtime.run_watch import RunWatch
from edge_runtime.served_model import ServedModel
from edge_runtime.slots import Slot
from edge_runtime.warm import load_slot, load_stored


def load_models(
    slot: Slot | None,
    repository: Repository | None,
    watch: RunWatch,
    *,
    allow_load: bool = False,
    reason: str = "no release is installed yet",
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

    Raises:
        EdgeError: The slot's release cannot serve here.
    """
    load_on_request = partial(_load_tried, watch=watch) if allow_load else None
    models = Models(repository=repository, load=load_on_request, reason=reason)
    if slot is not None:
        models.add(load_slot(slot, watch))
    models.add_stored(partial(load_stored, watch=watch))
    return models


def _load_tried(stored: StoredModel, *, watch: RunWatch) -> ServedModel:
    """Load a model that a child process has loaded before."""
    from edge_runtime.try_load import try_load  # noqa: PLC0415 - seldom needed

    try_load(stored)
    return load_stored(stored, watch)
