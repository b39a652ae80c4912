"""What a million predictions cost, worked out from a run.

docs/predict-cost.md explains the formula, and what is assumed.

Source: cloud.google.com/run/pricing, request-based billing, regions of tier 1
"""

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from bench.marks import Marks
from bench.predict.cells import CELLS, ONE
from bench.predict.entrants import CLIENT, OURS, TITLES
from bench.predict.results import Results, median
from bench.predict.running import ROOT
from bench.predict.samples import SMALL
from bench.report import table

MARKS = Marks("<!-- cost -->", "<!-- /cost -->")
_ROUNDED_TO_S = 0.1
_MILLION = 1e6
_MIB_IN_GIB = 1024


@dataclass(frozen=True, slots=True)
class Prices:
    """In US dollars, without the free tier."""

    cpu_second: float = 0.000024
    gib_second: float = 0.0000025
    million_requests: float = 0.40


@dataclass(frozen=True, slots=True)
class Instance:
    """What one instance is given."""

    cpus: float
    gib: float

    def second(self, prices: Prices) -> float:
        """Return what a second of it costs while it has a request."""
        return self.cpus * prices.cpu_second + self.gib * prices.gib_second


def deployed_instance() -> Instance:
    """Return what `functions/deploy.yaml` gives the prediction function."""
    listed = yaml.safe_load((ROOT / "functions" / "deploy.yaml").read_text())
    predict: Mapping[str, object] = listed["functions"]["predict"]
    memory = str(predict["memory"])
    size = float(memory[:-2])
    gib = size if memory.endswith("Gi") else size / _MIB_IN_GIB
    return Instance(float(str(predict.get("cpu", 1))), gib)


def instance_s(latency_s: float, cpu_s: float, concurrency: int, cpus: float) -> float:
    """Return how long an instance is busy for each request.

    Args:
        latency_s: Of a request by itself, the upstream's included.
        cpu_s: Processor time of a request.
        concurrency: Requests that are under way all the time.
        cpus: What the instance has.
    """
    return max(latency_s / concurrency, cpu_s / cpus)


def million(busy_s: float, instance: Instance, prices: Prices) -> float:
    """Return what a million requests cost that each keep an instance busy so long."""
    return _MILLION * busy_s * instance.second(prices) + prices.million_requests


def cost_table(results: Results) -> str:
    """Return the costs beside the client's, for each concurrency that was measured."""
    rows = []
    for cell in CELLS:
        if cell.floats == SMALL and results.window(cell.name, OURS, "cpu_us"):
            cells = [_cost(results, name, cell.name, cell.connections) for name in _WHO]
            rows.append((f"{cell.connections} under way", *sum(cells, ())))
    alone = [_alone(results, name) for name in _WHO]
    rows.append(("one now and then: billed 100 ms", *sum(alone, ())))
    heads = sum(((f"{TITLES[n]}: busy", "a million") for n in _WHO), ())
    return table(("", *heads), rows)


_WHO = (OURS, CLIENT)


def _cost(results: Results, name: str, cell: str, concurrency: int) -> tuple[str, str]:
    latency_us = median(results.window(ONE, name, "p50_us"))
    cpu_us = median(results.window(cell, name, "cpu_us"))
    if latency_us is None or cpu_us is None:
        return "-", "-"
    instance = deployed_instance()
    busy_s = instance_s(latency_us / 1e6, cpu_us / 1e6, concurrency, instance.cpus)
    return _written(busy_s, instance)


def _alone(results: Results, name: str) -> tuple[str, str]:
    """Return the cost where no two requests ever share an instance's time."""
    latency_us = median(results.window(ONE, name, "p50_us"))
    if latency_us is None:
        return "-", "-"
    steps = -(-latency_us / 1e6 // _ROUNDED_TO_S)
    return _written(steps * _ROUNDED_TO_S, deployed_instance())


def _written(busy_s: float, instance: Instance) -> tuple[str, str]:
    return f"{busy_s * 1000:.2f} ms", f"${million(busy_s, instance, Prices()):.2f}"
