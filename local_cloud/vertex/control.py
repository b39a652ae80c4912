"""The routes that are the stand-in's own: `/_faults` and `/_seen`."""

import threading
from collections import Counter, defaultdict

from local_cloud.google_http import (
    ApiError,
    Handler,
    RawReply,
    Reply,
    Request,
    error_reply,
    json_reply,
)
from local_cloud.vertex.faults import Faults


class Control:
    """Answers its own routes, and counts what is asked of the others."""

    def __init__(self, faults: Faults) -> None:
        """Begin with nothing asked."""
        self._faults = faults
        self._lock = threading.Lock()
        self._asked: Counter[str] = Counter()
        self._answered: dict[str, Counter[str]] = defaultdict(Counter)

    def before(self, handle: Handler) -> Handler:
        """Return a handler that has these routes too."""

        def answer(request: Request) -> Reply | RawReply:
            if request.path.startswith("/_"):
                return self._handle(request)
            return self._counted(request, handle)

        return answer

    def _counted(self, request: Request, handle: Handler) -> Reply | RawReply:
        """Count the request when it comes, and its answer when there is one."""
        key = f"{request.method} {request.path}"
        with self._lock:
            self._asked[key] += 1
        try:
            reply = handle(request)
        except ApiError as error:
            reply = error_reply(error)
        status = "faulty" if isinstance(reply, RawReply) else str(reply.status)
        with self._lock:
            self._answered[key][status] += 1
        return reply

    def _handle(self, request: Request) -> Reply:
        if request.path == "/_faults" and request.method == "PUT":
            self._faults.replace(request.json_object())
        elif request.path == "/_faults" and request.method == "DELETE":
            self._faults.replace({})
        elif request.path == "/_seen" and request.method == "DELETE":
            with self._lock:
                self._asked.clear()
                self._answered.clear()
        elif request.path not in {"/_faults", "/_seen"} or request.method != "GET":
            sentence = f"this stand-in knows no {request.method} {request.path}"
            raise ApiError("NOT_FOUND", sentence)
        return json_reply(
            self._faults.shown() if request.path == "/_faults" else self._seen()
        )

    def _seen(self) -> dict[str, object]:
        """Say how often each path was asked, and what was answered.

        `faulty` are the answers that met a fault; one that is being worked on is
        asked and not answered yet.
        """
        with self._lock:
            return {
                key: {"asked": asked, "answered": dict(self._answered[key])}
                for key, asked in self._asked.items()
            }
