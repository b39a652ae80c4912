"""What each process on this machine is told, and where each listens.

On Google Cloud, Terraform says the same. The product is led to loopback by
the settings that Google's own libraries have, and by its own.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from local_cloud.ports import free_port
from local_cloud.stack.processes import inherited_environment

PROJECT = "packhorse-demo"
REGION = "europe-west4"
LOCATION_HOST = f"{REGION}-docker.pkg.dev"
MODEL_REPOSITORY = f"{LOCATION_HOST}/{PROJECT}/models"
BUNDLE_BUCKET = "packhorse-bundles"
DEVICE_BUCKET = "packhorse-devices"
ACCOUNTS = f"{PROJECT}.iam.localhost"
PUSH_ACCOUNT = f"push@{ACCOUNTS}"
OPERATOR = "operator@example.com"
CANDIDATE_ID, SERVING_ID = "1", "2"
ROOT = Path(__file__).resolve().parents[2]
"""The checkout: the functions are deployed from its source."""


@dataclass(frozen=True, slots=True)
class Gates:
    """How long the stack's rollouts take; the defaults suit a demo.

    Attributes:
        soak_s: Time that a ring stays open before the next one may.
        patience_s: Time after which a silent device no longer holds the last ring up.
    """

    soak_s: float = 1.0
    patience_s: float = 3600.0
    min_success_ratio: float = 0.9


@dataclass(frozen=True, slots=True)
class Broker:
    """An MQTT broker that runs already, with a certificate for every client.

    Attributes:
        make_client: Returns the files of a client's certificate and key.
    """

    url: str
    ca_file: Path
    make_client: Callable[[str], tuple[Path, Path]]

    def settings(self, client: str) -> dict[str, str]:
        """Return what a client of this name needs to know."""
        certificate, key = self.make_client(client)
        return {
            "MQTT_URL": self.url,
            "MQTT_PROTOCOL": "5",
            "MQTT_CA_FILE": str(self.ca_file),
            "MQTT_CERT_FILE": str(certificate),
            "MQTT_KEY_FILE": str(key),
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """Where everything listens and lies. It stays the same over restarts.

    Attributes:
        folder: Holds what the stand-ins and the gateways keep, and the logs.
        gateway_venv: The environment that a gateway's requirement file made.
        models: Models that may be released here.
        broker: Takes the place of the broker that the stack would start.
    """

    folder: Path
    gateway_venv: Path
    models: tuple[str, ...] = ("magika",)
    gates: Gates = field(default_factory=Gates)
    broker: Broker | None = None
    ports: dict[str, int] = field(default_factory=dict)

    def port(self, name: str) -> int:
        """Return the port of the process `name`, the same each time."""
        if name not in self.ports:
            self.ports[name] = free_port()
        return self.ports[name]

    def url(self, name: str) -> str:
        """Return the URL of the process `name`."""
        return f"http://127.0.0.1:{self.port(name)}"

    def data(self, name: str) -> Path:
        """Return the folder in which the process `name` keeps what it keeps."""
        path = self.folder / "data" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def mqtt_settings(self, client: str) -> dict[str, str]:
        """Return what leads a client to the broker."""
        if self.broker is not None:
            return self.broker.settings(client)
        url = f"mqtt://127.0.0.1:{self.port('broker')}"
        return {"MQTT_URL": url, "MQTT_PROTOCOL": "3.1.1"}

    @property
    def repository_url(self) -> str:
        """Return where anybody on this machine reads metadata and bundles."""
        return f"{self.url('storage')}/{BUNDLE_BUCKET}"

    @property
    def private_repository_url(self) -> str:
        """Return where gateways read the same, with a token."""
        return f"{self.url('private_bucket')}/{BUNDLE_BUCKET}"

    @property
    def parent(self) -> str:
        """Return the resource under which Vertex AI and Workflows keep things."""
        return f"projects/{PROJECT}/locations/{REGION}"


def google_environment(plan: Plan, account: str) -> dict[str, str]:
    """Return what leads Google's libraries to loopback, as the service account.

    The project is not among it: the metadata server tells, as on Cloud Run.
    """
    identity = f"127.0.0.1:{plan.port(f'identity of {account}')}"
    return {
        "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{plan.port('pubsub')}",
        "STORAGE_EMULATOR_HOST": plan.url("storage"),
        "GCE_METADATA_HOST": identity,
        "GCE_METADATA_IP": identity,
        # An empty folder: no credential of this machine's user is ever used.
        "CLOUDSDK_CONFIG": str(plan.data("no-gcloud")),
    }


def function_settings(plan: Plan, function: str) -> dict[str, str]:
    """Return every setting that a function may ask for."""
    endpoints = {
        model: {
            "candidate": f"{plan.parent}/endpoints/{CANDIDATE_ID}",
            "serving": f"{plan.parent}/endpoints/{SERVING_ID}",
        }
        for model in plan.models
    }
    keys = plan.folder / "keys"
    return {
        "BUNDLE_BUCKET": BUNDLE_BUCKET,
        "DEVICE_BUCKET": DEVICE_BUCKET,
        "FLEET_SHARE": "0.05",
        "FUNCTION_AUDIENCE": plan.url(function),
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "LEDGER_URL": f"sqlite:///{plan.data('ledger')}/ledger.db",
        "MIN_SUCCESS_RATIO": str(plan.gates.min_success_ratio),
        "MODEL_ENDPOINTS": json.dumps(endpoints),
        "MODEL_REPOSITORY": MODEL_REPOSITORY,
        **plan.mqtt_settings("cloud"),
        "OIDC_CERTS_URL": f"{plan.url('identity')}/certs",
        "OIDC_ISSUER": plan.url("identity"),
        "REGION": REGION,
        "REGISTRY_ENDPOINT": plan.url("registry"),
        "RELEASE_KEY_URIS": json.dumps(
            {m: f"file2:{keys}/release-{m}.pem" for m in plan.models}
        ),
        "RELEASE_WORKFLOW": f"{plan.parent}/workflows/release",
        "RING_PATIENCE_S": str(plan.gates.patience_s),
        "RING_SOAK_S": str(plan.gates.soak_s),
        "ROLLOUTS_KEY_URI": f"file2:{keys}/rollouts.pem",
        "SERVING_IMAGE": f"{LOCATION_HOST}/{PROJECT}/packhorse/edge-runtime:0.1.0",
        "SNAPSHOT_KEY_URI": f"file2:{keys}/snapshot.pem",
        "STS_ENDPOINT": plan.url("private_bucket"),
        "STUCK_AFTER_S": "30",
        "TIMESTAMP_KEY_URI": f"file2:{keys}/timestamp.pem",
        "TRUST_ROOT_FILE": str(plan.folder / "repository" / "1.root.json"),
        "VARIANTS": "fp32",
        "VERTEX_ENDPOINT": plan.url("vertex"),
        "WORKFLOWS_ENDPOINT": plan.url("workflows"),
    }


def load_functions() -> dict[str, dict[str, object]]:
    """Read the only list of functions."""
    document = yaml.safe_load((ROOT / "functions" / "deploy.yaml").read_text())
    functions: dict[str, dict[str, object]] = document["functions"]
    return functions


def function_environment(
    plan: Plan, name: str, function: dict[str, object]
) -> dict[str, str]:
    """Return the environment of one function, as it has it on Cloud Run.

    A setting that is listed and not given here has a default in the function.
    """
    given = function_settings(plan, name)
    given["ALLOWED_CALLERS"] = ",".join(
        OPERATOR if caller == "operators" else f"{caller}@{ACCOUNTS}"
        for caller in as_strings(function["callers"])
        if caller not in {"devices", "public"}
    )
    listed = as_strings(function["settings"])
    return {
        **inherited_environment(),
        **google_environment(plan, str(function["service_account"])),
        **{setting: given[setting] for setting in listed if setting in given},
        **({"FUNCTION_USE_ASGI": "true"} if function.get("asgi") else {}),
        "FUNCTION_TARGET": name,
        "FUNCTION_SOURCE": "main.py",
        "K_SERVICE": name,
        "PORT": str(plan.port(name)),
        "THREADS": "8",
    }


def service_accounts() -> list[str]:
    """Return the short name of every service account that something runs as."""
    functions = load_functions().values()
    accounts = {str(function["service_account"]) for function in functions}
    return sorted(accounts | {"workflow", "serving", "platform"})


def as_strings(value: object) -> list[str]:
    """Return a list of YAML as text."""
    return [str(entry) for entry in value] if isinstance(value, list) else []


def gateway_environment(
    plan: Plan, device: str, ring: int, token: str
) -> dict[str, str]:
    """Return the environment of one gateway."""
    mqtt = {f"PACKHORSE_{k}": v for k, v in plan.mqtt_settings(device).items()}
    return {
        **inherited_environment(),
        **mqtt,
        "PACKHORSE_STATE_DIR": str(plan.data(f"gateway-{device}")),
        "PACKHORSE_DEVICE": device,
        "PACKHORSE_RING": str(ring),
        "PACKHORSE_MODEL": plan.models[0],
        "PACKHORSE_VARIANTS": "fp32",
        "PACKHORSE_REPOSITORY_URL": plan.private_repository_url,
        "PACKHORSE_ROOT_FILE": str(plan.folder / "repository" / "1.root.json"),
        "PACKHORSE_ENROLL_URL": plan.url("enroll_device"),
        "PACKHORSE_ENROLL_TOKEN": token,
        "PACKHORSE_TOKEN_URL": plan.url("device_token"),
        "PACKHORSE_REPORT_URL": plan.url("receive_report"),
        "PACKHORSE_POLL_S": "2",
        "PACKHORSE_LISTEN": f"127.0.0.1:{plan.port(device)}",
        "PACKHORSE_PROBATION_S": "2",
        "PACKHORSE_SHADOW_S": "2",
    }


def operator_environment(plan: Plan) -> dict[str, str]:
    """Return what the command `packhorse` needs to speak to this stack."""
    return {
        "PACKHORSE_REGISTRY": f"{plan.url('registry')}/{PROJECT}/models",
        "PACKHORSE_OPERATE_URL": plan.url("operate"),
        "PACKHORSE_TOKEN_COMMAND": (
            f"{sys.executable} {Path(__file__).with_name('token.py')} "
            f"'{plan.url('identity')}/token"
            f"?audience={plan.url('operate')}&email={OPERATOR}'"
        ),
        "NO_PROXY": "*",
    }
