"""Several gateways beside each other: each waits for its own processes."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from queue import Queue

from tests.crash.recovery import Recovery
from tests.crash.scope import IS_WHOLE

TOGETHER = 3 if IS_WHOLE else 1


def each(life, folder, points, meet):
    """Give `meet` each point, with a `Recovery` and a place for a state directory.

    Returns:
        What it returned, and a sentence for each point at which it raised.
    """
    free = Queue()
    for number in range(TOGETHER):
        place = folder / str(number)
        place.mkdir(exist_ok=True)
        free.put((Recovery(life, place), place / "state"))

    def one(point):
        recovery, state_dir = free.get()
        try:
            return meet(recovery, state_dir, point), ""
        except Exception as error:  # noqa: BLE001 - all are told at the end
            return None, f"{point}: {error!r}"
        finally:
            shutil.rmtree(state_dir, ignore_errors=True)
            free.put((recovery, state_dir))

    try:
        with ThreadPoolExecutor(TOGETHER) as pool:
            results = list(pool.map(one, points))
    finally:
        for recovery, _ in list(free.queue):
            recovery.stop()
    return [said for said, _ in results], [bad for _, bad in results if bad]
