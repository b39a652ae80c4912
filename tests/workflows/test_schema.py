"""The files in workflows/ against Google's own JSON Schema for Workflows.

The schema is read from the wheel `workflows-emulator`, which carries Google's
(GoogleCloudPlatform/workflows-samples, jsonschema/workflows.json) and is
installed for this file alone, without what it depends on.
"""

import copy
import json
from importlib import metadata
from pathlib import Path

import jsonschema
import pytest
import yaml

FILES = sorted((Path(__file__).parents[2] / "workflows").glob("*.yaml"))


@pytest.fixture(scope="module")
def check():
    try:
        wheel = metadata.distribution("workflows-emulator")
    except metadata.PackageNotFoundError:
        pytest.fail(
            "expected the package workflows-emulator, which carries the schema; "
            "run: uv pip install --no-deps -r requirements/schemas.txt"
        )
    path = wheel.locate_file("workflows_emulator/workflow-schema.json")
    schema = json.loads(Path(str(path)).read_text())
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
