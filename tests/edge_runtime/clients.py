"""Clients that ask a tiny model on and on, and hold its every answer against it."""

import http.client
import json
import threading

import numpy as np

from tests.edge_runtime.gateways import infer_document
from tests.models import tiny_answer

ROW = [1.0, 2.0, 3.0, 4.0]


class Client(threading.Thread):
    """Asks on and on over connections of its own, and checks every answer."""

    def __init__(self, port, *, keeps_alive):
        super().__init__()
        self.port, self.keeps_alive = port, keeps_alive
        self.stopped = threading.Event()
        self.problems, self.versions = [], []

    def run(self):
        connection = None
        body = json.dumps(infer_document([ROW]))
        while not self.stopped.is_set():
            try:
                connection = connection or http.client.HTTPConnection(
                    "127.0.0.1", self.port, timeout=20
                )
                connection.request("POST", "/v2/models/tiny/infer", body)
                reply = connection.getresponse()
                self.check(reply, json.loads(reply.read()))
            except (OSError, http.client.HTTPException) as error:
                self.problems.append(repr(error))
                connection = None
            if connection and not self.keeps_alive:
                connection.close()
                connection = None
        if connection:
            connection.close()

    def check(self, reply, document):
        version = int(document.get("model_version", 0))
        expected = tiny_answer([ROW], version)[0]
        got = document["outputs"][0]["data"] if version else []
        header = reply.getheader("X-Packhorse-Release")
        if not version or not np.allclose(got, expected, atol=1e-5):
            self.problems.append(document)
        elif header != f"tiny@{version}":
            self.problems.append(header)
        self.versions.append(version)


def problems(clients):
    for client in clients:
        client.stopped.set()
        client.join()
    return [problem for client in clients for problem in client.problems]
