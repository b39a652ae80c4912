"""The cloud's end of a report: takes posts on loopback and keeps them."""

import contextlib
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from packhorse.report import decode_report, open_envelope
from tests.edge_runtime.certificates import speak_tls


class Receiver:
    """Takes reports, and apart from them enrolments, on loopback.

    `statuses` are used up one by one; then an enrolment gets 201, a report 202.
    """

    def __init__(self, tls=None):
        owner = self
        self.statuses = []
        self.bodies = []
        self.enrolments = []
        self.ring = 0

        class Handler(BaseHTTPRequestHandler):
            def handle(self):
                # A client that does not trust us closes.
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    super().handle()

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                is_enrolment = self.path == "/enroll"
                usual = 201 if is_enrolment else 202
                status = owner.statuses.pop(0) if owner.statuses else usual
                if status < 300:
                    kept = owner.enrolments if is_enrolment else owner.bodies
                    kept.append(body)
                self.send_response(status)
                reply = b'{"device": "gateway-1", "ring": %d, "enrolled_at": "%b"}' % (
                    owner.ring,
                    b"2026-01-02T03:04:05+00:00",
                )
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme = "https" if tls else "http"
        if tls:
            speak_tls(self._server, tls)
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def reports(self):
        return [decode_report(open_envelope(body).payload) for body in self.bodies]

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
