"""`python -m tests.fuzz --seconds 3600`: the long run of both fuzzers, side by side."""

import argparse
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.fuzz.by_document import fuzz_by_document, start_described_gateway
from tests.fuzz.fuzzer import Fuzzer, start_gateway

REPORT_S = 60.0

GROWTH_ROUNDS = 30
GROWTH_CYCLES = 40
GROWTH_MAX_MIB = 32
"""A worker that lost 1 kB with each request would grow by 24."""

END_S = 600.0
"""Time that schemathesis may take beyond its own: it makes what failed smaller."""


def main():
    """Fuzz, say what came of it, and exit with 1 if anything was found."""
    options = _options()
    with (
        tempfile.TemporaryDirectory(prefix="fuzz-") as place,
        ThreadPoolExecutor() as pool,
    ):
        runs = [pool.submit(_by_bytes, options, Path(place) / "bytes")]
        if not options.only_bytes:
            runs.append(pool.submit(_by_document, options, Path(place) / "document"))
        found = [run.result() for run in runs]
    sys.exit(1 if any(found) else 0)


def _by_bytes(options, place):
    """Run our own fuzzer; return whether anything was found."""
    with _started(start_gateway, place) as gateway:
        fuzzer = Fuzzer(gateway, options.seed, options.folder)
        fuzzer.run(options.seconds, _reporter())
        growth_mib = fuzzer.growth_mib(GROWTH_ROUNDS, GROWTH_CYCLES)
        _say(f"the same requests again: {growth_mib} MiB more")
        report(fuzzer)
    return bool(fuzzer.findings) or growth_mib > GROWTH_MAX_MIB


def _by_document(options, place):
    """Run schemathesis; return whether anything was found."""
    wishes = ("--max-time", round(options.seconds), "--seed", options.seed)
    with _started(start_described_gateway, place) as gateway:
        limit_s = options.seconds + END_S
        run = fuzz_by_document(gateway, place, *wishes, timeout_s=limit_s)
        is_logged = "request_failed" in gateway.log.read_text()
    _say(run.stdout[-6000:] + run.stderr[-2000:])
    return bool(run.returncode) or is_logged


@contextmanager
def _started(start, place):
    place.mkdir()
    gateway = start(place)
    try:
        yield gateway
    finally:
        if code := gateway.stop():
            raise AssertionError(f"the gateway ended with {code}")


def report(fuzzer):
    """Print where the fuzzer stands."""
    counts = dict(sorted(fuzzer.counts.items(), key=str))
    _say(f"seed {fuzzer.seed}, round {fuzzer.round}: {counts}")
    for problem, case in fuzzer.findings:
        _say(f"  {problem[:300]}\n    {case.wire()[:200]!r}")


def _say(text):
    print(text, flush=True)  # noqa: T201  its output


def _reporter():
    last_s = time.monotonic()

    def maybe(fuzzer):
        nonlocal last_s
        if time.monotonic() - last_s > REPORT_S:
            last_s = time.monotonic()
            report(fuzzer)

    return maybe


def _options():
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().getrandbits(32)
    )
    parser.add_argument(
        "--only-bytes", action="store_true", help="without schemathesis"
    )
    parser.add_argument("--folder", type=Path, default=Path(".build/fuzz"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
