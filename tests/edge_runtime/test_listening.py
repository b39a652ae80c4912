"""Tokens, TLS and client certificates, on real sockets against real gateways."""

import contextlib
import http.client
import json
import socket
import ssl
import time
from pathlib import Path

import pytest

from tests.edge_runtime.certificates import make_authority
from tests.edge_runtime.gateways import (
    infer_document,
    install_tiny,
    serve_in_vain,
)

TOKEN = "0123456789abcdef0123456789ABCDEF"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATH = "/v2/models/tiny/infer"
BODY = json.dumps(infer_document([[1.0, 2.0, 3.0, 4.0]])).encode()


@pytest.fixture
def authority(tmp_path):
    return make_authority(tmp_path)


@pytest.fixture
def guarded(tmp_path):
    """Settings that ask for a token."""
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return {"PACKHORSE_TOKEN_FILE": str(path)}


@pytest.fixture
def encrypted(authority):
    """Settings that make it speak TLS."""
    cert, key = authority.issue("127.0.0.1")
    return {"PACKHORSE_TLS_CERT_FILE": str(cert), "PACKHORSE_TLS_KEY_FILE": str(key)}


@pytest.fixture
def start(start_gateway, state_dir):
    def start(**settings):
        install_tiny(state_dir, "a", 1, is_active=True)
        gateway = start_gateway(PACKHORSE_HEAD_S="1", **settings)
        gateway.wait_ready()
        return gateway

    return start


def ask(gateway, context, method="POST", path=PATH, body=BODY, headers=BEARER):
    """Send one request over TLS; return its status and body."""
    connection = http.client.HTTPSConnection(
        "127.0.0.1", gateway.port, timeout=20, context=context
    )
    with contextlib.closing(connection):
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        return reply.status, reply.read()


def trusting(authority):
    return ssl.create_default_context(cafile=authority.path)


def test_a_token_is_asked_for_everywhere_but_for_health(start, guarded):
    gateway = start(**guarded)

    status, headers, body = gateway.request("POST", PATH, BODY)
    assert (status, headers["Connection"]) == (401, "close")
    assert headers["WWW-Authenticate"] == 'Bearer realm="packhorse"'
    assert "Authorization: Bearer" in json.loads(body)["error"]
    wrong = {"Authorization": f"Bearer {TOKEN[:-1]}e"}
    assert gateway.request("POST", PATH, BODY, wrong)[0] == 401
    assert gateway.request("POST", PATH, BODY, BEARER)[0] == 200
    for path in ("/", "/metrics", "/status", "/v2", "/v2/models/tiny", "/nowhere"):
        assert gateway.get(path)[0] == 401, path
    assert gateway.get("/v2/health/live")[0] == 200
    assert gateway.get("/v2/health/ready")[0] == 200


def test_who_shows_no_token_is_refused_before_the_body(start, guarded):
    gateway = start(**guarded)
    with gateway.connect() as connection:
        head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Length: 60000000\r\n"
        connection.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        reply = connection.makefile("rb").read()
    assert reply.startswith(b"HTTP/1.1 401 Unauthorized\r\n")


def test_the_token_is_on_no_command_line_and_in_no_log(start, guarded):
    gateway = start(**guarded)
    gateway.request("POST", PATH, BODY, BEARER)
    pids = (gateway.process.pid, gateway.status()["worker_pid"])
    texts = [Path(f"/proc/{pid}/cmdline").read_text() for pid in pids]
    texts += [Path(f"/proc/{pid}/environ").read_text() for pid in pids]
    texts.append(gateway.log.read_text())
    assert not [text for text in texts if TOKEN in text]


def test_tls_and_a_token_together(start, guarded, encrypted, authority):
    gateway = start(**guarded, **encrypted)
    context = trusting(authority)
    assert ask(gateway, context)[0] == 200
    assert ask(gateway, context, headers={})[0] == 401
    assert ask(gateway, context, "GET", "/v2/health/ready", None, {})[0] == 200
    assert ask(gateway, context, "GET", "/status", None)[0] == 200


def test_a_client_must_show_a_certificate_of_the_authority(
    start, encrypted, authority, tmp_path
):
    gateway = start(**encrypted, PACKHORSE_TLS_CLIENT_CA_FILE=str(authority.path))
    context = trusting(authority)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(gateway, context)
    other = make_authority(tmp_path, "other")
    context.load_cert_chain(*other.issue("client", file_name="stranger"))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(gateway, context)

    context = trusting(authority)
    context.load_cert_chain(*authority.issue("client", file_name="client"))
    assert ask(gateway, context, headers={})[0] == 200


def test_long_bodies_and_pipelines_pass_through_tls(start, encrypted, authority):
    gateway = start(**encrypted)
    rows = [[1.0, 2.0, 3.0, 4.0]] * 40_000
    body = json.dumps(infer_document(rows)).encode()
    status, reply = ask(gateway, trusting(authority), body=body)
    assert status == 200
    assert json.loads(reply)["outputs"][0]["shape"] == [40_000, 3]

    plain = socket.create_connection(("127.0.0.1", gateway.port), timeout=20)
    context = trusting(authority)
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
        live = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n"
        last = live + b"Connection: close\r\n\r\n"
        begun_s = time.monotonic()
        connection.sendall((live + b"\r\n") * 200 + last)
        replies = connection.makefile("rb").read()
    assert replies.count(b"HTTP/1.1 200 OK\r\n") == 201
    assert time.monotonic() - begun_s < 1.5  # it does not linger


def test_old_tls_is_refused(start, encrypted, authority):
    gateway = start(**encrypted)
    context = trusting(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        ask(gateway, context)


def test_who_speaks_plainly_or_not_at_all_is_cut_off(start, encrypted, authority):
    gateway = start(**encrypted)
    for words in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b""):
        with gateway.connect() as connection:
            connection.sendall(words)
            with contextlib.suppress(ConnectionResetError):
                assert b"HTTP" not in connection.makefile("rb").read()
    assert ask(gateway, trusting(authority))[0] == 200


def test_a_certificate_that_is_none_is_told_before_anything_is_served(
    state_dir, encrypted, tmp_path
):
    (tmp_path / "leaf.pem").write_text("no certificate")
    state_dir.mkdir()
    done = serve_in_vain(state_dir, **encrypted)
    assert done.returncode == 1
    assert "PACKHORSE_TLS_CERT_FILE" in done.stderr
    assert "Traceback" not in done.stderr
