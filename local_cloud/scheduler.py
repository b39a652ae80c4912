"""`python -m local_cloud.scheduler`: Cloud Scheduler for the topics of deploy.yaml.

It publishes `{}` to every topic that has a schedule there, by a clock that may
run faster than the wall's. Like Cloud Scheduler, it does not make up for what
it missed while it was away, and a publish that fails is tried again until the
next one is due.

Source: cloud.google.com/scheduler/docs/configuring/cron-job-schedules
"""

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml
from google.api_core import exceptions
from google.pubsub_v1 import PublisherClient, types

from local_cloud.cron import Schedule, parse_schedule
from local_cloud.stopping import take_stop_signals

DEPLOY_FILE_MAX_BYTES = 1_000_000
PUBLISH_TIMEOUT_S = 5.0
RETRY_S = 1.0
SPEED_UP_MAX = 600.0
"""Ten publishes a second for what is due each minute."""


@dataclass(frozen=True, slots=True, order=True)
class Job:
    """What is published, and when."""

    topic: str
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock that runs `speed_up` times as fast as the wall's from `started_at` on."""

    started_at: float
    speed_up: float

    def now(self) -> datetime:
        """Return the time it shows."""
        passed_s = time.time() - self.started_at
        return datetime.fromtimestamp(self.started_at + passed_s * self.speed_up, UTC)

    def wait_s(self, at: datetime) -> float:
        """Return how long it is until it shows `at`, in real seconds."""
        return max(0.0, (at - self.now()).total_seconds() / self.speed_up)


def read_jobs(path: Path) -> list[Job]:
    """Return the scheduled topics of a deploy.yaml, each schedule once.

    Raises:
        ValueError: It is no deploy.yaml, or a schedule in it is none.
    """
    with path.open("rb") as file:
        document = yaml.safe_load(file.read(DEPLOY_FILE_MAX_BYTES))
    try:
        triggers = [each["trigger"] for each in document["functions"].values()]
        found = {
            Job(trigger["topic"], parse_schedule(trigger["schedule"]))
            for trigger in triggers
            if "schedule" in trigger
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: expected functions: NAME: trigger: {{topic, schedule}}"
        ) from error
    return sorted(found)


def run_job(job: Job, topic: str, clock: Clock, stop: threading.Event) -> None:
    """Publish whenever the job is due, until told to stop."""
    publisher = PublisherClient()
    due_at = job.schedule.next_after(clock.now())
    while not stop.wait(clock.wait_s(due_at)):
        # What is due while a publish is under way is skipped.
        due_at = job.schedule.next_after(max(due_at, clock.now()))
        _publish(publisher, topic, time.monotonic() + clock.wait_s(due_at), stop)


def _publish(
    publisher: PublisherClient, topic: str, give_up_at: float, stop: threading.Event
) -> None:
    message = types.PubsubMessage(data=b"{}")
    while not stop.is_set():
        try:
            publisher.publish(
                topic=topic, messages=[message], retry=None, timeout=PUBLISH_TIMEOUT_S
            )
        except exceptions.GoogleAPICallError as error:
            if time.monotonic() + RETRY_S > give_up_at:
                _log("missed", topic=topic, reason=type(error).__name__)
                return
            stop.wait(RETRY_S)
        else:
            return


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish until told to stop; return the exit code."""
    found = _read_arguments(arguments)
    wait_for_stop = take_stop_signals()
    try:
        jobs = _check(found.deploy_file, found.speed_up)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"scheduler: cannot start: {error}\n")
        return 1
    clock, stop = Clock(time.time(), found.speed_up), threading.Event()
    for job in jobs:
        topic = f"projects/{found.project}/topics/{job.topic}"
        threading.Thread(
            target=run_job, args=(job, topic, clock, stop), daemon=True
        ).start()
    _log("started", topics=[job.topic for job in jobs], speed_up=found.speed_up)
    wait_for_stop()
    stop.set()
    return 0


def _check(deploy_file: Path, speed_up: float) -> list[Job]:
    if not os.environ.get("PUBSUB_EMULATOR_HOST"):
        raise ValueError("PUBSUB_EMULATOR_HOST is not set: it names the local Pub/Sub")
    if not 0 < speed_up <= SPEED_UP_MAX:
        raise ValueError(f"--speed-up: expected 0 to {SPEED_UP_MAX}, got {speed_up}")
    return read_jobs(deploy_file)


def _read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local_cloud.scheduler", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("--deploy-file", type=Path, required=True, help="deploy.yaml")
    parser.add_argument("--project", default="packhorse-demo", help="of the topics")
    parser.add_argument(
        "--speed-up", type=float, default=1.0, help="how much faster the clock runs"
    )
    return parser.parse_args(arguments)


def _log(event: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"event": f"scheduler.{event}", **fields}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
