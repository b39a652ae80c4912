"""A process that logs numbered predictions until it is killed.

    python -m tests.edge_runtime.prediction_log.writing_process DIRECTORY NAME MAX_BYTES

Prints, as often as it grows, how many of them are written.
"""

import sys
import time
from pathlib import Path

from edge_runtime.prediction_log.log import PredictionLog
from edge_runtime.settings.serve_settings import LogSettings
from tests.edge_runtime.prediction_log.entries import QUICK, entry

AHEAD = 100


def main():
    directory, name, max_bytes = sys.argv[1:]
    settings = LogSettings(1.0, "full", int(max_bytes))
    log = PredictionLog(Path(directory), settings, free_min_bytes=0, pace=QUICK)
    offered = written = 0
    while True:
        while offered < written + AHEAD:
            log.offer(entry(f"{name}-{offered}"))
            offered += 1
        counts = log.counts()
        if counts.written > written:
            written = counts.written
            print(written, flush=True)  # noqa: T201 - for the test
        assert not counts.dropped_total, counts
        time.sleep(0.001)


if __name__ == "__main__":
    main()
