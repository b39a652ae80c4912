"""The stand-ins of the stack: which there are, and what each is told.

Each is a program of its own, `python -m local_cloud.NAME`.
"""

from pathlib import Path

from local_cloud.stack.settings import (
    ACCOUNTS,
    BUNDLE_BUCKET,
    CANDIDATE_ID,
    DEVICE_BUCKET,
    LOCATION_HOST,
    PROJECT,
    REGION,
    ROOT,
    SERVING_ID,
    Plan,
    load_functions,
    service_accounts,
)

TOKEN_S = 12
"""How long a gateway's token is good: Google's hour would outlast any demo, and nobody
would see one renewed."""

_ACCOUNTS = {"workflows": "workflow"}
"""Service account of each stand-in that calls functions; the rest is the platform's."""


def account_of(name: str) -> str:
    """Return the service account that a stand-in calls others as."""
    return _ACCOUNTS.get(name, "platform")


def stand_in_arguments(plan: Plan) -> dict[str, list[str]]:
    """Return the arguments of each stand-in, in the order of their start."""
    port = plan.port
    urls = [
        f"--env={name.upper()}_URL={plan.url(name)}"
        for name in load_functions()
        if name.startswith("deploy_")
    ]
    container = {
        "STORAGE_EMULATOR_HOST": plan.url("storage"),
        "GCE_METADATA_HOST": f"127.0.0.1:{port('identity of serving')}",
        "PACKHORSE_LISTEN_HOST": "127.0.0.1",
    }
    stand_ins = {
        "identity": [
            *("--project", PROJECT, "--region", REGION),
            *(
                f"--account={account}@{ACCOUNTS}={port(f'identity of {account}')}"
                for account in service_accounts()
            ),
        ],
        "pubsub": [
            "--token-url",
            f"{plan.url('identity')}/token",
            "--pause-max-s",
            "2",
        ],
        "storage": ["--bucket", BUNDLE_BUCKET, "--bucket", DEVICE_BUCKET],
        "private_bucket": [
            *("--storage", plan.url("storage"), "--token-s", str(TOKEN_S)),
            *("--reader", f"device-token@{ACCOUNTS}"),
        ],
        "registry": ["--project", PROJECT, "--location-host", LOCATION_HOST],
        "broker": [],
        "vertex": [
            *("--project", PROJECT, "--location", REGION),
            f"--serving-command={plan.gateway_venv}/bin/edge-runtime serve",
            f"--endpoint={CANDIDATE_ID}=candidate",
            f"--endpoint={SERVING_ID}=serving",
            *(f"--container-env={n}={v}" for n, v in container.items()),
        ],
        "workflows": [
            f"--source=release={ROOT}/workflows/release.yaml",
            "--env=POLL_S=0.5",
            *urls,
        ],
        "scheduler": [
            "--deploy-file",
            f"{ROOT}/functions/deploy.yaml",
            *("--project", PROJECT, "--speed-up", "30"),
        ],
    }
    if plan.broker is not None:
        del stand_ins["broker"]
    return stand_ins


def place_arguments(name: str, port: int, data: Path) -> list[str]:
    """Return the arguments that say where a stand-in listens and keeps things."""
    if name == "scheduler":
        return []
    return ["--host", "127.0.0.1", "--port", str(port), "--data", str(data)]
