"""A serving container that doubles: the smallest model that parity can judge.

`magika@7` never starts, `magika@8` refuses every request and `magika@9` answers
wrongly. It answers with
what reached it too, so that a test sees what Vertex AI lets through.
"""

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RELEASE = os.environ.get("PACKHORSE_RELEASE", "")


class Serving(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One write for the whole answer, or Nagle and delayed ACKs add 40 ms.
    wbufsize = 65536

    def answer(self, status, value, content_type="application/json"):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        is_health = self.path == os.environ["AIP_HEALTH_ROUTE"]
        self.answer(200 if is_health else 404, {"ready": is_health})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        content_type = self.headers["Content-Type"]
        if "json-header-size" in content_type:
            self.answer(200, {"came": content_type}, content_type)
            return
        document = json.loads(body)
        if "sleep_s" in document:
            time.sleep(document["sleep_s"])
        if RELEASE == "magika@8" or "inputs" not in document:
            status = document.get("status", 400)
            self.answer(status, {"error": "no inputs", "release": RELEASE})
            return
        factor = 2.5 if RELEASE == "magika@9" else 2.0
        tensor = document["inputs"][0]
        doubled = {
            "name": "y",
            "datatype": "FP32",
            "shape": tensor["shape"],
            "data": [value * factor for value in tensor["data"]],
        }
        self.answer(200, {"model_name": "magika", "outputs": [doubled]})

    def log_message(self, *_):
        pass


if RELEASE == "magika@7":
    raise SystemExit("this model does not load")
ThreadingHTTPServer.request_queue_size = 1024
ThreadingHTTPServer(
    ("127.0.0.1", int(os.environ["AIP_HTTP_PORT"])), Serving
).serve_forever()
