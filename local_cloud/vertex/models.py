"""The Model Registry: models in numbered versions, under aliases.

A model is one document that holds all its versions. Reading it without a
version gives the default version, and listing models shows each model once, as
its default version: a release that is not the default is found by listing the
versions of its model.

Source: google/cloud/aiplatform/v1/model.proto and model_service.proto
"""

from collections.abc import Mapping
from typing import cast

from local_cloud.documents import Document, Transaction, as_document
from local_cloud.google_http import ApiError, timestamp_now
from local_cloud.vertex import names
from local_cloud.vertex.filters import parse_filter

KIND = "model"
DEFAULT = "default"
_FIRST_ID = 7_100_000_000_000_000_001
_CHANGEABLE = {"displayName", "description", "versionDescription", "labels"}


def check_upload(work: Transaction, parent: str, body: Document) -> str:
    """Refuse an upload that cannot end well; return the name it will have."""
    model = body.get("model")
    if not isinstance(model, dict):
        raise ApiError("INVALID_ARGUMENT", "model: expected a Model, nothing came")
    if not model.get("displayName"):
        raise ApiError("INVALID_ARGUMENT", "model.display_name: expected a name")
    names.check_labels(model.get("labels"))
    for alias in _strings(model.get("versionAliases")):
        names.check_alias(alias)
    if body.get("parentModel"):
        name, _ = names.split_model_name(str(body["parentModel"]))
        read_model(work, name)
        return name
    return _new_name(work, parent, str(body.get("modelId") or ""))


def _new_name(work: Transaction, parent: str, model_id: str) -> str:
    if not model_id:
        return f"{parent}/models/{work.next_number('model', first=_FIRST_ID)}"
    names.check_model_id(model_id)
    name = f"{parent}/models/{model_id}"
    if work.get(KIND, name) is not None:
        raise ApiError("ALREADY_EXISTS", f"The Model {name} exists already.")
    return name


def add_version(work: Transaction, name: str, version: Document) -> str:
    """Write a version of the model `name`, made if it is not there; return its id."""
    model = work.get(KIND, name) or {
        "name": name,
        "createTime": timestamp_now(),
        "lastVersion": 0,
        "versions": {},
        "aliases": {},
    }
    number = str(int(str(model["lastVersion"])) + 1)
    versions, aliases = _versions(model), _aliases(model)
    wanted = _strings(version.get("versionAliases"))
    for alias in wanted if aliases else {*wanted, DEFAULT}:
        aliases[alias] = number
    stamp = timestamp_now()
    times = {"versionCreateTime": stamp, "versionUpdateTime": stamp}
    versions[number] = {**version, **times, "versionId": number}
    work.put(KIND, name, {**model, "lastVersion": int(number), "updateTime": stamp})
    return number


def read_model(work: Transaction, name: str) -> Document:
    """Return the document of the model `name`, without a version."""
    model = work.get(KIND, name)
    if model is None:
        raise ApiError("NOT_FOUND", f"The Model does not exist: {name}")
    return model


def find_version(work: Transaction, name: str) -> Document:
    """Return the version that `.../models/M[@version or alias]` names."""
    plain, wanted = names.split_model_name(name)
    model = read_model(work, plain)
    version = _aliases(model).get(wanted or DEFAULT, wanted)
    if version not in _versions(model):
        raise ApiError("NOT_FOUND", f"The Model version does not exist: {name}")
    shown = f"{plain}@{version}" if wanted else plain
    return _render(model, version, shown)


def list_models(work: Transaction, parent: str, text: str) -> list[Document]:
    """Return each model of a location as its default version."""
    admits = parse_filter(text)
    found = [
        _render(model, _aliases(model)[DEFAULT], str(model["name"]))
        for model in work.all(KIND)
        if names.parent_of(str(model["name"])) == parent
    ]
    return [model for model in found if admits(model)]


def list_versions(work: Transaction, name: str, text: str) -> list[Document]:
    """Return every version of the model `name`, the oldest first."""
    plain, _ = names.split_model_name(name)
    model = read_model(work, plain)
    admits = parse_filter(text)
    numbers = sorted(_versions(model), key=int)
    found = [_render(model, number, f"{plain}@{number}") for number in numbers]
    return [version for version in found if admits(version)]


def merge_aliases(work: Transaction, name: str, changes: list[str]) -> Document:
    """Add aliases to one version; a leading `-` takes one away."""
    plain, number = _one_version(work, name)
    model = read_model(work, plain)
    aliases = _aliases(model)
    for change in changes:
        alias = change.removeprefix("-")
        names.check_alias(alias)
        if not change.startswith("-"):
            aliases[alias] = number
        elif alias == DEFAULT:
            raise ApiError("INVALID_ARGUMENT", "one version must hold `default`")
        elif aliases.get(alias) == number:
            del aliases[alias]
    work.put(KIND, plain, model)
    return _render(model, number, f"{plain}@{number}")


def change(
    work: Transaction, name: str, body: Mapping[str, object], mask: set[str]
) -> Document:
    """Overwrite the masked fields of one version."""
    if not mask or mask - _CHANGEABLE:
        sentence = (
            f"update_mask: expected some of {sorted(_CHANGEABLE)}, {sorted(mask)} came"
        )
        raise ApiError("INVALID_ARGUMENT", sentence)
    names.check_labels(body.get("labels"))
    plain, number = _one_version(work, name)
    model = read_model(work, plain)
    fields = {field: body.get(field) for field in mask}
    _versions(model)[number].update(fields, versionUpdateTime=timestamp_now())
    work.put(KIND, plain, model)
    return _render(model, number, name)


def remove(work: Transaction, name: str) -> None:
    """Delete a model with all its versions."""
    plain, _ = names.split_model_name(name)
    read_model(work, plain)
    work.delete(KIND, plain)


def remove_version(work: Transaction, name: str) -> None:
    """Delete one version, unless it is the default or the last one."""
    plain, number = _one_version(work, name)
    model = read_model(work, plain)
    if _aliases(model)[DEFAULT] == number:
        sentence = f"{name} is the default version; make another one the default first"
        raise ApiError("FAILED_PRECONDITION", sentence)
    del _versions(model)[number]
    kept = {alias: to for alias, to in _aliases(model).items() if to != number}
    work.put(KIND, plain, {**model, "aliases": kept})


def _one_version(work: Transaction, name: str) -> tuple[str, str]:
    plain, _ = names.split_model_name(name)
    return plain, str(find_version(work, name)["versionId"])


def _render(model: Document, number: str, shown_name: str) -> Document:
    """Return a version as the API shows it."""
    version = _versions(model)[number]
    aliases = [alias for alias, to in _aliases(model).items() if to == number]
    times = {"createTime": model["createTime"], "updateTime": model["updateTime"]}
    shown = {"name": shown_name, "versionAliases": sorted(aliases)}
    return {**version, **times, **shown}


def _versions(model: Document) -> dict[str, Document]:
    return cast("dict[str, Document]", as_document(model["versions"]))


def _aliases(model: Document) -> dict[str, str]:
    return cast("dict[str, str]", as_document(model["aliases"]))


def _strings(value: object) -> set[str]:
    return {str(item) for item in value} if isinstance(value, list) else set()
