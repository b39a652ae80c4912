"""All serving containers of the stand-in, by endpoint and deployed model."""

import threading
import time

from local_cloud.google_http import ApiError
from local_cloud.vertex.container import Container, Launch
from local_cloud.vertex.environment import ContainerSpec

EXITS_ALLOWED = 3
"""A container that ended so often while it was deployed is given up."""
_POLL_S = 0.05

Key = tuple[str, str]


class Fleet:
    """Starts and stops containers, and finds the one that must answer."""

    def __init__(self, launch: Launch, *, deploy_timeout_s: float) -> None:
        """Start with none."""
        self._launch = launch
        self._deploy_timeout_s = deploy_timeout_s
        self._lock = threading.Lock()
        self._containers: dict[Key, Container] = {}

    def start(self, spec: ContainerSpec) -> Container:
        """Start a container, if it is not there already."""
        key = (spec.endpoint, spec.deployed_id)
        with self._lock:
            if key not in self._containers:
                self._containers[key] = Container(spec, self._launch)
            return self._containers[key]

    def wait_until_healthy(self, container: Container) -> None:
        """Return once the health route answered 200.

        Raises:
            ApiError: It did not within the time for a deployment, or the
                process ended too often.
        """
        until = time.monotonic() + self._deploy_timeout_s
        while not container.is_healthy:
            if container.exits >= EXITS_ALLOWED:
                raise _never_ready(container, f"it ended {container.exits} times")
            if time.monotonic() > until:
                seconds = f"{self._deploy_timeout_s:g} s"
                raise _never_ready(container, f"no 200 within {seconds}")
            time.sleep(_POLL_S)

    def find(self, endpoint: str, deployed_id: str) -> Container | None:
        """Return the container of a deployed model, or None."""
        with self._lock:
            return self._containers.get((endpoint, deployed_id))

    def stop(self, endpoint: str, deployed_id: str) -> None:
        """Stop a container after its last request, if it is there."""
        with self._lock:
            container = self._containers.pop((endpoint, deployed_id), None)
        if container is not None:
            container.stop()

    def stop_all(self) -> None:
        """Stop every container."""
        with self._lock:
            keys = list(self._containers)
        threads = [threading.Thread(target=self.stop, args=key) for key in keys]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _never_ready(container: Container, why: str) -> ApiError:
    sentence = (
        f"Model server never became ready: {why}. Expected 200 from "
        f"{container.spec.health_route}. Its last words: {container.log_tail()!r}. "
        f"Model server logs can be found at {container.log_path}"
    )
    return ApiError("FAILED_PRECONDITION", sentence)
