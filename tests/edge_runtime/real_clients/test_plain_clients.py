"""Clients that know no protocol's library: `requests` as for Vertex AI, and curl."""

import base64
import gzip
import json
import shutil
import subprocess
import zlib

import numpy as np
import pytest
import requests

from tests.edge_runtime.real_clients.samples import rows
from tests.models import tiny_answer

MANY = 500


@pytest.fixture
def url(server):
    return f"http://127.0.0.1:{server.port}"


@pytest.fixture
def ask(url):
    """Send one request, on a connection of its own."""

    def send(method, path, **given):
        with requests.Session() as session:
            return session.request(method, url + path, timeout=20, **given)

    return send


@pytest.fixture
def curl(url):
    """Run curl; return what it printed."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")

    def run(path, *options):
        command = ["curl", "--silent", "--show-error", *options, url + path]
        return subprocess.run(
            command, capture_output=True, check=True, timeout=20
        ).stdout

    return run


def document(x):
    """Return a v2 request for the tiny model."""
    given = {
        "name": "x",
        "shape": list(x.shape),
        "datatype": "FP32",
        "data": x.tolist(),
    }
    return {"inputs": [given]}


def assert_tiny(array, x):
    expected = tiny_answer(x, 2)
    np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-6)


def read_infer(reply):
    (output,) = reply.json()["outputs"]
    return np.reshape(output["data"], output["shape"])


@pytest.mark.parametrize(
    "instances",
    [rows().tolist(), [{"x": row} for row in rows().tolist()]],
    ids=["bare lists", "objects by input name"],
)
def test_instances_give_predictions_as_from_vertex_ai(ask, instances):
    request = {"instances": instances, "parameters": {"threshold": 0.5}}

    reply = ask("POST", "/v1/models/tiny:predict", json=request)

    assert reply.status_code == 200
    assert_tiny(reply.json()["predictions"], rows())


def test_instances_of_several_inputs_and_outputs_are_objects(ask):
    request = {"instances": [{"a": [5, 2**60], "b": [3, 1]}]}

    reply = ask("POST", "/v1/models/pair:predict", json=request)

    expected = {"sum": [8, 2**60 + 1], "difference": [2, 2**60 - 1]}
    assert reply.json() == {"predictions": [expected]}


def test_bytes_come_in_base64(ask):
    text = {"b64": base64.b64encode("grün".encode()).decode()}

    reply = ask("POST", "/v1/models/twice:predict", json={"instances": ["a", text]})

    assert reply.json() == {"predictions": ["aa", "grüngrün"]}


def test_models_are_listed_as_kserves_first_protocol_does(ask):
    names = ["bfloats", "constant", "pair", "scalar", "tiny", "twice", "types"]

    assert ask("GET", "/v1/models").json() == {"models": names}
    assert ask("GET", "/v1/models/tiny").json() == {"name": "tiny", "ready": True}


def test_a_list_of_codings_as_every_client_sends_it_is_no_wish(ask):
    reply = ask("POST", "/v2/models/tiny/infer", json=document(rows(MANY)))

    assert "," in reply.request.headers["Accept-Encoding"]
    assert "Content-Encoding" not in reply.headers
    assert_tiny(read_infer(reply), rows(MANY))


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("path", ["/v2/models/tiny/infer", "/v1/models/tiny:predict"])
def test_an_answer_is_compressed_where_one_coding_is_asked_for(ask, coding, path):
    both = document(rows(MANY)) | {"instances": rows(MANY).tolist()}
    whole = ask("POST", path, json=both)
    reply = ask("POST", path, json=both, headers={"Accept-Encoding": coding})

    assert reply.headers["Content-Encoding"] == coding
    assert int(reply.headers["Content-Length"]) < len(whole.content)
    assert reply.content == whole.content


@pytest.mark.parametrize(
    ("coding", "code"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body, wbits=-15)),
        ("identity", bytes),
    ],
    ids=["gzip", "in capitals", "old name", "zlib", "raw deflate", "identity"],
)
def test_a_compressed_request_is_understood(ask, coding, code):
    body = code(json.dumps(document(rows())).encode())

    reply = ask(
        "POST",
        "/v2/models/tiny/infer",
        data=body,
        headers={"Content-Encoding": coding},
    )

    assert_tiny(read_infer(reply), rows())


@pytest.mark.parametrize(
    ("coding", "body", "status", "words"),
    [
        ("br", b"x", 415, "expected gzip or deflate, came 'br'"),
        ("gzip", gzip.compress(b"{}")[:-1], 400, "ends before its end"),
        ("gzip", gzip.compress(b"{}") + b"rest", 400, "is not what gzip makes"),
        ("deflate", b"\x78\x9c\xff", 400, "is not what deflate makes"),
        ("gzip", gzip.compress(bytes(2**26 + 1), 1), 413, "once it is inflated"),
    ],
    ids=["unknown", "cut short", "with a rest", "broken", "a bomb"],
)
def test_a_body_that_cannot_be_inflated_is_refused(ask, coding, body, status, words):
    reply = ask(
        "POST",
        "/v2/models/tiny/infer",
        data=body,
        headers={"Content-Encoding": coding},
    )

    assert reply.status_code == status
    assert words in reply.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v2/models/nobody", 404, "came 'nobody'"),
        ("GET", "/v2/models/tiny/versions/9/config", 404, "9"),
        ("GET", "/v1/models/nobody", 404, "came 'nobody'"),
        ("POST", "/v1/models/nobody:predict", 404, "came 'nobody'"),
        ("POST", "/v1/models/tiny:explain", 501, "explains no predictions"),
        ("GET", "/v2/models/tiny/infer", 405, "expected OPTIONS or POST"),
        ("GET", "/v2/repository/index", 405, "here, came GET"),
        ("DELETE", "/v2/models/tiny", 405, "came DELETE"),
        ("GET", "/v2//models/tiny", 404, "nothing is served"),
        ("GET", "/v3", 404, "nothing is served"),
    ],
)
def test_what_is_not_there_is_refused_with_a_sentence(ask, method, path, status, words):
    reply = ask(method, path)

    assert reply.status_code == status
    assert words in reply.json()["error"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[]", "must be a JSON object"),
        (b"{", "must be JSON"),
        (b'{"ready": 1}', "'ready' must be true or false"),
    ],
)
def test_an_odd_request_for_the_index_is_refused(ask, body, words):
    reply = ask("POST", "/v2/repository/index", data=body)

    assert reply.status_code == 400
    assert words in reply.json()["error"]


def test_the_index_may_be_of_what_is_ready_alone(ask):
    reply = ask("POST", "/v2/repository/index", json={"ready": True})

    assert {entry["state"] for entry in reply.json()} == {"READY"}


def test_a_path_may_be_written_otherwise(ask):
    body = document(rows())

    for path in ("/v2/models/%74iny/infer", "/v2/models/tiny/infer?asked=twice"):
        assert_tiny(read_infer(ask("POST", path, json=body)), rows())


def test_a_head_request_gets_the_answers_head(ask):
    reply = ask("HEAD", "/v2/models/tiny")

    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers["Content-Type"] == "application/json"


def test_curl_asks_and_predicts(curl):
    body = json.dumps({"instances": rows().tolist()})

    assert json.loads(curl("/v2/health/ready"))["ready"] is True
    reply = curl("/v1/models/tiny:predict", "--data", body)
    assert_tiny(json.loads(reply)["predictions"], rows())


def test_curl_sends_chunks_and_waits_for_a_go_ahead(curl):
    body = json.dumps(document(rows(MANY)))
    headers = [
        *("--header", "Transfer-Encoding: chunked"),
        *("--header", "Expect: 100-continue"),
    ]

    reply = json.loads(curl("/v2/models/tiny/infer", *headers, "--data", body))

    assert_tiny(np.reshape(reply["outputs"][0]["data"], (MANY, 3)), rows(MANY))


def test_curl_takes_a_compressed_answer(curl):
    body = json.dumps(document(rows(MANY)))

    plain = curl("/v2/models/tiny/infer", "--data", body)
    one = curl(
        "/v2/models/tiny/infer",
        *("--compressed", "--header", "Accept-Encoding: gzip", "--data", body),
    )
    assert one == plain


def test_the_first_page_is_html_for_browsers_and_json_for_programs(ask):
    browser = "text/html,application/xhtml+xml,*/*;q=0.8"

    assert "<html" in ask("GET", "/", headers={"Accept": browser}).text
    assert ask("GET", "/").json()["status"] == "alive"
