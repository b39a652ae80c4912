"""The models that this process serves, by name and version.

Requests look models up on the event loop's thread, while others are loaded and
unloaded in threads. What is served is one mapping that is never changed but
replaced whole, so nobody sees half of a change, and a request keeps the model
that it found.

The gateway's own release stands first. It is the default version of its name,
whatever lies in the models directory, and cannot be unloaded. Of other models the
highest version is the default.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from edge_runtime.errors import EdgeError, NotAllowedError, UnknownModelError
from edge_runtime.models.repository import Key, Repository, StoredModel
from edge_runtime.models.served_model import ServedModel
from edge_runtime.settings.serve_settings import NO_RELEASE

READY = "READY"
UNAVAILABLE = "UNAVAILABLE"

MODELS_MAX = 64
"""Versions served at once: each takes memory, and a place on the status page."""

CHANGE_WAIT_S = 60.0
"""Time to wait for another thread's loading: most models take seconds."""

NAME_MAX = 80
NAMED_MAX = 5
"""Characters of a name, and releases, that a sentence has room for."""

Load = Callable[[StoredModel], ServedModel]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One version that is served here, or lies in the models directory.

    Attributes:
        state: `READY` or `UNAVAILABLE`.
        reason: Why it is unavailable.
    """

    name: str
    version: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Served:
    """What is served at one moment; never changed, only replaced.

    Attributes:
        models: In the order in which they are listed.
        defaults: Which version answers for a name alone.
        broken: Why a version that should be served is not.
    """

    models: Mapping[Key, ServedModel] = field(default_factory=dict)
    defaults: Mapping[str, ServedModel] = field(default_factory=dict)
    broken: Mapping[Key, str] = field(default_factory=dict)

    def models_without(self, name: str, own: Key | None) -> dict[Key, ServedModel]:
        """Return what is served without a model, but with the gateway's own."""
        models = self.models.items()
        return {k: model for k, model in models if k[0] != name or k == own}

    def broken_without(self, name: str) -> dict[Key, str]:
        """Return what is broken without a model."""
        return {key: why for key, why in self.broken.items() if key[0] != name}


