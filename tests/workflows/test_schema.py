"""The files in workflows/ against the JSON Schema for Google Workflows.

The schema is SchemaStore's "Google Cloud Workflows": Google's own
(GoogleCloudPlatform/workflows-samples, jsonschema/workflows.json), made stricter.
It is read from the wheel `workflows-emulator`, which `make test` unpacks into
.cache/ without what it depends on; nothing of it runs.
"""

import copy
import json
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "workflows").glob("*.yaml"))
WHEEL = ROOT / ".cache" / "workflows-emulator-1.10.0"
SCHEMA = WHEEL / "workflows_emulator" / "workflow-schema.json"


@pytest.fixture(scope="module")
def check():
    if not SCHEMA.exists():
        pytest.fail(f"expected {SCHEMA}; `make test` sets it up")
    schema = json.loads(SCHEMA.read_text())
    return jsonschema.Draft7Validator(schema).validate


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_workflow_file_is_what_the_schema_says(check, path):
    check(yaml.safe_load(path.read_text()))


def test_the_schema_would_notice_a_wrong_word(check):
    document = copy.deepcopy(yaml.safe_load(FILES[0].read_text()))
    document["post"]["steps"][0]["call_function"]["retryy"] = {}

    with pytest.raises(jsonschema.ValidationError):
        check(document)


def maps_in(value):
    """Yield every map in a document."""
    if isinstance(value, dict):
        yield value
    children = value.values() if isinstance(value, dict) else value
    for child in children if isinstance(value, dict | list) else ():
        yield from maps_in(child)


def is_call(value):
    return isinstance(value, dict) and str(value.get("call")).startswith("http.")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_call_has_a_token_a_timeout_and_a_retry_policy(path):
    maps = list(maps_in(yaml.safe_load(path.read_text())))
    tried = [one for one in maps if is_call(one.get("try"))]

    assert len(tried) == sum(is_call(one) for one in maps) > 0
    for one in tried:
        args = one["try"]["args"]
        assert args["auth"] == {"type": "OIDC", "audience": args["url"]}
        assert 0 < args["timeout"] <= 540
        assert one["retry"]["predicate"] == "${http.default_retry_predicate}"
        assert one["except"]["steps"]
