"""Models and endpoints of Vertex AI: look first, then make what is missing.

Every call is short. Uploading and deploying are long-running operations that
this module starts and never waits for: the caller comes back, and what was
begun is found again by the release's label, by the id of the deployed model, or
as an unfinished operation on the resource. Nothing is begun while one is.

Releases are told apart by the label `packhorse_release` of a model's version
and by the display name of a deployed model. What carries neither is not ours:
it is left alone, but gets no traffic once a rollout moves the split.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

from google.api_core import exceptions as google_errors
from google.api_core.client_options import ClientOptions
from google.cloud import aiplatform_v1
from google.protobuf.field_mask_pb2 import FieldMask

from functions.adapters.calls import upstream
from functions.adapters.vertex_operations import NAME as _NAME
from functions.adapters.vertex_operations import TIMEOUT_S, failure_of, is_busy
from functions.setting_values import ServingSettings
from packhorse.assignment import BundleRef
from packhorse.errors import MalformedError
from packhorse.names import Release, parse_release

HEALTH_ROUTE = "/v2/health/ready"
PREDICT_ROUTE = "/vertex/predict"


OnBegin = Callable[[str], None]
"""Told the name of the operation that a call began."""


def _unheard(operation: str) -> None:
    """Tell nobody that an operation began."""


@dataclass(frozen=True, slots=True)
class EndpointView:
    """What an endpoint looked like when it was read.

    Attributes:
        name: `projects/P/locations/L/endpoints/E`.
        etag: Names this state of it.
        deployed: The releases on it, with the ids of their deployed models.
        split: Deployed model's id to percentage; what is not named gets nothing.
    """

    name: str
    etag: str
    deployed: Mapping[Release, str]
    split: Mapping[str, int]

    @property
    def served(self) -> Collection[Release]:
        """Name the releases that are deployed."""
        return self.deployed.keys()


def label_of(release: Release) -> str:
    """Write a release as a label's value, which knows no `@`."""
    return f"{release.model}-{release.version}"


