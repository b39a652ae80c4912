"""Endpoints, what is deployed on them, and how their traffic is split.

Source: google/cloud/aiplatform/v1/endpoint.proto and endpoint_service.proto
"""

import re
from collections.abc import Mapping

from local_cloud.documents import Document, Transaction, as_document
from local_cloud.google_http import ApiError, timestamp_now
from local_cloud.vertex import kinds, names
from local_cloud.vertex.filters import parse_filter
from local_cloud.vertex.splits import (
    THE_NEW_ONE,
    Split,
    check_split,
    name_the_new_one,
    read_split,
)

KIND = "endpoint"
_FIRST_ID = 4_200_000_000_000_000_001
_FIRST_DEPLOYED_ID = 3_300_000_000_000_000_001
_CHANGEABLE = {"trafficSplit", "displayName", "description", "labels"}
_ENDPOINT_ID = re.compile(r"[1-9][0-9]{0,9}")
_DEPLOYED_ID = re.compile(r"[0-9]{1,10}")


def create(
    work: Transaction, parent: str, body: Mapping[str, object], wanted_id: str
) -> str:
    """Write a new endpoint; return its name."""
    if not body.get("displayName"):
        raise ApiError("INVALID_ARGUMENT", "endpoint.display_name: expected a name")
    if wanted_id and not _ENDPOINT_ID.fullmatch(wanted_id):
        sentence = f"endpointId: expected 1 to 10 digits, {wanted_id!r} came"
        raise ApiError("INVALID_ARGUMENT", sentence)
    names.check_labels(body.get("labels"))
    number = wanted_id or str(work.next_number("endpoint", first=_FIRST_ID))
    name = f"{parent}/endpoints/{number}"
    if work.get(KIND, name) is not None:
        raise ApiError("ALREADY_EXISTS", f"The Endpoint {name} exists already.")
    stamp = timestamp_now()
    empty: Document = {"deployedModels": [], "trafficSplit": {}}
    own = {**kinds.own_fields(name, body), **empty}
    _save(work, {**body, **own, "name": name, "createTime": stamp})
    return name


def read(work: Transaction, name: str) -> Document:
    """Return the endpoint `name`."""
    endpoint = work.get(KIND, name)
    if endpoint is None:
        raise ApiError("NOT_FOUND", f"The Endpoint does not exist: {name}")
    return endpoint


def list_endpoints(work: Transaction, parent: str, text: str) -> list[Document]:
    """Return the endpoints of a location that the filter admits."""
    admits = parse_filter(text)
    found = [e for e in work.all(KIND) if names.parent_of(str(e["name"])) == parent]
    return [endpoint for endpoint in found if admits(endpoint)]


def change(
    work: Transaction, name: str, body: Mapping[str, object], mask: set[str]
) -> Document:
    """Overwrite the masked fields, unless the caller read an older endpoint."""
    endpoint = read(work, name)
    if body.get("etag") and body["etag"] != endpoint["etag"]:
        sentence = (
            f"etag: {body['etag']!r} came, but {name} has changed since and has "
            f"{endpoint['etag']!r}; read it again"
        )
        raise ApiError("ABORTED", sentence)
    if not mask or mask - _CHANGEABLE:
        sentence = (
            f"update_mask: expected some of {sorted(_CHANGEABLE)}, {sorted(mask)} came"
        )
        raise ApiError("INVALID_ARGUMENT", sentence)
    fields = {field: body.get(field) for field in mask}
    names.check_labels(fields.get("labels"))
    if "trafficSplit" in mask:
        split = read_split(body.get("trafficSplit") or {})
        check_split(split, deployed_ids(endpoint))
        fields["trafficSplit"] = split
    return _save(work, {**endpoint, **fields})


def set_connection(work: Transaction, name: str, config: object) -> Document:
    """Overwrite `clientConnectionConfig`, with the time a prediction may take."""
    changed = {**read(work, name), "clientConnectionConfig": config}
    kinds.inference_timeout_s(changed)
    return _save(work, changed)


