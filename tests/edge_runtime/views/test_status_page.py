"""The status page in a real browser, of a gateway that answered real requests."""

import http.server
import json
import os
import random
import threading
import time
from pathlib import Path

import pytest

from tests.edge_runtime.browser import DESKTOP, PHONE, Browser, png_size
from tests.edge_runtime.gateways import Gateway, install_tiny

PICTURE_S = float(os.environ.get("STATUS_PICTURE_S", "0"))
"""Seconds of traffic, after which the picture in the documentation is replaced; with
0, as usually, the picture goes to a directory of its own."""

PICTURE = Path(__file__).resolve().parents[3] / "docs/images/status-page.png"
PICTURE_SIZE = DESKTOP
PICTURE_SEED = 7


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    state_dir = tmp_path_factory.mktemp("page") / "state"
    install_tiny(state_dir, "a", 3, is_active=True)
    gateway = Gateway(state_dir)
    gateway.wait_ready()
    for number in range(20):
        assert gateway.infer([[float(number), 0.0, 0.0, 0.0]])[0] == 200
    assert gateway.infer([[1.0]])[0] == 400
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture
def browser(tmp_path):
    return Browser(tmp_path)


def url(gateway, path="/"):
    return f"http://127.0.0.1:{gateway.port}{path}"


def test_a_browser_shows_the_release_its_models_and_what_they_did(gateway, browser):
    look = browser.dump(url(gateway))
    for words in (
        "tiny@3</h1>",
        '<p class="pill good">ready</p>',
        "Last predictions",
        "<code>x [1, 4]</code>",
        "<code>y [1, 3]</code>",
        "<b>400</b> Bad Request",
        "1 refused as malformed",
    ):
        assert words in look.text
    assert "123456" not in look.text


def test_the_chart_is_drawn_and_told_in_words(gateway, browser):
    look = browser.dump(url(gateway))
    assert 'class="p50" d="M' in look.text
    assert ": 20; half of them came within" in look.text
    assert "Minute (UTC)" in browser.dump(url(gateway, "/?still")).text


def test_the_browser_refuses_nothing_and_asks_for_nothing_else(gateway, browser):
    asked = json.loads(gateway.get("/status")[2])["requests"]
    before = asked.get("other", {"200": 0})
    look = browser.dump(url(gateway, "/?still"))
    after = json.loads(gateway.get("/status")[2])["requests"]["other"]
    assert look.complaints == []
    # Ours, and the page itself: no icon, no font, no script.
    assert after["200"] - before["200"] == 2
    assert "404" not in after


def test_what_the_browser_refuses_would_be_seen(browser):
    with one_page(b'<!doctype html><script src="/x.js"></script>') as port:
        look = browser.dump(f"http://127.0.0.1:{port}/")
    assert any("Content Security Policy" in line for line in look.complaints)


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_can_be_looked_at(gateway, browser, tmp_path, size, is_dark):
    path = tmp_path / "page.png"
    look = browser.picture(url(gateway, "/?still"), path, size, is_dark=is_dark)
    assert look.complaints == []
    assert png_size(path) == size
    # A page that shows nothing packs into far less.
    assert path.stat().st_size > 40_000


@pytest.mark.timeout(PICTURE_S + 120)
def test_the_picture_in_the_documentation_can_be_taken(gateway, browser, tmp_path):
    path = PICTURE if PICTURE_S else tmp_path / "page.png"
    send_requests(gateway, PICTURE_S)
    browser.picture(url(gateway), path, PICTURE_SIZE)
    assert png_size(path) == PICTURE_SIZE


def send_requests(gateway, duration_s):
    """Send requests as clients do: some at once, some wrong, with a pause."""
    chance = random.Random(PICTURE_SEED)
    until_s = time.monotonic() + duration_s
    while (left_s := until_s - time.monotonic()) > 0:
        is_pause = 0.4 < left_s / duration_s < 0.45
        rows = chance.choice([1, 1, 1, 2, 8])
        if not is_pause:
            gateway.infer([[chance.gauss(0, 1) for _ in range(4)] for _ in range(rows)])
        if chance.random() < 0.001:
            gateway.infer([[1.0]])
        time.sleep(chance.expovariate(30.0))


class one_page:  # noqa: N801 - used as a context
    """Serves one page under the status page's policy."""

    def __init__(self, body):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Security-Policy", "default-src 'none'")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self):
        self._thread.start()
        return self._server.server_port

    def __exit__(self, *_error):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
