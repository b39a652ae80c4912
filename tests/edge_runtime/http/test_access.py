"""Which requests pass, and how the others are refused."""

import hashlib
import json

import pytest

from edge_runtime.http.access import Access
from edge_runtime.http.head import parse_head
from edge_runtime.settings.access_settings import AccessSettings

TOKEN, OTHER = "a" * 32, "b" * 32
HASHES = tuple(hashlib.sha256(t.encode()).hexdigest() for t in (TOKEN, OTHER))


@pytest.fixture
def access():
    return Access(AccessSettings(HASHES), open_paths=[b"/health"])


def head(*lines, target="/v2/models/m/infer"):
    text = "\r\n".join([f"POST {target} HTTP/1.1", "Host: a", *lines, "", ""])
    return parse_head(text.encode())


@pytest.mark.parametrize(
    "line",
    [
        f"Authorization: Bearer {TOKEN}",
        f"authorization: bearer {OTHER}",
        f"AUTHORIZATION:   BEARER   {OTHER}  ",
    ],
)
def test_a_known_token_passes(access, line):
    assert access.check(head(line)) is None


@pytest.mark.parametrize(
    ("lines", "challenge"),
    [
        ((), 'Bearer realm="packhorse"'),
        (("Authorization: Basic YTpi",), 'Bearer realm="packhorse"'),
        ((f"Authorization: {TOKEN}",), 'Bearer realm="packhorse"'),
        ((f"Authorization: Bearer {TOKEN}",) * 2, 'Bearer realm="packhorse"'),
        (("Authorization: Bearer",), 'Bearer realm="packhorse"'),
        (
            (f"Authorization: Bearer {TOKEN}c",),
            'Bearer realm="packhorse", error="invalid_token"',
        ),
        (
            (f"Authorization: Bearer {HASHES[0]}",),
            'Bearer realm="packhorse", error="invalid_token"',
        ),
        (
            (f"Authorization: Bearer {TOKEN}, {OTHER}",),
            'Bearer realm="packhorse", error="invalid_token"',
        ),
    ],
)
def test_all_else_is_refused_with_a_challenge(access, lines, challenge):
    reply = access.check(head(*lines))
    assert reply.status == 401
    assert ("WWW-Authenticate", challenge) in reply.headers
    assert "expected" in json.loads(reply.body)["error"]


@pytest.mark.parametrize(
    "target", ["/v2/health/live", "/v2/health/ready?x=1", "/health"]
)
def test_health_needs_no_token(access, target):
    assert access.check(head(target=target)) is None


@pytest.mark.parametrize(
    "target",
    ["/v2/health/../models", "/v2/health", "/v2/health/live/", "//v2/health/live", "/"],
)
def test_what_only_looks_like_health_needs_one(access, target):
    assert access.check(head(target=target)).status == 401


def test_without_tokens_everybody_passes():
    assert Access(AccessSettings()).check(head()) is None
