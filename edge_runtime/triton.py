"""Triton's documents: a model's configuration, its statistics, the repository.

What Triton has and this server has not (schedulers, GPUs, files with labels) is
left out, which its messages allow: tritonclient's own read all of these.

Source: Triton, protocol/extension_model_configuration.md,
extension_statistics.md, extension_model_repository.md; Triton, model_config.proto
"""

from collections.abc import Callable, Iterable, Mapping

import orjson

from edge_runtime.http.replies import Body
from edge_runtime.measures import Histogram, ModelMeasures
from edge_runtime.models.models import IndexEntry
from edge_runtime.models.served_model import ServedModel, own_measures
from packhorse.errors import MalformedError
from packhorse.manifest import TensorSpec

Document = dict[str, object]

READY = "READY"
PLATFORM = "onnxruntime_onnx"
FILE_NAME = "model.onnx"

_DEPENDENTS = "unload_dependents"
_NS = 1e9
_MS = 1e3


def model_config(model: ServedModel) -> Document:
    """Describe how a model is served, as `ModelConfig` in JSON.

    Where requests are run together, `max_batch_size` is the rows of one run, and
    shapes are those of one row. Requests may have more rows than that here.
    """
    specs = (*model.signature.inputs.values(), *model.signature.outputs.values())
    is_batched = model.plan.rows_max > 1 and all(len(s.shape) > 1 for s in specs)
    first = 1 if is_batched else 0
    document: Document = {
        "name": model.name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "version_policy": {"specific": {"versions": [int(model.version)]}},
        "max_batch_size": model.plan.rows_max if is_batched else 0,
        "input": [
            _tensor(spec, first) | {"optional": name in model.signature.optional}
            for name, spec in model.signature.inputs.items()
        ],
        "output": [_tensor(spec, first) for spec in model.signature.outputs.values()],
        "instance_group": [{"name": model.name, "kind": "KIND_CPU", "count": 1}],
        "default_model_filename": FILE_NAME,
    }
    return document | ({"dynamic_batching": {}} if is_batched else {})


def _tensor(spec: TensorSpec, first: int) -> Document:
    """Describe one tensor, from axis `first` on."""
    word = "STRING" if spec.datatype == "BYTES" else spec.datatype
    return {
        "name": spec.name,
        "data_type": f"TYPE_{word}",
        "dims": spec.shape[first:],
    }


def statistics(
    models: Iterable[ServedModel],
    measures_of: Callable[[ServedModel], ModelMeasures] = own_measures,
) -> Document:
    """Describe what the models have done since they were loaded.

    Args:
        models: Some of those that are served.
        measures_of: Gives a model's measures, of all processes that serve it.
    """
    told = [_model_statistics(model, measures_of(model)) for model in models]
    return {"model_stats": told}


def _model_statistics(model: ServedModel, measures: ModelMeasures) -> Document:
    """Describe one version.

    Times are measured per run, whatever number of requests it answered, and not
    apart for what is done before and after it; so `compute_infer` counts runs, and
    `success` has the time that was spent waiting and running.
    """
    return {
        "name": model.name,
        "version": model.version,
        "last_inference": round(measures.last_at_s * _MS),
        "inference_count": measures.rows,
        "execution_count": measures.compute_s.count,
        "inference_stats": {
            "success": _success(measures),
            "fail": {"count": _failures(measures), "ns": 0},
            "queue": _duration(measures.queue_s),
            "compute_input": {"count": 0, "ns": 0},
            "compute_infer": _duration(measures.compute_s),
            "compute_output": {"count": 0, "ns": 0},
            "cache_hit": {"count": 0, "ns": 0},
            "cache_miss": {"count": 0, "ns": 0},
        },
        "batch_stats": [],
    }


def _success(measures: ModelMeasures) -> Mapping[str, int]:
    total_s = measures.queue_s.total + measures.compute_s.total
    return {"count": measures.requests["ok"], "ns": round(total_s * _NS)}


def _failures(measures: ModelMeasures) -> int:
    return sum(measures.requests.values()) - measures.requests["ok"]


def _duration(histogram: Histogram) -> Mapping[str, int]:
    return {"count": histogram.count, "ns": round(histogram.total * _NS)}


def repository_index(entries: Iterable[IndexEntry], body: Body) -> list[Document]:
    """List the versions that are known here; only those ready where asked so.

    Raises:
        MalformedError: The request is no JSON object, or `ready` is no boolean.
    """
    only_ready = _decode(body).get("ready", False)
    if not isinstance(only_ready, bool):
        raise MalformedError("'ready' must be true or false")
    return [
        {"name": e.name, "version": e.version, "state": e.state, "reason": e.reason}
        for e in entries
        if e.state == READY or not only_ready
    ]


def check_load(body: Body) -> None:
    """Refuse a request to load a model otherwise than it lies in its directory.

    Raises:
        MalformedError: The request is no JSON object, or has parameters.
    """
    if names := sorted(_parameters(body)):
        raise MalformedError(
            "a model is loaded as it lies in its directory: expected no parameters,"
            f" came {names[0][:40]!r}"
        )


def check_unload(body: Body) -> None:
    """Refuse a request to unload that asks for more; no model has dependents here.

    Raises:
        MalformedError: The request is no JSON object, or has odd parameters.
    """
    if names := sorted(_parameters(body).keys() - {_DEPENDENTS}):
        raise MalformedError(f"expected {_DEPENDENTS!r} alone, came {names[0][:40]!r}")


def _parameters(body: Body) -> Mapping[str, object]:
    parameters = _decode(body).get("parameters") or {}
    if not isinstance(parameters, dict):
        raise MalformedError("'parameters' must be an object")
    return parameters


def _decode(body: Body) -> Mapping[str, object]:
    """Read a request that may be empty."""
    if not body:
        return {}
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"a request must be JSON: {error.msg}") from error
    if not isinstance(document, dict):
        raise MalformedError("a request must be a JSON object")
    return document
