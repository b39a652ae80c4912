"""The environment that Vertex AI gives a serving container.

Nothing of the stand-in's own environment gets in but the search path: a
container that leans on anything else would not start on Vertex AI either.

Source: Vertex AI, "Custom container requirements for inference"
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from local_cloud.documents import Document

_REFERENCE = re.compile(r"\$(\$\([A-Za-z_]\w*\)|\(([A-Za-z_]\w*)\))")


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """What a container is started with, apart from its port.

    Attributes:
        endpoint: Name of the endpoint it serves.
        deployed_id: Id of the deployed model that it is.
        model: Name of the model, without the version.
        version_id: Version of the model.
        artifact_uri: gs:// prefix of the model's files, or "".
        container: `Model.containerSpec` as it was uploaded.
    """

    endpoint: str
    deployed_id: str
    model: str
    version_id: str
    artifact_uri: str
    container: Document = field(default_factory=dict)

    @property
    def health_route(self) -> str:
        """Where the container says whether it can answer."""
        return str(self.container.get("healthRoute") or self._default_route)

    @property
    def predict_route(self) -> str:
        """Where every prediction arrives."""
        return str(
            self.container.get("predictRoute") or f"{self._default_route}:predict"
        )

    @property
    def _default_route(self) -> str:
        endpoint_id = self.endpoint.rsplit("/", 1)[1]
        return f"/v1/endpoints/{endpoint_id}/deployedModels/{self.deployed_id}"


def container_environment(
    spec: ContainerSpec, port: int, extra: Mapping[str, str]
) -> dict[str, str]:
    """Return every variable the container sees.

    Args:
        spec: What is deployed.
        port: Where it must listen.
        extra: What the operator of the stand-in adds, such as the address of
            the storage on loopback. The model's own variables win.
    """
    own = {
        "AIP_MODE": "PREDICTION",
        "AIP_HTTP_PORT": str(port),
        "AIP_HEALTH_ROUTE": spec.health_route,
        "AIP_PREDICT_ROUTE": spec.predict_route,
        "AIP_STORAGE_URI": spec.artifact_uri,
        "AIP_ENDPOINT_ID": spec.endpoint.rsplit("/", 1)[1],
        "AIP_DEPLOYED_MODEL_ID": spec.deployed_id,
        "AIP_MODEL_NAME": spec.model.rsplit("/", 1)[1],
        "AIP_MODE_VERSION": spec.version_id,
        "AIP_VERSION_NAME": spec.version_id,
        "AIP_PROJECT_NUMBER": spec.endpoint.split("/")[1],
    }
    system = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
    environment = {**system, **extra, **own}
    for name, value in _declared(spec.container):
        environment[name] = _expand(value, environment)
    return environment


def _declared(container: Document) -> list[tuple[str, str]]:
    entries = container.get("env")
    if not isinstance(entries, list):
        return []
    return [(str(entry["name"]), str(entry.get("value", ""))) for entry in entries]


def _expand(value: str, environment: Mapping[str, str]) -> str:
    """Fill in `$(NAME)`, as Kubernetes does; `$$(NAME)` stands for itself."""

    def fill(found: re.Match[str]) -> str:
        name = found[2]
        if name is None:
            return found[0][1:]
        return environment.get(name, found[0])

    return _REFERENCE.sub(fill, value)
