"""What the agent asks of the process that tries a release, and the way it is written.

Apart from `try_process.py`, so that the agent loads neither numpy nor ONNX Runtime.
"""

from dataclasses import dataclass
from pathlib import Path

from packhorse.shadow_limits import (
    NO_LIMITS,
    ShadowLimits,
    decode_shadow_limits,
    encode_shadow_limits,
)
from packhorse.strict_json import Fields, decode_json, encode_json

JOB_MAX_BYTES = 16_384
ASKING = b"?"
"""What the process says for more live requests; it gets one byte and a file."""

ANSWER_MAX_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class ShadowJob:
    """How long to answer live requests, and what they must show.

    Attributes:
        time_s: Longest time, from the first one asked for.
        requests: It ends earlier after so many.
    """

    time_s: float
    requests: int
    limits: ShadowLimits = NO_LIMITS


@dataclass(frozen=True, slots=True)
class Job:
    """What to try, and how much of the machine it may use.

    Attributes:
        slot: Folder of the candidate; with `is_probe`, it holds only a model that
            is loaded and not run.
        active: Folder of the release that serves, or None.
        shadow: What to do with live requests; None where nobody hands them over.
    """

    slot: Path
    active: Path | None
    shadow: ShadowJob | None
    memory_bytes: int
    cpu_s: int
    is_probe: bool = False


def encode_job(job: Job) -> bytes:
    """Write the job as JSON."""
    return encode_json(
        {
            "slot": str(job.slot),
            "active": str(job.active) if job.active else None,
            "shadow": _encode_shadow(job.shadow) if job.shadow else None,
            "memory_bytes": job.memory_bytes,
            "cpu_s": job.cpu_s,
            "is_probe": job.is_probe,
        }
    )


def decode_job(body: bytes) -> Job:
    """Read a job."""
    document = decode_json(body, what="try job", limit_bytes=JOB_MAX_BYTES)
    fields = Fields(document, "the try job")
    active, shadow = fields.optional("active"), fields.optional("shadow")
    job = Job(
        slot=Path(fields.text("slot", max_length=4096)),
        active=Path(str(active)) if active else None,
        shadow=_decode_shadow(shadow) if shadow else None,
        memory_bytes=fields.integer("memory_bytes"),
        cpu_s=fields.integer("cpu_s"),
        is_probe=fields.boolean("is_probe"),
    )
    fields.done()
    return job


def _encode_shadow(shadow: ShadowJob) -> dict[str, object]:
    return {
        "time_s": shadow.time_s,
        "requests": shadow.requests,
        "limits": encode_shadow_limits(shadow.limits),
    }


def _decode_shadow(value: object) -> ShadowJob:
    fields = Fields(value, "the try job's shadow run")
    shadow = ShadowJob(
        time_s=fields.number("time_s"),
        requests=fields.integer("requests", low=1),
        limits=decode_shadow_limits(fields.take("limits")),
    )
    fields.done()
    return shadow
