"""The servers that the command's tests stand on."""

import os
import shutil
import subprocess

import pytest

from functions.adapters.ledger import Ledger
from functions.topics import TOPICS
from local_cloud.ports import free_port
from tests.functions.servers import Identity, StandIn, Topics
from tests.local_cloud.registry.stand_ins import (
    Topic,
    debian_registry,
    our_registry,
    running,
    wait_for,
    webhook,
)
from tests.packhorse.cli.people import (
    NOBODY,
    OPERATOR,
    PROGRAM,
    Cloud,
    Files,
    Person,
    Scripted,
    answers,
)


@pytest.fixture
def person(tmp_path):
    """A person whose servers do not answer, until a test gives some."""
    home = tmp_path / "home"
    home.mkdir()
    return Person(
        {
            "HOME": str(home),
            "PACKHORSE_REGISTRY": f"{NOBODY}/packhorse-demo/models",
            "PACKHORSE_OPERATE_URL": NOBODY,
            "PACKHORSE_TOKEN_COMMAND": "echo token",
        }
    )


@pytest.fixture
def files(tmp_path):
    """Make files: `files.model(1)`, `files.golden(1)`, `files.write(name, body)`."""
    return Files(tmp_path)


@pytest.fixture(scope="session")
def topic():
    found = Topic()
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="session")
def registry(topic, tmp_path_factory):
    """Our registry."""
    server = our_registry(tmp_path_factory.mktemp("registry"), topic)
    with running(server):
        yield server


@pytest.fixture(scope="session")
def debian(topic, tmp_path_factory):
    """Debian's registry."""
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is missing: apt-get install docker-registry")
    hook = webhook(topic)
    server = debian_registry(tmp_path_factory.mktemp("debian"), hook)
    with running(server, hook):
        yield server


@pytest.fixture(scope="session")
def cloud(tmp_path_factory):
    """`operate` under the real framework, on a database of its own."""
    folder = tmp_path_factory.mktemp("cloud")
    identity = Identity("local_cloud.identity", folder / "identity")
    pubsub = StandIn("local_cloud.pubsub", folder / "pubsub")
    port = free_port()
    url, database = f"http://127.0.0.1:{port}", f"sqlite:///{folder}/ledger.db"
    settings = {
        "FUNCTION_TARGET": "operate",
        "FUNCTION_AUDIENCE": url,
        "ALLOWED_CALLERS": OPERATOR,
        "OIDC_ISSUER": identity.url,
        "OIDC_CERTS_URL": f"{identity.url}/certs",
        "LEDGER_URL": database,
        "GOOGLE_CLOUD_PROJECT": "demo",
        "PUBSUB_EMULATOR_HOST": pubsub.host,
        "DEVICE_BUCKET": "devices",
    }
    words = ["--source", "main.py", "--target", "operate", "--host", "127.0.0.1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUBSUB_EMULATOR_HOST", pubsub.host)
        topics = Topics("demo", TOPICS)
    process = subprocess.Popen(
        [PROGRAM.with_name("functions-framework"), *words, "--port", str(port)],
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: answers(port), "operate")
    ledger = Ledger(database)
    yield Cloud(url, identity, ledger)
    ledger.close()
    topics.close()
    process.terminate()
    process.wait()
    for server in (pubsub, identity):
        server.stop()


@pytest.fixture
def server():
    found = Scripted()
    yield found
    found.stop()
