"""What the proxy does with answers that Vertex AI should never give."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from functions.adapters import raw_predict
from functions.adapters.raw_predict import RawPredict
from functions.errors import UpstreamRefusedError, UpstreamUnavailableError
from tests.functions.vertex_stand_in import SERVING


@contextlib.contextmanager
def answering(status, body, **headers):
    """Serve one answer to everything; count the requests."""
    count = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            count.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            for name, value in {"Content-Length": len(body), **headers}.items():
                self.send_header(name.replace("_", "-"), str(value))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", count
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def call(url):
    return RawPredict(url).call(
        SERVING, b"{}", content_type="application/json", timeout_s=2
    )


def test_an_error_of_upstream_is_an_answer(google_account):
    with answering(429, b"slow down") as (url, count):
        answer = call(url)

    assert (answer.status, answer.body) == (429, b"slow down")
    assert count == [f"/v1/{SERVING}:rawPredict"]


def test_an_answer_cut_short_is_no_answer(google_account):
    with (
        answering(200, b"half", Content_Length=99, Connection="close") as (url, _),
        pytest.raises(UpstreamUnavailableError),
    ):
        call(url)


def test_an_answer_without_end_is_not_read(google_account, monkeypatch):
    monkeypatch.setattr(raw_predict, "ANSWER_MAX_BYTES", 10)
    with answering(200, b"x" * 11) as (url, _), pytest.raises(UpstreamRefusedError):
        call(url)


def test_without_a_credential_nothing_can_be_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))

    with pytest.raises(UpstreamUnavailableError, match="no credential"):
        RawPredict("http://127.0.0.1:1")


def test_a_metadata_server_that_is_away_gives_no_token(google_account, monkeypatch):
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    monkeypatch.setattr(
        "google.auth.compute_engine._metadata._GCE_METADATA_HOST", "127.0.0.1:1"
    )
    monkeypatch.setattr(
        "google.auth.compute_engine._metadata._METADATA_DEFAULT_TIMEOUT", 0.1
    )
    # It asks five times, and has no setting for the seconds between.
    monkeypatch.setattr(
        "google.auth._exponential_backoff.time", SimpleNamespace(sleep=lambda _: None)
    )

    with pytest.raises(UpstreamUnavailableError, match="no credential"):
        call("http://127.0.0.1:1")
