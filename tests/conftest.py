"""What every test stands under.

Nothing is skipped in CI, nothing reaches beyond the loopback address, and
tests that start the whole stack never run beside each other.
"""

import ipaddress
import os
import sys

import pytest
from xdist.scheduler import LoadFileScheduling

STACKS = ("tests/path/", "tests/local_cloud/demo/")
"""Each of these starts some thirty processes: one at a time is enough."""

# ONNX Runtime's own threads, which the guard below does not see, obey this.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_skipped: list[str] = []


class LoadByFile(LoadFileScheduling):
    """A file stays on one worker, and so does all that starts the whole stack."""

    def _split_scope(self, nodeid):
        if nodeid.startswith(STACKS):
            return "stacks"
        return super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    # The order is ours: most tests is not longest.
    config.option.loadscopereorder = False
    return LoadByFile(config, log)


def pytest_collection_modifyitems(items):
    """Put what starts the whole stack first, in the order in which it is told.

    First, so that no worker begins the longest when the others end. Those tests
    continue one another's releases; all others come in random order.
    """
    told = [item for item in items if item.nodeid.startswith(STACKS)]
    told.sort(key=lambda item: item.location[:2])
    others = [item for item in items if not item.nodeid.startswith(STACKS)]
    items[:] = told + others


def pytest_collectreport(report):
    _note_skipped(report)


def pytest_runtest_logreport(report):
    _note_skipped(report)


def _note_skipped(report):
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session, exitstatus):
    if os.environ.get("CI") and _skipped and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    if os.environ.get("CI") and _skipped:
        terminalreporter.write_line(f"CI skips nothing, but these were: {_skipped}")


class BeyondLoopbackError(BaseException):
    """A test reached for the network.

    It is no `Exception`: product code that takes any failure of a connection
    for a service that is away must not swallow it.
    """


def _is_loopback(host):
    if host in {None, "", "localhost", b"localhost"}:
        return True
    try:
        return ipaddress.ip_address(os.fsdecode(host)).is_loopback
    except ValueError:
        return False


def _refuse_the_network(event, arguments):
    """Refuse connections and names beyond loopback: an audit hook."""
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in {"socket.connect", "socket.sendto"} and type(arguments[1]) is tuple:
        host = arguments[1][0]
    else:
        return
    if not _is_loopback(host):
        raise BeyondLoopbackError(f"{event} of {host!r}: tests stay on loopback")


sys.addaudithook(_refuse_the_network)
