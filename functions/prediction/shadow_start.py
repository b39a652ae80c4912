"""Put the parts of shadow runs together; on the running loop."""

import os
from datetime import UTC, datetime

from functions.adapters.topic import Topic
from functions.prediction.candidates import Candidates
from functions.prediction.comparing import Comparer, Tolerances
from functions.prediction.event_line import note_to
from functions.prediction.shadow import Shadow
from functions.prediction.shadow_export import ShadowExport
from functions.prediction.shadow_run import Tools
from functions.prediction.shadow_sums import ShadowSums
from functions.prediction.wakefulness import Wakefulness


def start_shadow(
    candidates: Candidates, topic: Topic | None, tolerances: Tolerances, *, project: str
) -> Shadow:
    """Return what shadows this process's requests.

    Args:
        candidates: Whom it asks.
        topic: Whom it reports to, if anybody.
        tolerances: By model and output.
        project: Whose traces the log names; empty when nobody said.
    """
    note = note_to(project)
    sums = ShadowSums(lambda: datetime.now(UTC), lambda: os.urandom(16).hex())
    return Shadow(
        Tools(candidates, Comparer(tolerances), Wakefulness()),
        sums,
        None if topic is None else ShadowExport(sums, topic, note),
        note,
    )
