"""Where a service is, as settings write it."""

import pytest

from functions.adapters.upstream.origin import Origin, parse_origin
from functions.adapters.upstream.request_heads import TARGETS_MAX, RequestHeads
from packhorse.errors import MalformedError


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "authority"),
    [
        ("https://a-b.googleapis.com", "https", "a-b.googleapis.com", 443, None),
        ("http://127.0.0.1:8080/", "http", "127.0.0.1", 8080, "127.0.0.1:8080"),
        ("HTTPS://Example.COM:443", "https", "example.com", 443, "example.com"),
        ("https://a:80", "https", "a", 80, "a:80"),
        ("http://a:80", "http", "a", 80, "a"),
        ("http://[::1]:9", "http", "::1", 9, "[::1]:9"),
    ],
)
def test_an_origin_is_read_and_named_as_a_host_line_names_it(
    url, scheme, host, port, authority
):
    origin = parse_origin(url)
    assert origin == Origin(is_tls=scheme == "https", host=host, port=port)
    assert origin.authority == (authority or host)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com",
        "https://",
        "https://example.com/path",
        "https://example.com?x",
        "https://user:secret@example.com",
        "https://example.com:0",
        "https://example.com:65536",
        "https://example.com:x",
        "https://exa mple.com",
        "https://example.com\r\nX: y",
        "https://example.com\n",
        "https://-a.com",
        "https://a..b",
        f"https://{'a' * 64}.com",
        f"https://{'.'.join(['abcdefg'] * 40)}",
        "https://bücher.example",
    ],
)
def test_what_is_no_origin_is_refused_and_not_repeated(url):
    with pytest.raises(MalformedError) as refusal:
        parse_origin(url)
    assert "secret" not in str(refusal.value)


def test_heads_of_many_targets_are_not_all_remembered():
    heads = RequestHeads(parse_origin("http://a"))
    first = heads.render("GET", "/0", (), 0)
    for number in range(2 * TARGETS_MAX):
        assert f"GET /{number} HTTP".encode() in heads.render(
            "GET", f"/{number}", (), 0
        )
        assert len(heads) <= TARGETS_MAX
    assert heads.render("GET", "/0", (), 0) == first
