"""Serve an application on one port until SIGINT or SIGTERM."""

import signal

import uvicorn
from starlette.applications import Starlette

CONCURRENCY_MAX = 64
"""Requests at once; more are answered 503."""

DRAIN_S = 5
"""Time that open requests get after SIGTERM."""


def serve(app: Starlette, *, host: str, port: int) -> None:
    """Answer requests; return when told to stop."""
    # uvicorn raises the signal again when it is done: whoever called ends first.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    uvicorn.run(
        app,
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        limit_concurrency=CONCURRENCY_MAX,
        timeout_graceful_shutdown=DRAIN_S,
    )
