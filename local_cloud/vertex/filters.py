"""Read the `filter` of a list call.

Only what ListModels, ListModelVersions and ListEndpoints document and this
project can need: equality of a field and of a label, whether a label is there,
and `AND`. Anything else is refused, not ignored.

Source: ListModelsRequest.filter, ListModelVersionsRequest.filter
"""

import re
from collections.abc import Callable, Mapping

from local_cloud.google_http import ApiError

Predicate = Callable[[Mapping[str, object]], bool]

_TERM = re.compile(
    r"\s*(?P<field>\w+)(?:\.(?P<key>\"[^\"]+\"|[\w-]+))?\s*"
    r"(?P<operator>!=|=|:)\s*(?P<value>\"[^\"]*\"|\*|[\w.@-]+)\s*"
)
_FIELDS = {
    "model": "model",
    "endpoint": "endpoint",
    "display_name": "displayName",
    "displayName": "displayName",
}


def parse_filter(text: str) -> Predicate:
    """Return the test that `text` describes; an empty text admits everything."""
    if not text.strip():
        return lambda _resource: True
    tests = [_parse_term(term) for term in re.split(r"\s+AND\s+", text)]
    return lambda resource: all(test(resource) for test in tests)


def _parse_term(text: str) -> Predicate:
    found = _TERM.fullmatch(text)
    if found is None:
        raise _refusal(text)
    field, key = found["field"], (found["key"] or "").strip('"')
    operator, value = found["operator"], found["value"].strip('"')
    if field == "labels" and operator == ":":
        return _has_label(key or value)
    if field == "labels" and key and operator == "=":
        return lambda resource: _labels(resource).get(key) == value
    if field in _FIELDS and not key and operator != ":":
        return _field_equals(_FIELDS[field], value, wanted=operator == "=")
    raise _refusal(text)


def _has_label(key: str) -> Predicate:
    return lambda resource: key in _labels(resource)


def _field_equals(field: str, value: str, *, wanted: bool) -> Predicate:
    def test(resource: Mapping[str, object]) -> bool:
        if field in {"model", "endpoint"}:
            came = str(resource["name"]).rsplit("/", 1)[1].split("@")[0]
        else:
            came = str(resource.get(field, ""))
        return (came == value) is wanted

    return test


def _labels(resource: Mapping[str, object]) -> Mapping[str, object]:
    labels = resource.get("labels")
    return labels if isinstance(labels, dict) else {}


def _refusal(text: str) -> ApiError:
    sentence = (
        "filter: expected labels.KEY=VALUE, labels.KEY:*, display_name=NAME or "
        f"model=ID, joined by AND; {text!r} came"
    )
    return ApiError("INVALID_ARGUMENT", sentence)
