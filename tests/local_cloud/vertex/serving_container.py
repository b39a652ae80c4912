"""A serving container in thirty lines: says what reached it, honours AIP_*."""

import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STARTED_AT = time.monotonic()


class Serving(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Own", "kept back")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        is_warm = time.monotonic() - STARTED_AT > float(os.environ.get("WARM_S", "0"))
        is_health = self.path == os.environ["AIP_HEALTH_ROUTE"]
        has_broken = Path("unhealthy").exists()
        self.answer(200 if is_warm and is_health and not has_broken else 503, {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if body == "die":
            os._exit(3)
        if body == "sicken":
            Path("unhealthy").touch()
        if body.startswith("sleep"):
            time.sleep(float(body.split()[1]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = {"path": self.path, "headers": headers, "body": body, "pid": os.getpid()}
        child = subprocess.Popen(["sleep", "600"]).pid if body == "fork" else 0
        status = 422 if body == "refuse" else 200
        environment = dict(os.environ)
        answer = {"predictions": [seen], "environment": environment, "child": child}
        self.answer(status, answer)

    def log_message(self, *_):
        pass


if os.environ.get("BROKEN"):
    sys.exit("cannot load the model")
ThreadingHTTPServer.request_queue_size = 1024
ThreadingHTTPServer(
    ("127.0.0.1", int(os.environ["AIP_HTTP_PORT"])), Serving
).serve_forever()