class Models:
    """The models that this process serves; safe to use from several threads."""

    def __init__(
        self,
        *,
        repository: Repository | None = None,
        load: Load | None = None,
        reason: str = NO_RELEASE,
        fault: str = "",
    ) -> None:
        """Serve none yet.

        Args:
            repository: Where models lie beside the gateway's own release.
            load: Loads one of them on request; None where that is not allowed.
            reason: What to say while nothing is served.
            fault: Why the gateway's own release is not served, whatever else is.
        """
        self._repository = repository
        self._load = load
        self._reason = reason
        self._fault = fault
        self._served = _Served()
        self._own: Key | None = None
        self._changing = threading.Lock()
        self.on_change: Callable[[], None] = lambda: None
        """Called after every change, in the thread that made it."""

    # What requests ask.

    def get(self, name: str, version: str | None = None) -> ServedModel:
        """Return a version of a model, the default one where none is named.

        Raises:
            UnknownModelError: It is not served here.
        """
        served = self._served
        if version is None:
            model = served.defaults.get(name)
        else:
            model = served.models.get((name, version))
        if model is None:
            raise self._unknown(name, version)
        return model

    def versions(self, name: str) -> list[str]:
        """Return the versions of a model that are served, the oldest first."""
        return sorted((v for n, v in self._served.models if n == name), key=int)

    def all(self) -> list[ServedModel]:
        """Return every version that is served, the gateway's own release first."""
        return list(self._served.models.values())

    @property
    def is_ready(self) -> bool:
        """Whether every model that was configured at start answers."""
        return not self.reason

    @property
    def reason(self) -> str:
        """Say why this process is not ready; empty when it is."""
        served = self._served
        if self._fault:
            return self._fault
        if served.broken:
            (name, version), why = next(iter(served.broken.items()))
            return f"{name}@{version}: {why}"
        if not served.models:
            return self._reason
        for model in served.models.values():
            if not model.is_ready:
                model.try_again()
            if model.reason:
                return model.reason
        return ""

    def index(self) -> list[IndexEntry]:
        """List every version that is served, or lies in the models directory."""
        served = self._served
        entries = {key: _entry(model) for key, model in served.models.items()}
        for key, why in served.broken.items():
            entries[key] = IndexEntry(*key, UNAVAILABLE, why)
        for stored in self._repository.all() if self._repository else ():
            unloaded = IndexEntry(*stored.key, UNAVAILABLE, "unloaded")
            entries.setdefault(stored.key, unloaded)
        return list(entries.values())

    # What changes them.

    def add(self, model: ServedModel) -> None:
        """Serve the gateway's own release."""
        key = (model.name, model.version)
        with self._alone():
            self._own = key
            self._replace({key: model, **self._served.models}, self._served.broken)
        self.on_change()

    def add_stored(self, load: Load) -> None:
        """Load every model of the directory; remember why one cannot be."""
        for stored in self._repository.all() if self._repository else ():
            with self._alone():
                self._add_stored(stored, load)
        self.on_change()

    def load(self, name: str) -> None:
        """Load all versions of a model from the directory, in place of those served.

        Takes as long as that takes; meanwhile the former versions answer, and go on
        answering when one of the new ones cannot be loaded.

        Raises:
            NotAllowedError: Nothing may be loaded here.
            UnknownModelError: The directory has no such model.
            ModelError: A version cannot be served.
        """
        repository, load = self._allowed("loaded")
        with self._alone():
            stored = [s for s in repository.versions(name) if s.key != self._own]
            kept = self._served.models_without(name, self._own)
            _check_room(len(kept) + len(stored))
            new = {s.key: load(s) for s in stored}
            self._replace({**kept, **new}, self._served.broken_without(name))
        self.on_change()

    def unload(self, name: str) -> None:
        """Serve no version of a model any more, but for the gateway's own release.

        Raises:
            NotAllowedError: Nothing may be unloaded here, or only what must stay.
            UnknownModelError: No such model is served.
        """
        self._allowed("unloaded")
        with self._alone():
            served = self._served
            kept = served.models_without(name, self._own)
            broken = served.broken_without(name)
            if (len(kept), len(broken)) == (len(served.models), len(served.broken)):
                self._refuse_unload(name)
            self._replace(kept, broken)
        self.on_change()

    def _add_stored(self, stored: StoredModel, load: Load) -> None:
        """Load one version at start."""
        served = self._served
        if stored.key == self._own:
            return  # the release in the slot was vouched for, its copy was not
        try:
            _check_room(len(served.models) + 1)
            models = {**served.models, stored.key: load(stored)}
        except EdgeError as error:
            broken = {**served.broken, stored.key: str(error)}
            self._replace(served.models, broken)
        else:
            self._replace(models, served.broken)

    def _allowed(self, what: str) -> tuple[Repository, Load]:
        if self._repository is None or self._load is None:
            raise NotAllowedError(
                f"models are {what} on request only where PACKHORSE_MODELS_DIR and"
                " PACKHORSE_ALLOW_LOAD=1 are set, with PACKHORSE_PROCESSES=1"
            )
        return self._repository, self._load

    def _refuse_unload(self, name: str) -> NoReturn:
        if self._own is not None and self._own[0] == name:
            raise NotAllowedError(f"{name!r} is the gateway's own release, and stays")
        raise self._unknown(name, None)

    def _unknown(self, name: str, version: str | None) -> UnknownModelError:
        models = self.all()
        served = [model.release for model in models if model.name == name]
        served = served or [model.release for model in models]
        asked = name if version is None else f"{name}@{version}"
        return UnknownModelError(
            f"expected {_one_of(served) or 'nothing, for no model is served'},"
            f" came {asked[:NAME_MAX]!r}"
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one thread at a time change what is served."""
        if not self._changing.acquire(timeout=CHANGE_WAIT_S):
            raise NotAllowedError("another model is being loaded; try again later")
        try:
            yield
        finally:
            self._changing.release()

    def _replace(
        self, models: Mapping[Key, ServedModel], broken: Mapping[Key, str]
    ) -> None:
        """Serve these from now on."""
        defaults: dict[str, ServedModel] = {}
        for model in sorted(models.values(), key=lambda m: int(m.version)):
            defaults[model.name] = model
        if self._own is not None:
            defaults[self._own[0]] = models[self._own]
        self._served = _Served(models, defaults, broken)


def _check_room(count: int) -> None:
    if count > MODELS_MAX:
        raise NotAllowedError(f"at most {MODELS_MAX} versions are served")


def _entry(model: ServedModel) -> IndexEntry:
    state = READY if model.is_ready else UNAVAILABLE
    return IndexEntry(model.name, model.version, state, model.reason)


def _one_of(releases: Sequence[str]) -> str:
    """Write a choice for a sentence, cut short."""
    named = ", ".join(releases[:NAMED_MAX])
    more = len(releases) - NAMED_MAX
    return f"{named} or {more} more" if more > 0 else named
