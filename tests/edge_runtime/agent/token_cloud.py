"""The cloud's end of read tokens on loopback, and a bucket that wants them."""

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from packhorse.device_key import verify_envelope
from packhorse.device_requests import TOKEN, decode_token_request
from packhorse.errors import UntrustedError
from packhorse.report import open_envelope

WINDOW = timedelta(minutes=5)


class TokenCloud:
    """Gives tokens `t1`, `t2`, ... to one device; objects want one that is good.

    Attributes:
        answers: Used up one by one instead of tokens: (status, document).
        asked: Every request for a token that was understood.
        seen: (path, token) of every request to the bucket.
        good: Tokens that the bucket takes.
        objects: By path; what is not there is 403, as where nobody may list.
        ahead: How far this cloud's clock is from ours.
        life_s: Of a token.
    """

    def __init__(self, public_key):
        self.public_key = public_key
        self.answers, self.asked, self.seen = [], [], []
        self.good = set()
        self.objects = {"/bucket/metadata/timestamp.json": b"{}"}
        self.ahead = timedelta(0)
        self.life_s = 3600
        self.is_rotation_wanted = False
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.reply(*cloud.give(body))

            def do_GET(self):
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                cloud.seen.append((self.path, token))
                self.reply(*cloud.read(self.path, token))

            def reply(self, status, document):
                is_raw = isinstance(document, bytes)
                body = document if is_raw else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def give(self, body):
        if self.answers:
            return self.answers.pop(0)
        envelope = open_envelope(body)
        try:
            verify_envelope(envelope, self.public_key, purpose=TOKEN)
        except UntrustedError as error:
            return 403, {"error": str(error)}
        request = decode_token_request(envelope.payload)
        self.asked.append(request)
        now = datetime.now(UTC) + self.ahead
        if abs(now - request.at) > WINDOW:
            return 403, {"error": "sign again", "now": now.isoformat()}
        token = f"t{len(self.asked)}"
        self.good.add(token)
        return 200, {
            "access_token": token,
            "expires_in": self.life_s,
            "is_rotation_wanted": self.is_rotation_wanted,
        }

    def read(self, path, token):
        if token not in self.good:
            return 401, {}
        found = self.objects.get(path)
        return (403, {}) if found is None else (200, found)

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