def remove(work: Transaction, name: str) -> None:
    """Delete an endpoint with nothing deployed on it."""
    if deployed_models(read(work, name)):
        sentence = f"The Endpoint {name} has deployed models; undeploy them first."
        raise ApiError("FAILED_PRECONDITION", sentence)
    work.delete(KIND, name)


def deployed_models(endpoint: Document) -> list[Document]:
    """Return what is deployed on the endpoint."""
    deployed = endpoint["deployedModels"]
    return [as_document(one) for one in deployed] if isinstance(deployed, list) else []


def deployed_ids(endpoint: Document) -> list[str]:
    """Return the ids of what is deployed on the endpoint."""
    return [str(model["id"]) for model in deployed_models(endpoint)]


def split_of(endpoint: Document) -> Split:
    """Return the endpoint's traffic split."""
    return read_split(endpoint["trafficSplit"])


def new_deployed_id(work: Transaction, endpoint: Document, wanted: object) -> str:
    """Check the id the caller wants for a deployed model, or make one."""
    if not wanted:
        return str(work.next_number("deployed", first=_FIRST_DEPLOYED_ID))
    if not _DEPLOYED_ID.fullmatch(str(wanted)) or wanted == THE_NEW_ONE:
        sentence = f"deployed_model.id: expected 1 to 10 digits, {wanted!r} came"
        raise ApiError("INVALID_ARGUMENT", sentence)
    if wanted in deployed_ids(endpoint):
        sentence = f"DeployedModel {wanted} exists already on {endpoint['name']}."
        raise ApiError("ALREADY_EXISTS", sentence)
    return str(wanted)


def split_after_deployment(
    endpoint: Document, wanted: object, deployed_id: str
) -> Split:
    """Return the split that holds once `deployed_id` is deployed.

    An empty one leaves the endpoint's split as it is.
    """
    split = name_the_new_one(read_split(wanted or {}), deployed_id)
    check_split(split, [*deployed_ids(endpoint), deployed_id])
    return split or split_of(endpoint)


def add_deployed(
    work: Transaction, name: str, deployed: Document, wanted: object
) -> None:
    """Put a deployed model on its endpoint, with the split that was asked for."""
    endpoint = read(work, name)
    split = split_after_deployment(endpoint, wanted, str(deployed["id"]))
    models = [*deployed_models(endpoint), deployed]
    _save(work, {**endpoint, "deployedModels": models, "trafficSplit": split})


def split_after_undeployment(
    endpoint: Document, wanted: object, deployed_id: str
) -> Split:
    """Return the split that holds once `deployed_id` is gone.

    Raises:
        ApiError: It is not there, or would still have traffic.
    """
    known = deployed_ids(endpoint)
    if deployed_id not in known:
        sentence = f"DeployedModel {deployed_id} is not on {endpoint['name']}."
        raise ApiError("NOT_FOUND", sentence)
    split = read_split(wanted or {})
    check_split(split, known)
    left = split or split_of(endpoint)
    if left.get(deployed_id) and known != [deployed_id]:
        sentence = (
            f"DeployedModel {deployed_id} has {left[deployed_id]} % of the traffic; "
            "give a traffic_split without it"
        )
        raise ApiError("FAILED_PRECONDITION", sentence)
    return {key: percent for key, percent in left.items() if key != deployed_id}


def drop_deployed(
    work: Transaction, name: str, deployed_id: str, wanted: object
) -> None:
    """Take a deployed model off its endpoint."""
    endpoint = read(work, name)
    split = split_after_undeployment(endpoint, wanted, deployed_id)
    models = [m for m in deployed_models(endpoint) if m["id"] != deployed_id]
    _save(work, {**endpoint, "deployedModels": models, "trafficSplit": split})


def _save(work: Transaction, endpoint: Document) -> Document:
    """Write the endpoint under a new etag."""
    etag = f"AMEw9y{work.next_number('etag', first=1):012x}"
    written = {**endpoint, "etag": etag, "updateTime": timestamp_now()}
    work.put(KIND, str(endpoint["name"]), written)
    return written
