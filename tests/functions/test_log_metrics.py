"""`log_metrics.yaml` fits the Logging API, and the lines that the function writes."""

import asyncio
import json
import operator
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from google.api.distribution_pb2 import Distribution
from google.api.metric_pb2 import MetricDescriptor
from google.logging.type.http_request_pb2 import HttpRequest
from google.protobuf.json_format import ParseDict

from functions.adapters.upstream.client import Answer
from functions.prediction.inference_log import InferenceLog
from local_cloud.ports import free_port
from tests.functions.prediction.whole_function import (
    BODY,
    running,
    until,
    upstream_and_settings,
)
from tests.functions.vertex_stand_in import CANDIDATE, SERVING

FILE = Path(__file__).resolve().parents[2] / "functions" / "log_metrics.yaml"
METRICS = {one["name"]: one for one in yaml.safe_load(FILE.read_text())["metrics"]}
SERVICE = {
    "resource": {
        "type": "cloud_run_revision",
        "labels": {"service_name": "predict"},
    }
}
LIFTED = {"severity", "httpRequest", "time"}
"""What Cloud Logging takes out of a line; all else stays in `jsonPayload`."""
COMPARISON = re.compile(r'([A-Za-z_.]+)(=~|>=|=)("(?:[^"\\]|\\.)*"|true|false|[0-9.]+)')
EXTRACTOR = re.compile(r'(?:EXTRACT\(([\w.]+)\)|REGEXP_EXTRACT\(([\w.]+), ("[^"]+")\))')
OPERATORS = {">=": operator.ge, "=": operator.eq}
KINDS = {"STRING": str, "BOOL": bool}

each_metric = pytest.mark.parametrize("name", sorted(METRICS))


def entry_of(line):
    """Return the log entry that Cloud Logging makes of a line, as far as it matters."""
    payload = {k: v for k, v in line.items() if k not in LIFTED}
    lifted = {k: v for k, v in line.items() if k in LIFTED}
    return {**SERVICE, **lifted, "jsonPayload": payload}


def find(entry, path):
    """Return a field; None where there is none."""
    for part in path.split("."):
        entry = entry.get(part) if isinstance(entry, dict) else None
    return entry


def comparisons(text):
    """Return a filter's comparisons; nothing else may be in it."""
    parts = [COMPARISON.fullmatch(part) for part in text.split(" AND ")]
    assert all(parts), text
    return [(part[1], part[2], json.loads(part[3])) for part in parts]


def holds(entry, comparison):
    path, sign, value = comparison
    found = find(entry, path)
    # To Cloud Logging a value of another type is no match, and no error.
    if found is None or isinstance(found, bool) != isinstance(value, bool):
        return False
    if sign == "=~":
        return re.search(value, found) is not None
    return OPERATORS[sign](found, value)


def matched(entries, metric):
    asked = comparisons(metric["filter"])
    return [entry for entry in entries if all(holds(entry, one) for one in asked)]


def extract(entry, expression):
    """Return what an extractor finds."""
    match = EXTRACTOR.fullmatch(expression)
    assert match, expression
    if match[1]:
        return find(entry, match[1])
    found = re.search(json.loads(match[3]), str(find(entry, match[2])))
    return found and found[1]


def ask_many(function, count, **headers):
    with ThreadPoolExecutor(count) as pool:
        asked = [pool.submit(function.predict, **headers) for _ in range(count)]
        return [one.result() for one in asked]


def meet_everything(function, upstream):
    """Let the function write each kind of line at least once."""
    assert function.predict().status == 200
    upstream.set_faults({"status": 503, "endpoint": SERVING, "count": 1})
    assert function.predict().status == 200
    upstream.set_faults({"status": 400, "endpoint": CANDIDATE})
    assert function.predict().status == 200
    upstream.set_faults({"status": 503, "endpoint": CANDIDATE})
    assert function.predict().status == 200
    until(lambda: "shadow failed" in function.log.read_text())
    upstream.set_faults({"stall_s": 5, "endpoint": SERVING})
    asked = {one.status for one in ask_many(function, 4, timeout_s=0.5)}
    assert asked == {503, 504}
    upstream.set_faults({"status": 503, "endpoint": SERVING})
    until(lambda: function.predict() and "CircuitOpen" in function.log.read_text())


async def drop():
    """Have an inference log that is asked for too much at once; return its lines."""
    written = []
    log = InferenceLog(1.0, "summary", write=written.append)
    answer = Answer(200, {"content-type": "application/json"}, b"{}")
    for number in range(50):
        log.note(
            model="magika",
            release="magika@1",
            request_id=str(number),
            traceparent="",
            body=BODY,
            content_type="application/json",
            answer=answer,
            outcome="ok",
            upstream_s=0.01,
        )
    await log.drain(deadline=asyncio.get_running_loop().time() + 30)
    return [json.loads(line) for line in written]


