"""Only a token of our issuer, for us, of an allowed caller, lets anyone in."""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from functions.adapters.identity import CallerCheck, KeySet
from functions.errors import (
    NotAllowedError,
    UnauthorisedError,
    UpstreamRefusedError,
    UpstreamUnavailableError,
)
from functions.setting_values import CallerSettings
from tests.standing_clock import StandingClock

AUDIENCE = "https://function.example"
ISSUER = "https://issuer.example"
EMAIL = "push@demo.iam.gserviceaccount.com"
NOW = 1_800_000_000.0


def encode(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def number(value):
    return encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Issuer:
    """Publishes keys, counts who asks, and signs whatever it is told to."""

    def __init__(self):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.asked = 0
        self.status = 200
        self.document = {"keys": [self.public("key-1")]}
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked += 1
                body = issuer.document
                self.send_response(issuer.status)
                self.end_headers()
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.wfile.write(raw)

            def log_message(self, *_):
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/certs"
        threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        ).start()

    def public(self, key_id):
        numbers = self.key.public_key().public_numbers()
        return {
            "kty": "RSA",
            "kid": key_id,
            "n": number(numbers.n),
            "e": number(numbers.e),
        }

    def token(self, header=None, **claims):
        header = {"alg": "RS256", "kid": "key-1", **(header or {})}
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "email": EMAIL,
            "email_verified": True,
            "iat": NOW,
            "exp": NOW + 3600,
            **claims,
        }
        present = {name: value for name, value in claims.items() if value is not None}
        signed = f"{encode(header)}.{encode(present)}"
        signature = self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"Bearer {signed}.{encode(signature)}"

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def issuer():
    found = Issuer()
    yield found
    found.stop()


@pytest.fixture
def check(issuer):
    settings = CallerSettings(ISSUER, issuer.url, AUDIENCE, frozenset({EMAIL}))
    return CallerCheck(settings, clock=lambda: NOW).check


def test_a_good_token_names_its_caller(check, issuer):
    assert check(issuer.token()) == EMAIL
    assert check(issuer.token(iat=NOW + 30, exp=NOW - 30)) == EMAIL


def test_a_token_of_the_local_metadata_server_is_good(identity):
    settings = CallerSettings(
        identity.url, f"{identity.url}/certs", AUDIENCE, frozenset({EMAIL})
    )
    check = CallerCheck(settings, clock=time.time).check

    assert check(f"Bearer {identity.token(AUDIENCE, EMAIL)}") == EMAIL


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": "https://other.example"},
        {"aud": [AUDIENCE]},
        {"aud": None},
        {"exp": NOW - 61},
        {"exp": None},
        {"exp": True},
        {"exp": "tomorrow"},
        {"iat": NOW + 61},
        {"iat": None},
        {"email": None},
        {"email_verified": False},
        {"email_verified": "true"},
    ],
    ids=str,
)
def test_a_token_that_says_something_else_proves_nothing(check, issuer, claims):
    with pytest.raises(UnauthorisedError) as refused:
        check(issuer.token(**claims))
    assert not isinstance(refused.value, NotAllowedError)


def test_another_caller_is_not_allowed(check, issuer):
    with pytest.raises(NotAllowedError, match="stranger"):
        check(issuer.token(email="stranger@example.com"))


@pytest.mark.parametrize(
    "header", [{"alg": "none"}, {"alg": "HS256"}, {"kid": "key-2"}]
)
def test_the_algorithm_and_the_key_are_ours_to_choose(check, issuer, header):
    with pytest.raises(UnauthorisedError, match="key of the issuer"):
        check(issuer.token(header=header))


def test_another_key_under_the_same_name_is_refused(check, issuer):
    check(issuer.token())
    issuer.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    with pytest.raises(UnauthorisedError, match="signature is wrong"):
        check(issuer.token())


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic dTpw",
        "Bearer a.b",
        "Bearer a.b.c",
        "Bearer ä.b.c",
        f"Bearer {'a' * 9000}.b.c",
        f"Bearer {encode([1])}.{encode({})}.{encode(b'')}",
    ],
)
def test_what_is_no_token_is_refused(check, header):
    with pytest.raises(UnauthorisedError):
        check(header)


def test_a_signature_that_cloud_run_has_taken_off_is_refused(check, issuer):
    signed = issuer.token().rsplit(".", 1)[0]

    with pytest.raises(UnauthorisedError, match=r"no signed JWT|signature is wrong"):
        check(f"{signed}.SIGNATURE_REMOVED_BY_GOOGLE")


def test_keys_are_asked_for_once(check, issuer):
    for _ in range(3):
        check(issuer.token())

    assert issuer.asked == 1


@pytest.fixture
def clock():
    return StandingClock()


@pytest.fixture
def keys(issuer, clock):
    return KeySet(issuer.url, clock=clock)


def test_unknown_names_cannot_make_us_ask_the_issuer_all_the_time(keys, issuer, clock):
    for number_ in range(50):
        assert keys.find(f"unknown-{number_}") is None
    assert issuer.asked == 1

    clock.now += 31
    keys.find("unknown")
    assert issuer.asked == 2


def test_a_new_key_is_found_soon(keys, issuer, clock):
    keys.find("key-1")
    issuer.document["keys"].append(issuer.public("key-2"))
    clock.now += 31

    assert keys.find("key-2") is not None


def test_old_keys_are_asked_for_again(keys, issuer, clock):
    keys.find("key-1")
    issuer.document = {"keys": []}
    clock.now += 3601

    assert keys.find("key-1") is None


def test_known_keys_outlive_an_issuer_that_is_away(keys, issuer, clock):
    keys.find("key-1")
    issuer.status = 500
    clock.now += 3601

    assert keys.find("key-1") is not None
    assert keys.find("key-1") is not None
    assert issuer.asked == 2


@pytest.mark.parametrize(
    ("status", "document", "error"),
    [
        (500, {}, UpstreamUnavailableError),
        (404, {}, UpstreamRefusedError),
        (302, {}, UpstreamRefusedError),
        (200, b"garbage", UpstreamUnavailableError),
        (200, [], UpstreamUnavailableError),
        (200, {"keys": [{"kty": "RSA", "kid": "a"}]}, UpstreamUnavailableError),
        (
            200,
            {"keys": [{"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"}]},
            UpstreamUnavailableError,
        ),
        (200, {"keys": ["x" * 70_000]}, UpstreamUnavailableError),
    ],
    ids=["500", "404", "redirect", "garbage", "list", "empty", "weak", "long"],
)
def test_an_issuer_without_usable_keys_is_no_fault_of_the_caller(
    check, issuer, status, document, error
):
    issuer.status, issuer.document = status, document

    with pytest.raises(error):
        check(issuer.token())


def test_keys_of_other_kinds_are_left_alone(check, issuer):
    issuer.document["keys"] += [{"kty": "EC", "kid": "ec"}, {"kty": "RSA"}, "x"]

    assert check(issuer.token()) == EMAIL
