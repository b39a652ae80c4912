"""`edge-runtime bench`: ask, make a request, check it, send it, say what it took."""

import sys
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace

from edge_runtime.bench.load import Outcome, Plan, run_load
from edge_runtime.bench.options import check_options
from edge_runtime.bench.progress import Progress
from edge_runtime.bench.report import as_document, as_sentences
from edge_runtime.bench.request import (
    Request,
    encode_arrays,
    make_arrays,
    read_request,
    render,
)
from edge_runtime.bench.target import Target, find_model, parse_target, read_inputs


def run_bench(arguments: Namespace, environ: Mapping[str, str]) -> int:
    """Measure what the arguments ask for; return the exit code.

    Raises:
        BenchError: The server cannot be measured.
        OSError: The file with the request cannot be read.
    """
    if problem := check_options(arguments):
        _note(problem)
        return 2
    target = _target(arguments, environ.get("PACKHORSE_TOKEN", "").strip())
    request = _request(arguments, target)
    outcome = _measure(arguments, target, request)
    if arguments.json:
        text = as_document(arguments, target, request, outcome)
    else:
        text = as_sentences(arguments, target, request, outcome)
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    if outcome.is_good:
        return 0
    _note(outcome.reason or "no request was answered")
    return 1


def _target(arguments: Namespace, token: str) -> Target:
    target = parse_target(arguments.url, ca_file=arguments.ca_file, token=token)
    target = replace(
        target,
        model=arguments.model or target.model,
        version=arguments.version or target.version,
    )
    return target if target.model else replace(target, model=find_model(target))


def _request(arguments: Namespace, target: Target) -> Request:
    if arguments.data:
        return read_request(arguments.data, binary=arguments.binary)
    arrays = make_arrays(
        read_inputs(target), dict(arguments.shape), zeros=arguments.zeros
    )
    return encode_arrays(arrays, binary=arguments.binary)


def _measure(arguments: Namespace, target: Target, request: Request) -> Outcome:
    """Put the load on the server, with a bar for those who watch."""
    whole_s = arguments.warm_up + arguments.duration
    with Progress(whole_s) as progress:
        plan = Plan(
            connections=arguments.connections,
            duration_s=arguments.duration,
            warm_up_s=arguments.warm_up,
            tell=progress.tell,
        )
        return run_load(target, render(target, request), plan)


def _note(sentence: str) -> None:
    sys.stderr.write(f"edge-runtime: {sentence}\n")
