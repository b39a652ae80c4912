"""Addresses of servers and of models, and what servers say of theirs."""

import json

import pytest

from edge_runtime.bench.target import Target, find_model, parse_target, read_inputs
from edge_runtime.errors import BenchError
from packhorse.manifest import TensorSpec
from tests.edge_runtime.bench.servers import serve


def parse(url, **parts):
    return parse_target(url, **({"ca_file": None, "token": ""} | parts))


def answer(document, status=200):
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n"
    return lambda _: head.encode() + body


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://gateway:8080", Target("gateway", 8080)),
        ("http://gateway/", Target("gateway", 80)),
        ("http://gateway:8080/v2", Target("gateway", 8080)),
        ("http://[::1]:8080/v2/models/m", Target("::1", 8080, "", "m")),
        (
            "http://k/serving/v2/models/a%2Fb/versions/3/infer",
            Target("k", 80, "/serving", "a/b", "3"),
        ),
    ],
)
def test_an_address_names_a_server_and_perhaps_a_model(url, expected):
    assert parse(url) == expected


def test_https_is_spoken_where_it_is_asked_for():
    target = parse("https://gateway")
    assert target.port == 443
    assert target.tls is not None


def test_a_token_becomes_a_header():
    assert parse("http://g", token="x").headers == {"Authorization": "Bearer x"}


@pytest.mark.parametrize("url", ["", "gateway:8080", "ftp://g", "http://g:999999"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(BenchError, match="expected a URL"):
        parse(url)


def test_a_file_of_authorities_that_is_none_is_refused(tmp_path):
    with pytest.raises(BenchError, match="--ca-file"):
        parse("https://g", ca_file=tmp_path / "none")


def test_the_path_escapes_what_is_no_plain_name():
    target = Target("g", 80, model="a/b", version="3")
    assert target.infer_path == "/v2/models/a%2Fb/versions/3/infer"
    assert target.url == "http://g:80/v2/models/a%2Fb/versions/3/infer"


def test_an_only_model_needs_not_be_named():
    versions = [{"name": "m", "version": "1"}, {"name": "m", "version": "2"}]
    with serve(answer(versions)) as port:
        assert find_model(Target("127.0.0.1", port)) == "m"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (answer([{"name": "a"}, {"name": "b"}]), "there are a, b"),
        (answer([]), "there are none"),
        (answer({}), "is no list"),
        (answer({"error": "no index"}, 404), "answers 404.*no index"),
    ],
)
def test_one_of_several_models_must_be_named(reply, reason):
    with (
        serve(reply) as port,
        pytest.raises(BenchError, match=f"say --model NAME.*{reason}"),
    ):
        find_model(Target("127.0.0.1", port))


def test_the_inputs_are_what_the_metadata_says():
    document = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, "4"]}]}
    with serve(answer(document)) as port:
        inputs = read_inputs(Target("127.0.0.1", port, model="m"))
    assert inputs == (TensorSpec("x", "FP32", (-1, 4)),)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (answer({"name": "m"}), "names no list of inputs"),
        (answer({"inputs": [{"name": "x"}]}), "an input that is none"),
        (lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n<", "no JSON"),
        (lambda _: None, "does not answer"),
    ],
)
def test_metadata_that_says_nothing_is_refused(reply, reason):
    with serve(reply) as port, pytest.raises(BenchError, match=reason):
        read_inputs(Target("127.0.0.1", port, model="m"))
