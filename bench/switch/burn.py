"""Use so many seconds of CPU time at idle priority: `python -m bench.switch.burn 0.4`.

The control of a switch: what the same work costs others that only takes what is left.
"""

import os
import sys
import time


def main() -> None:
    """Burn."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    until_s = float(sys.argv[1])
    while time.process_time() < until_s:
        sum(range(1000))


if __name__ == "__main__":
    main()
