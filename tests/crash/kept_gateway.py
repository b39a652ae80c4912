"""A gateway that is started again whenever it ends, as its service manager would."""

import threading
from contextlib import contextmanager

import urllib3

from tests.edge_runtime.agent.gateway import Gateway

LOOK_S = 0.02


class KeptGateway(Gateway):
    """One supervisor process after another, each on a port of its own."""

    def __init__(self, *arguments):
        self._is_over = threading.Event()
        self._keeper = threading.Thread(target=self._keep)
        super().__init__(*arguments)

    def infer(self, *row):
        """Answer as the gateway does, or with status 0 while there is none."""
        status = self.status()
        if status is None:
            return 0, None, None
        self._url = f"http://127.0.0.1:{status['port']}"
        try:
            return super().infer(*row)
        except urllib3.exceptions.HTTPError:
            return 0, None, None

    def stop(self):
        self._is_over.set()
        if self._keeper.ident:
            self._keeper.join()
        super().stop()

    def _started(self):
        process = super()._started()
        if not self._keeper.ident:
            self._keeper.start()
        return process

    def _keep(self):
        while not self._is_over.wait(LOOK_S):
            # Until `process` is set for the first time there is none to look at.
            process = getattr(self, "process", None)
            if process is not None and process.poll() is not None:
                self.process = self._started()


@contextmanager
def kept_gateway(state_dir, log, environment):
    """Run one."""
    gateway = KeptGateway(state_dir, log, environment)
    try:
        yield gateway
    finally:
        gateway.stop()
