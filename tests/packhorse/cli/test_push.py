"""A push reaches the registry whole or not at all, and never replaces a version."""

import base64
import hashlib
import json

import onnx
import pytest
import requests
from onnx import TensorProto, numpy_helper

from packhorse.model_card import decode_card
from packhorse.pushed_model import OCI_MANIFEST_TYPE
from packhorse.shadow_limits import ShadowLimits
from packhorse.tolerance import Tolerance
from tests import odd_models
from tests.models import tiny_model
from tests.packhorse.cli.people import reply

REPOSITORY = "packhorse-demo/models"


@pytest.fixture(params=["registry", "debian"])
def place(request, person, tmp_path):
    """A registry, known to the person, and a model name that nobody uses."""
    server = request.getfixturevalue(request.param)
    person.environ["PACKHORSE_REGISTRY"] = f"{server.url}/{REPOSITORY}"
    name = hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]
    return server, f"m{name}"


def push(person, files, name, version=1, *words):
    model, golden = files.model(version), files.golden(version)
    return person.document("push", model, "--name", name, "--golden", golden, *words)


def manifest(server, name, tag):
    url = f"{server.url}/v2/{REPOSITORY}/{name}/manifests/{tag}"
    return requests.get(url, headers={"Accept": OCI_MANIFEST_TYPE}, timeout=10)


def test_a_push_is_there_by_its_version_and_its_digest(person, files, place):
    server, name = place
    done = push(person, files, name)
    found = manifest(server, name, 1)
    assert done == {"release": f"{name}@1", "digest": done["digest"], "is_new": True}
    assert done["digest"] == f"sha256:{hashlib.sha256(found.content).hexdigest()}"
    for layer in found.json()["layers"]:
        url = f"{server.url}/v2/{REPOSITORY}/{name}/blobs/{layer['digest']}"
        body = requests.get(url, timeout=10).content
        assert f"sha256:{hashlib.sha256(body).hexdigest()}" == layer["digest"]
        assert len(body) == layer["size"]


def test_a_card_carries_tolerances_and_limits(person, files, place):
    server, name = place
    words = ("--tolerance", "y=1e-3,1e-2,0.1", "--tolerance", "y@aarch64=0.5,0")
    push(person, files, name, 1, *words, "--min-agreement", "0.9")

    (layer,) = (x for x in manifest(server, name, 1).json()["layers"] if is_card(x))
    url = f"{server.url}/v2/{REPOSITORY}/{name}/blobs/{layer['digest']}"
    card = decode_card(requests.get(url, timeout=10).content)

    arm = Tolerance(0.5, 0.0)
    assert card.tolerances == {"y": Tolerance(1e-3, 1e-2, 0.1, {"aarch64": arm})}
    assert card.shadow == ShadowLimits(min_agreement=0.9)


def is_card(layer):
    return layer["annotations"]["org.opencontainers.image.title"] == "card.json"


@pytest.mark.parametrize("datatype", ["BYTES", "BF16"])
def test_golden_samples_of_text_and_bf16_are_pushed(person, files, place, datatype):
    _, name = place
    model = files.write("odd.onnx", odd_models.identity(datatype))
    golden = files.write("odd.npz", odd_models.golden(datatype))
    done = person.document("push", model, "--name", name, "--golden", golden)
    assert done["is_new"]


def test_the_same_files_again_change_nothing_and_others_get_the_next_version(
    person, files, place
):
    _, name = place
    first = push(person, files, name)
    again = push(person, files, name)
    other = push(person, files, name, 2)
    assert again == first | {"is_new": False}
    assert other["release"] == f"{name}@2"


def test_a_version_that_exists_with_other_files_is_refused(person, files, place):
    _, name = place
    first = push(person, files, name)
    model, golden = files.model(2), files.golden(2)
    words = ("push", model, "--name", name, "--golden", golden, "--version", 1)
    sentence = person.refused(*words)
    assert first["digest"] in sentence
    assert "a version never changes" in sentence


def test_weights_in_another_file_go_along(person, files, place):
    server, name = place
    model, weights = with_external_data(files, "weights.bin")
    golden = files.golden()
    words = ("--external-data", weights)
    person.document("push", model, "--name", name, "--golden", golden, *words)
    titles = [
        layer["annotations"]["org.opencontainers.image.title"]
        for layer in manifest(server, name, 1).json()["layers"]
    ]
    assert titles == ["model.onnx", "weights.bin", "golden.npz", "card.json"]


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", ".w", "golden.npz"])
def test_weights_with_a_path_or_a_taken_name_are_refused(person, files, location):
    model, _ = with_external_data(files, location)
    words = ("push", model, "--name", "m", "--golden", files.golden())
    sentence = person.refused(*words)
    assert "plain name" in sentence
    assert location in sentence


def test_weights_that_are_missing_are_named(person, files):
    model, _ = with_external_data(files, "weights.bin")
    words = ("push", model, "--name", "m", "--golden", files.golden())
    assert "--external-data weights.bin" in person.refused(*words)


