"""Answer predictions: the thinnest proxy in front of Vertex AI.

Started with `FUNCTION_USE_ASGI=true`: the framework cannot see that a function is
asynchronous before it has loaded it, and `main.py` loads it when asked to.

Imports neither numpy nor a Google SDK: a cold start pays for a copy only.
"""

import functools
import gc
import os
import time
from typing import TYPE_CHECKING

import functions_framework.aio
from starlette.requests import Request

from functions import wiring
from functions.errors import CloudError
from functions.prediction.admission import Admission
from functions.prediction.answered import Answered
from functions.prediction.attempts import Attempts
from functions.prediction.bodies import Bodies
from functions.prediction.circuit import Circuits, Turn
from functions.prediction.event_line import note_to
from functions.prediction.expected import Expectations
from functions.prediction.parts import Parts
from functions.prediction.proxy import Proxy, Unready
from functions.prediction.retries import Budget
from functions.prediction.stopping import finish, on_sigterm
from functions.prediction.underway import Underway
from packhorse.errors import PackhorseError

if TYPE_CHECKING:
    from functions.prediction.inference_log import InferenceLog
    from functions.prediction.shadow import Shadow


# The server forks after this import. What is frozen the collector leaves alone, so
# that both processes go on sharing it: 10 MB less.
os.register_at_fork(before=gc.freeze)


@functions_framework.aio.http  # type: ignore[arg-type]  # any ASGI application will do
async def predict(_request: Request) -> Proxy | Unready:
    """Serve predictions, health and metadata of the models of `MODEL_ENDPOINTS`.

    What is returned is an ASGI application: it answers.
    """
    try:
        return _proxy()
    except (CloudError, PackhorseError) as error:
        return Unready(error)


@functools.cache
def _proxy() -> Proxy:
    """Return what answers: built at the first request, on the loop that it runs on."""
    settings = wiring.predictions()
    parts = Parts(
        settings=settings,
        token=wiring.bearer_token(),
        releases=wiring.deployed_releases(),
        attempts=_attempts(),
        admission=Admission(
            requests_max=settings.requests_max, bytes_max=settings.bytes_max
        ),
        bodies=Bodies(settings.bytes_max),
        underway=Underway(),
        expectations=_expectations(),
        answered=Answered(),
        shadow=_shadow(),
        inference_log=_inference_log(),
    )
    # Last: what could not be built is tried again, and must not listen each time.
    on_sigterm(functools.partial(finish, parts))
    return Proxy(parts)


def _attempts() -> Attempts:
    return Attempts(
        wiring.upstream(),
        wiring.bearer_token(),
        Budget(time.monotonic),
        Circuits(time.monotonic, tell=_tell_of_circuit),
    )


def _tell_of_circuit(turn: Turn) -> None:
    """Write the one line of a circuit that opened or closed."""
    releases = wiring.deployed_releases()
    fields = {
        "severity": "WARNING" if turn.is_open else "NOTICE",
        "endpoint": turn.endpoint,
        "deployed_model_id": turn.deployed_id,
        "release": releases.known(turn.endpoint, turn.deployed_id),
        "reason": turn.why,
    }
    note = note_to(wiring.predictions().project)
    note("circuit opened" if turn.is_open else "circuit closed", fields)


def _expectations() -> Expectations:
    settings = wiring.predictions()
    pins = {model.name: model.pin for model in settings.models.values() if model.pin}
    return Expectations(pins, wiring.rollout_reader(note_to(settings.project)))


def _shadow() -> "Shadow | None":
    """Return what shadows requests; what it needs is loaded only where it is used."""
    settings = wiring.predictions()
    if not any(one.candidate and one.shadow_share for one in settings.models.values()):
        return None
    from functions.prediction.candidates import Candidates  # noqa: PLC0415 - lazy
    from functions.prediction.shadow_start import start_shadow  # noqa: PLC0415 - lazy

    candidates = Candidates(
        wiring.candidate_upstream(), wiring.bearer_token(), wiring.deployed_releases()
    )
    tolerances = wiring.shadow_settings().tolerances
    return start_shadow(
        candidates, wiring.shadow_topic(), tolerances, project=settings.project
    )


def _inference_log() -> "InferenceLog | None":
    settings = wiring.predictions()
    if settings.log_policy == "off" or not settings.log_ratio:
        return None
    from functions.prediction.inference_log import (  # noqa: PLC0415 - lazy
        InferenceLog,
    )

    return InferenceLog(settings.log_ratio, settings.log_policy)
