"""The Workflow Executions API, as far as the functions ask it."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

WORKFLOW = "projects/demo/locations/here/workflows/release"


class Workflows:
    """Takes executions and says how each stands; fails when told to."""

    def __init__(self):
        self.started = []
        self.states = {}
        self.status = 200
        workflows = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                argument = json.loads(json.loads(body)["argument"])
                workflows.started.append(argument["release"])
                self.answer(workflows.status, {"name": "executions/1"})

            def do_GET(self):
                execution = self.path.partition("?")[0].rpartition("/")[2]
                state = workflows.states.get(execution)
                status = 404 if state is None else workflows.status
                self.answer(status, {"state": state})

            def answer(self, status, value):
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(
            target=self.server.serve_forever, args=(0.01,), daemon=True
        ).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
