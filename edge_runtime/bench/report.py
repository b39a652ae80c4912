"""What the load showed, for people and for programs."""

import json
from argparse import Namespace

from edge_runtime.bench.load import Outcome
from edge_runtime.bench.request import Request
from edge_runtime.bench.target import Target

BUSY_SHARE = 0.9
"""Share of a core above which the client may have been slower than the server."""

_PERCENTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99}


def as_document(
    arguments: Namespace, target: Target, request: Request, outcome: Outcome
) -> str:
    """Return one JSON object."""
    return json.dumps(
        {
            "url": target.url,
            "connections": arguments.connections,
            "seconds": round(outcome.seconds, 3),
            "binary": request.json_bytes is not None,
            "request_bytes": len(request.body),
            "requests": outcome.latencies.count,
            "per_s": round(_per_s(outcome), 1),
            "latency_ms": {k: round(v, 4) for k, v in _latency_ms(outcome).items()},
            "statuses": {str(k): v for k, v in sorted(outcome.statuses.items())},
            "broken": outcome.broken,
            "client_share": round(outcome.client_share, 2),
        }
    )


def as_sentences(
    arguments: Namespace, target: Target, request: Request, outcome: Outcome
) -> str:
    """Return lines for people."""
    form = "JSON" if request.json_bytes is None else "binary"
    latency = _latency_ms(outcome)
    times = "   ".join(f"{name} {value:.3g} ms" for name, value in latency.items())
    load = (
        f"{arguments.connections} connections, {outcome.seconds:.1f} s, {form},"
        f" {len(request.body):,} bytes a request"
    )
    rate = f"{outcome.latencies.count:,}, {_per_s(outcome):,.0f} a second"
    lines = [
        target.url,
        f"  load      {load}",
        f"  answers   {rate}; {_statuses(outcome)}",
        f"  latency   {times}",
    ]
    if outcome.client_share > BUSY_SHARE:
        lines.append(
            f"  note      this client used {outcome.client_share:.0%} of a core:"
            " the server may be faster"
        )
    return "\n".join(lines)


def _statuses(outcome: Outcome) -> str:
    if outcome.is_good:
        return "all 200"
    parts = [f"{n:,} times {status}" for status, n in sorted(outcome.statuses.items())]
    if outcome.broken:
        parts.append(f"{outcome.broken:,} broken off")
    return ", ".join(parts) or "none"


def _per_s(outcome: Outcome) -> float:
    return outcome.latencies.count / outcome.seconds


def _latency_ms(outcome: Outcome) -> dict[str, float]:
    seen = outcome.latencies
    found = {n: seen.percentile_ns(share) / 1e6 for n, share in _PERCENTILES.items()}
    mean_ns = seen.total_ns / seen.count if seen.count else 0.0
    return {**found, "mean": mean_ns / 1e6, "max": seen.longest_ns / 1e6}
