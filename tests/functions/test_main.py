"""The builder's default source loads the one function that is asked for."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import functions_framework
import pytest
from google.cloud import pubsub_v1

from local_cloud.ports import free_port
from tests.functions.conftest import PUSHER
from tests.functions.servers import StandIn, wait_until

ROOT = Path(__file__).resolve().parents[2]
LOADED = """
import sys, functions_framework
functions_framework.create_app("receive_report", "main.py")
print(*sorted(name for name in sys.modules if name.startswith("functions.")))
"""


def test_a_function_that_is_not_there_is_named():
    with pytest.raises(Exception, match="nonsense"):
        functions_framework.create_app("nonsense", "main.py")


def test_a_module_that_is_no_function_is_not_taken_for_one():
    with pytest.raises(Exception, match="errors"):
        functions_framework.create_app("errors", "main.py")


def test_a_cold_start_loads_one_function_and_no_adapter():
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = done.stdout.split()
    assert "functions.receive_report" in loaded
    assert "functions.register_release" not in loaded
    assert not [name for name in loaded if name.startswith("functions.adapters.")]


def test_what_the_framework_cannot_read_is_not_echoed(client_of):
    client = client_of("sweep_ledger")

    for data in (b"garbage", b"{}", b"[]", b'{"message": 1}', b"\xff"):
        reply = client.post(
            "/",
            data=data,
            content_type="application/json",
            headers={"Authorization": "Bearer secret-token"},
        )
        assert reply.status_code >= 400
        assert "secret-token" not in reply.get_data(as_text=True)


@pytest.fixture
def signing_pubsub(tmp_path, identity):
    """Pub/Sub whose push requests carry tokens."""
    flags = ("--token-url", f"{identity.url}/token")
    server = StandIn("local_cloud.pubsub", tmp_path / "pubsub", *flags)
    yield server
    server.stop()


@pytest.fixture
def deployed(identity, signing_pubsub, ledger_url, tmp_path):
    """`sweep_ledger`, run by the real executable as Cloud Run runs it."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    environment = {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "FUNCTION_TARGET": "sweep_ledger",
        "FUNCTION_SOURCE": "main.py",
        "GOOGLE_CLOUD_PROJECT": "demo",
        "PUBSUB_EMULATOR_HOST": signing_pubsub.host,
        "LEDGER_URL": ledger_url,
        "OIDC_ISSUER": identity.url,
        "OIDC_CERTS_URL": f"{identity.url}/certs",
        "FUNCTION_AUDIENCE": url,
        "ALLOWED_CALLERS": PUSHER,
    }
    log = tmp_path / "log"
    with log.open("w") as stdout:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "functions-framework"],
            cwd=ROOT,
            env=environment,
            stdout=stdout,
            stderr=subprocess.STDOUT,
        )
    yield url, log
    process.terminate()
    process.wait(timeout=20)


def is_listening(url):
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        time.sleep(0.05)
        return False


def test_a_signed_push_reaches_the_function_as_it_is_deployed(
    deployed, signing_pubsub, monkeypatch
):
    url, log = deployed
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", signing_pubsub.host)
    wait_until(lambda: is_listening(url))

    publish_to(url)

    wait_until(lambda: "sweep_ledger done" in log.read_text())
    lines = [json.loads(line) for line in log.read_text().splitlines() if "{" in line]
    (done,) = [line for line in lines if line.get("event") == "sweep_ledger done"]
    assert done["caller"] == PUSHER
    assert done["status"] == 200


def publish_to(url):
    with (
        pubsub_v1.PublisherClient() as publisher,
        pubsub_v1.SubscriberClient() as reader,
    ):
        topic = publisher.topic_path("demo", "sweep")
        publisher.create_topic(name=topic)
        token = {"service_account_email": PUSHER, "audience": url}
        reader.create_subscription(
            request={
                "name": reader.subscription_path("demo", "sweep"),
                "topic": topic,
                "push_config": {"push_endpoint": url, "oidc_token": token},
            }
        )
        publisher.publish(topic, b"{}").result(timeout=10)