class Vertex:
    """The Model Registry and the endpoints of one project and region."""

    def __init__(self, settings: ServingSettings) -> None:
        """Prepare the clients; they connect at the first call."""
        self._settings = settings
        options = ClientOptions(api_endpoint=settings.api_url)
        with upstream(_NAME):
            self._models = aiplatform_v1.ModelServiceClient(
                client_options=options, transport="rest"
            )
            self._endpoints = aiplatform_v1.EndpointServiceClient(
                client_options=options, transport="rest"
            )

    def find_version(self, release: Release) -> str | None:
        """Return the name of the release's version, `.../models/magika@2`."""
        request = aiplatform_v1.ListModelVersionsRequest(
            name=self._model_name(release),
            filter=f'labels.packhorse_release="{label_of(release)}"',
        )
        ids = self._version_ids(request)
        # Two uploads of one release would hold the same; the elder one counts.
        return f"{request.name}@{min(ids)}" if ids else None

    def ensure_uploaded(
        self,
        release: Release,
        bundle: BundleRef,
        artifact_uri: str,
        *,
        on_begin: OnBegin = _unheard,
    ) -> str | None:
        """Return the name of the release's version, or see to it that it comes.

        Returns:
            None while it is not there yet; call again.
        """
        # Asked before it is looked for: an upload that ends in between is found.
        has_begun = is_busy(self._models, self._model_name(release))
        found = self.find_version(release)
        if found is None and not has_begun:
            on_begin(self._upload(release, bundle, artifact_uri))
        return found

    def read_endpoint(self, name: str) -> EndpointView:
        """Return what is deployed on an endpoint, and its split."""
        with upstream(_NAME):
            endpoint = self._endpoints.get_endpoint(name=name, timeout=TIMEOUT_S)
        deployed = {
            release: model.id
            for model in endpoint.deployed_models
            if (release := _release_of(model.display_name)) is not None
        }
        return EndpointView(name, endpoint.etag, deployed, dict(endpoint.traffic_split))

    def ensure_deployed(
        self,
        endpoint: str,
        release: Release,
        *,
        version: str,
        deployed_id: str,
        on_begin: OnBegin = _unheard,
    ) -> bool:
        """Return whether the release is deployed; otherwise see to it that it is.

        It is deployed without traffic. An endpoint that is busy with another
        operation is left to finish it first.

        Args:
            endpoint: `projects/P/locations/L/endpoints/E`.
            release: Becomes the deployed model's display name.
            version: The model's version, from `ensure_uploaded`.
            deployed_id: Allocated once for this release on this endpoint, so that
                Vertex AI itself refuses a second one.
            on_begin: Told the operation's name when this call begins one.
        """
        # Asked before it is looked for: a deployment that ends in between is found.
        has_begun = is_busy(self._endpoints, endpoint)
        if release in self.read_endpoint(endpoint).deployed:
            return True
        if not has_begun:
            on_begin(self._deploy(endpoint, release, version, deployed_id))
        return False

    def failure_of(self, operation: str) -> str:
        """Return the code that an operation failed with for good, or ""."""
        return failure_of(self._endpoints, operation)

    def move_traffic(self, view: EndpointView, wanted: Mapping[Release, int]) -> bool:
        """Give each release its percentage, unless it has it already.

        Returns:
            Whether the split had to be moved.

        Raises:
            UpstreamRefusedError: The endpoint changed since `view` was read.
        """
        split = {view.deployed[release]: share for release, share in wanted.items()}
        if not split or split == {key: n for key, n in view.split.items() if n}:
            return False
        endpoint = aiplatform_v1.Endpoint(
            name=view.name, etag=view.etag, traffic_split=split
        )
        with upstream(_NAME):
            self._endpoints.update_endpoint(
                endpoint=endpoint,
                update_mask=FieldMask(paths=["traffic_split"]),
                timeout=TIMEOUT_S,
            )
        return True

    def undeploy(self, view: EndpointView, release: Release) -> None:
        """Take a release without traffic off an endpoint, unless that is busy."""
        if is_busy(self._endpoints, view.name):
            return
        with upstream(_NAME), suppress(google_errors.NotFound):
            self._endpoints.undeploy_model(
                endpoint=view.name,
                deployed_model_id=view.deployed[release],
                timeout=TIMEOUT_S,
            )

    def _version_ids(
        self, request: aiplatform_v1.ListModelVersionsRequest
    ) -> list[int]:
        with upstream(_NAME):
            try:
                pages = self._models.list_model_versions(request, timeout=TIMEOUT_S)
                return [int(version.version_id) for version in pages]
            except google_errors.NotFound:
                return []

    def _upload(self, release: Release, bundle: BundleRef, artifact_uri: str) -> str:
        name = self._model_name(release)
        request = aiplatform_v1.UploadModelRequest(
            parent=self._settings.parent,
            model=self._model(release, bundle, artifact_uri),
        )
        if self._is_there(name):
            request.parent_model = name
        else:
            request.model_id = release.model
        with upstream(_NAME):
            begun = self._models.upload_model(request, timeout=TIMEOUT_S)
        return str(begun.operation.name)

    def _model(
        self, release: Release, bundle: BundleRef, artifact_uri: str
    ) -> aiplatform_v1.Model:
        variables = {
            "PACKHORSE_MODEL": release.model,
            "PACKHORSE_RELEASE": str(release),
            "PACKHORSE_BUNDLE_SHA256": bundle.sha256,
        }
        return aiplatform_v1.Model(
            display_name=release.model,
            version_description=str(release),
            artifact_uri=artifact_uri,
            labels={
                "packhorse_model": release.model,
                "packhorse_release": label_of(release),
            },
            container_spec=aiplatform_v1.ModelContainerSpec(
                image_uri=self._settings.image,
                health_route=HEALTH_ROUTE,
                predict_route=PREDICT_ROUTE,
                env=[
                    aiplatform_v1.EnvVar(name=name, value=value)
                    for name, value in variables.items()
                ],
            ),
        )

    def _deploy(
        self, endpoint: str, release: Release, version: str, deployed_id: str
    ) -> str:
        settings = self._settings
        deployed = aiplatform_v1.DeployedModel(
            id=deployed_id,
            display_name=str(release),
            model=version,
            service_account=settings.service_account,
            dedicated_resources=aiplatform_v1.DedicatedResources(
                machine_spec=aiplatform_v1.MachineSpec(
                    machine_type=settings.machine_type
                ),
                min_replica_count=settings.min_replicas,
                max_replica_count=settings.max_replicas,
            ),
        )
        # Another caller may have begun in this very moment: the id is taken then.
        with upstream(_NAME), suppress(google_errors.Conflict):
            begun = self._endpoints.deploy_model(
                endpoint=endpoint, deployed_model=deployed, timeout=TIMEOUT_S
            )
            return str(begun.operation.name)
        return ""

    def _is_there(self, model: str) -> bool:
        with upstream(_NAME):
            try:
                self._models.get_model(name=model, timeout=TIMEOUT_S)
            except google_errors.NotFound:
                return False
        return True

    def _model_name(self, release: Release) -> str:
        return f"{self._settings.parent}/models/{release.model}"


def _release_of(display_name: str) -> Release | None:
    try:
        return parse_release(display_name)
    except MalformedError:
        return None