def test_weights_that_the_model_does_not_know_are_refused(person, files):
    strange = files.write("strange.bin", b"1")
    words = ("push", files.model(), "--name", "m", "--golden", files.golden())
    sentence = person.refused(*words, "--external-data", strange)
    assert "keeps no weights in strange.bin" in sentence


def with_external_data(files, location):
    model = onnx.load_from_string(tiny_model())
    tensor = model.graph.initializer[0]
    raw = numpy_helper.to_array(tensor).tobytes()
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    weights = files.write("weights.bin", raw)
    return files.write("external.onnx", model.SerializeToString()), weights


# -- a registry that a test scripts --

TAGS = f"/v2/{REPOSITORY}/tiny/tags/list"
DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def scripted(person, server):
    """An empty registry that takes everything."""
    person.environ["PACKHORSE_REGISTRY"] = f"{server.url}/{REPOSITORY}"
    server.on("POST", "*", (202, {"Location": "/upload?a=b"}, b""))
    server.on("PUT", "*", (201, {}, b""))
    return server


def push_tiny(files):
    return ("push", files.model(), "--name", "tiny", "--golden", files.golden())


def test_the_next_version_follows_the_highest_on_any_page(person, files, scripted):
    link = {"Link": f'<{TAGS}?last=9>; rel="next"'}
    first = reply({"tags": ["1", "latest", "9", "-3", "1.0"]}, **link)
    scripted.on("GET", TAGS, first, reply({"tags": ["10", "sha256-a.sig"]}))
    done = person.document(*push_tiny(files))
    assert done["release"] == "tiny@11"


def test_what_docker_login_left_is_used(person, files, scripted):
    config = {"auths": {scripted.host: {"auth": base64.b64encode(b"me:pw").decode()}}}
    folder = files.folder / "home" / ".docker"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    challenge = f'Bearer realm="{scripted.url}/token",service="s",scope="x"'
    ask = (401, {"Www-Authenticate": challenge}, b"")
    scripted.on("GET", TAGS, ask, (404, {}, b""))
    scripted.on("GET", "/token", reply({"token": "secret"}))
    person.document(*push_tiny(files))
    asked = next(seen for seen in scripted.seen if seen[1].startswith("/token"))
    assert asked[2]["Authorization"] == "Basic bWU6cHc="
    sent = [seen[2].get("Authorization") for seen in scripted.seen if seen[0] == "PUT"]
    assert set(sent) == {"Bearer secret"}


def test_a_place_that_the_registry_sends_us_to_is_not_told_the_token(
    person, files, scripted
):
    other = scripted.url.replace("127.0.0.1", "localhost")
    challenge = f'Bearer realm="{scripted.url}/token",service="s"'
    ask = (401, {"Www-Authenticate": challenge}, b"")
    scripted.on("GET", TAGS, ask, (404, {}, b""))
    scripted.on("GET", "/token", reply({"token": "secret"}))
    scripted.on("POST", "*", (202, {"Location": f"{other}/upload"}, b""))
    person.document(*push_tiny(files), PACKHORSE_REGISTRY_TOKEN="t")
    sent = [s[2] for s in scripted.seen if s[1].startswith("/upload")]
    assert sent
    assert not any("Authorization" in headers for headers in sent)


def test_a_registry_that_is_away_for_a_moment_is_asked_again(person, files, scripted):
    scripted.on("GET", TAGS, None, (503, {}, b""), reply({"tags": []}))
    scripted.on("POST", "*", (502, {}, b""), (202, {"Location": "/up"}, b""))
    assert person.document(*push_tiny(files))["release"] == "tiny@1"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((401, {}, b""), "does not let us in"),
        ((401, {"Www-Authenticate": "Bearer"}, b""), "does not let us in"),
        ((403, {"Www-Authenticate": 'Basic realm="x"'}, b""), "does not let us in"),
        ((500, {}, b"<html>"), "answered 500"),
        ((503, {}, b""), "answered 503; try again"),
        ((200, {}, b"{"), "list of the registry's tags"),
        ((200, {}, b'{"tags": 5}'), "tags must be a list"),
        ((200, {}, b"x" * 5_000_000), "more than 4194304 bytes"),
        (None, "could not be reached"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_registry_may_answer_is_a_sentence(
    person, files, scripted, answer, words
):
    scripted.on("GET", TAGS, answer)
    assert words in person.refused(*push_tiny(files))


def test_a_refusal_of_the_registry_is_passed_on_without_what_steers_a_terminal(
    person, files, scripted
):
    refusal = {"errors": [{"code": "DENIED", "message": "too \x1b[31mlarge"}]}
    scripted.on("PUT", "*", reply(refusal, status=413))
    sentence = person.refused(*push_tiny(files))
    assert "did not take model.onnx: it answered 413" in sentence
    assert r"too \x1b[31mlarge" in sentence


def test_a_docker_configuration_that_is_broken_is_a_sentence(person, files, scripted):
    folder = files.folder / "home" / ".docker"
    folder.mkdir()
    (folder / "config.json").write_text("{")
    assert "docker login" in person.refused(*push_tiny(files))
