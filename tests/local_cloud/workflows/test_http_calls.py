"""What an `http.*` call sends, gives back and raises."""

import json
import socket
import time

import pytest

from local_cloud import google_http
from local_cloud.google_http import Reply, json_reply
from local_cloud.workflows.errors import WorkflowError
from local_cloud.workflows.http_calls import HttpCalls
from local_cloud.workflows.id_tokens import MetadataTokens


def answer(request):
    if request.path == "/echo":
        headers = dict(request.headers)
        seen = {"method": request.method, "query": dict(request.query)}
        return json_reply({**seen, "headers": headers, "body": request.body.decode()})
    if request.path == "/slow":
        time.sleep(1)
    if request.path == "/large":
        return Reply(200, b"x" * (2 * 1024 * 1024 + 1))
    if request.path == "/not-json":
        return Reply(200, b"{", {"Content-Type": "application/json"})
    if request.path == "/moved":
        return Reply(302, b"", {"Location": "/echo"})
    if request.path.startswith("/computeMetadata"):
        return Reply(200, f"token for {request.query['audience']}\n".encode())
    return Reply(200, b"plain", {"Content-Type": "text/plain", "X-Own": "1"})


@pytest.fixture(scope="module")
def url():
    server = google_http.start("127.0.0.1", 0, answer)
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def http(url):
    return HttpCalls(MetadataTokens(url.removeprefix("http://")))


def tags_of(http, arguments):
    with pytest.raises(WorkflowError) as caught:
        http.call("POST", arguments)
    return caught.value.value["tags"]


def test_a_map_is_sent_as_json_and_a_json_answer_is_read(http, url):
    reply = http.call(
        "POST",
        {
            "url": f"{url}/echo",
            "body": {"a": [1]},
            "query": {"q": 1},
            "headers": {"X-Own": "2"},
        },
    )

    seen = reply["body"]
    assert reply["code"] == 200
    assert json.loads(seen["body"]) == {"a": [1]}
    assert seen["query"] == {"q": "1"}
    assert seen["headers"]["content-type"].startswith("application/json")
    assert seen["headers"]["x-own"] == "2"


def test_a_string_is_sent_as_it_is(http, url):
    seen = http.call("PUT", {"url": f"{url}/echo", "body": "text"})["body"]

    assert (seen["method"], seen["body"]) == ("PUT", "text")


def test_an_answer_that_is_no_json_stays_text_and_headers_are_lower_case(http, url):
    reply = http.call("GET", {"url": f"{url}/plain"})

    assert reply["body"] == "plain"
    assert reply["headers"]["x-own"] == "1"


@pytest.mark.parametrize("audience", ["", "https://f.example"])
def test_oidc_asks_for_a_token_for_the_audience_or_else_the_url(http, url, audience):
    auth = {"type": "OIDC", **({"audience": audience} if audience else {})}

    seen = http.call("GET", {"url": f"{url}/echo", "auth": auth})["body"]

    expected = f"Bearer token for {audience or url + '/echo'}"
    assert seen["headers"]["authorization"] == expected


def test_any_status_but_2xx_is_an_http_error_and_no_redirect_is_followed(http, url):
    assert tags_of(http, {"url": f"{url}/moved"}) == ["HttpError"]


def test_an_answer_that_takes_too_long_is_a_timeout(http, url):
    assert tags_of(http, {"url": f"{url}/slow", "timeout": 0.1}) == ["TimeoutError"]


def test_a_server_that_is_not_there_was_never_reached(http):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"

    tags = tags_of(http, {"url": url})

    assert tags == ["ConnectionError", "ConnectionFailedError"]


def test_an_answer_over_googles_limit_is_refused(http, url):
    assert tags_of(http, {"url": f"{url}/large"}) == ["ResourceLimitError"]


def test_an_answer_that_lies_about_being_json_is_refused(http, url):
    assert tags_of(http, {"url": f"{url}/not-json"}) == ["ResponseTypeError"]


@pytest.mark.parametrize(
    "arguments",
    [{"url": "ftp://x"}, {"url": None}, {"url": "http://x", "timeout": -1}],
)
def test_arguments_that_make_no_request_are_refused(http, arguments):
    assert tags_of(http, arguments) == ["ValueError"]


def test_without_a_metadata_server_there_is_an_auth_error():
    http = HttpCalls(MetadataTokens("127.0.0.1:1", patience_s=0))

    tags = tags_of(http, {"url": "http://127.0.0.1:1", "auth": {"type": "OIDC"}})

    assert tags == ["AuthError"]