@pytest.fixture(scope="module")
def entries(identity, tmp_path_factory):
    """What a run of the real function leaves in Cloud Logging."""
    folder = tmp_path_factory.mktemp("metrics")
    with upstream_and_settings(identity, folder) as (upstream, patch):
        upstream.serve(CANDIDATE, "102", version=2)
        patch.setenv("MODEL_PIN", '{"magika": "magika@2"}')
        patch.setenv("SHADOW_SHARE", '{"magika": 1}')
        patch.setenv("PREDICT_LOG_RATIO", "1")
        patch.setenv("PREDICT_REQUESTS_MAX", "1")
        patch.setenv("BUNDLE_BUCKET", "bundles")
        patch.setenv("TRUST_ROOT_FILE", str(folder / "root.json"))
        patch.setenv("STORAGE_EMULATOR_HOST", f"127.0.0.1:{free_port()}")
        with running(folder) as function:
            meet_everything(function, upstream)
        lines, _ = function.lines()
    return [entry_of(line) for line in [*lines, *asyncio.run(drop())]]


@each_metric
def test_a_metric_is_one_that_the_api_takes(name):
    metric = METRICS[name]

    assert re.fullmatch(r"[a-z][a-z_]{0,99}", name)
    assert set(metric) <= {
        "name",
        "description",
        "filter",
        "metricDescriptor",
        "labelExtractors",
        "valueExtractor",
        "bucketOptions",
    }
    assert len(metric["filter"]) <= 20_000
    descriptor = ParseDict(metric["metricDescriptor"], MetricDescriptor())
    assert descriptor.metric_kind == MetricDescriptor.DELTA
    keys = [label.key for label in descriptor.labels]
    assert sorted(keys) == sorted(metric.get("labelExtractors", {}))
    assert all(re.fullmatch(r"[a-z][a-z_]{0,99}", key) for key in keys)
    assert all(label.description for label in descriptor.labels)


@each_metric
def test_a_distribution_has_values_and_buckets_and_a_count_has_neither(name):
    metric = METRICS[name]
    kind = metric["metricDescriptor"]["valueType"]
    is_distribution = kind == "DISTRIBUTION"

    assert kind in {"DISTRIBUTION", "INT64"}
    assert is_distribution == ("valueExtractor" in metric)
    assert is_distribution == ("bucketOptions" in metric)
    assert metric["metricDescriptor"]["unit"] == ("ms" if is_distribution else "1")


@each_metric
def test_buckets_reach_as_far_as_an_endpoint_may_take(name):
    options = METRICS[name].get("bucketOptions")
    if options is None:
        return
    buckets = ParseDict(options, Distribution.BucketOptions()).exponential_buckets
    highest = buckets.scale * buckets.growth_factor**buckets.num_finite_buckets

    assert buckets.num_finite_buckets <= 200
    assert highest >= (5000 if name == "predict_own_latency" else 3_600_000)


@each_metric
def test_a_metric_finds_lines_of_the_real_function(entries, name):
    assert matched(entries, METRICS[name])


@each_metric
def test_each_field_that_a_metric_reads_is_in_the_lines_with_its_type(entries, name):
    metric = METRICS[name]
    found = matched(entries, metric)
    extractors = metric.get("labelExtractors", {})
    labels = metric["metricDescriptor"].get("labels", [])
    values = {
        label["key"]: [extract(entry, extractors[label["key"]]) for entry in found]
        for label in labels
    }

    for label in labels:
        kind = KINDS[label["valueType"]]
        # One that never had an upstream names no release: the label is empty then.
        came = [value for value in values[label["key"]] if value is not None]
        assert came
        assert all(isinstance(value, kind) for value in came)
    if "valueExtractor" in metric:
        numbers = [extract(entry, metric["valueExtractor"]) for entry in found]
        assert all(type(number) in {int, float} for number in numbers)


def test_each_request_is_counted_once_and_by_its_status(entries):
    found = matched(entries, METRICS["predict_requests"])
    extractor = METRICS["predict_requests"]["labelExtractors"]["status_class"]

    assert {extract(entry, extractor) for entry in found} == {"2", "5"}
    # What Cloud Logging lifts out must be what it knows, or it stays where it is.
    for entry in found:
        request = ParseDict(entry["httpRequest"], HttpRequest())
        assert request.status in {200, 503, 504}


def test_no_label_holds_what_a_caller_chose():
    fields = {
        EXTRACTOR.fullmatch(expression)[1] or EXTRACTOR.fullmatch(expression)[2]
        for metric in METRICS.values()
        for expression in metric.get("labelExtractors", {}).values()
    }

    assert not {name for name in fields if "request_id" in name or "Url" in name}
