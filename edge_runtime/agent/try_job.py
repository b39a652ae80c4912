"""What the agent asks of the process that tries a release, and the way it is written.

Apart from `try_process.py`, so that the agent loads neither numpy nor ONNX Runtime.
"""

from dataclasses import dataclass
from pathlib import Path

from packhorse.strict_json import Fields, decode_json, encode_json

JOB_MAX_BYTES = 16_384
ANSWER_MAX_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Job:
    """What to try, and how much of the machine it may use.

    Attributes:
        slot: Folder of the candidate; with `is_probe`, it holds only a model that
            is loaded and not run.
        active: Folder of the release that serves, or None.
        recent: File with live requests, or None.
    """

    slot: Path
    active: Path | None
    recent: Path | None
    memory_bytes: int
    cpu_s: int
    is_probe: bool = False


def encode_job(job: Job) -> bytes:
    """Write the job as JSON."""
    return encode_json(
        {
            "slot": str(job.slot),
            "active": str(job.active) if job.active else None,
            "recent": str(job.recent) if job.recent else None,
            "memory_bytes": job.memory_bytes,
            "cpu_s": job.cpu_s,
            "is_probe": job.is_probe,
        }
    )


def decode_job(body: bytes) -> Job:
    """Read a job."""
    document = decode_json(body, what="try job", limit_bytes=JOB_MAX_BYTES)
    fields = Fields(document, "the try job")
    active, recent = fields.optional("active"), fields.optional("recent")
    job = Job(
        slot=Path(fields.text("slot", max_length=4096)),
        active=Path(str(active)) if active else None,
        recent=Path(str(recent)) if recent else None,
        memory_bytes=fields.integer("memory_bytes"),
        cpu_s=fields.integer("cpu_s"),
        is_probe=fields.boolean("is_probe"),
    )
    fields.done()
    return job
