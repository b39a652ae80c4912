"""Who google-auth believes to be, on the local metadata server."""

import json
import os
import stat
import subprocess
import sys
import urllib.error
import urllib.request

import google.auth.jwt
import pytest

from local_cloud.ports import free_port
from tests.local_cloud.jwks import public_keys
from tests.local_cloud.pubsub.stand_ins import ROOT, StandIn, running

PROJECT = "packhorse-demo"
DEFAULT = f"default@{PROJECT}.iam.localhost"
PREDICT = f"predict@{PROJECT}.iam.localhost"
AUDIENCE = "https://operate.example"

ASK_GOOGLE_AUTH = """
import json, logging, sys
import google.auth, google.oauth2.id_token
from google.auth.transport import requests
asked = []
class Listener(logging.Handler):
    def emit(self, record):
        asked.append(record.getMessage())
logging.getLogger("urllib3").addHandler(Listener())
logging.getLogger("urllib3").setLevel(logging.DEBUG)
request = requests.Request()
scopes = ["https://www.googleapis.com/auth/cloud-platform"]
credentials, project = google.auth.default(scopes=scopes)
session = requests.AuthorizedSession(credentials)
session.get(sys.argv[1] + "/certs")
lookups = credentials._rab_manager.refresh_manager._worker
if lookups is not None:
    lookups.join()
token = google.oauth2.id_token.fetch_id_token(request, sys.argv[2])
print(json.dumps({
    "project": project,
    "email": credentials.service_account_email,
    "access_token": credentials.token,
    "is_fresh": not credentials.expired,
    "id_token": token,
    "hosts": [line for line in asked if "Starting new" in line],
}))
"""


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    predict_port = free_port()
    words = ["--account", f"{PREDICT}={predict_port}"]
    stand_in = StandIn("identity", words, tmp_path_factory.mktemp("identity"))
    with running(stand_in):
        stand_in.predict_port = predict_port
        yield stand_in


def ask_google_auth(port, issuer_port):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("GOOGLE", "GCE"))}
    place = f"127.0.0.1:{port}"
    environment = {
        **clean,
        "GCE_METADATA_HOST": place,
        "GCE_METADATA_IP": place,
        "CLOUDSDK_CONFIG": "/nonexistent",
    }
    issuer = f"http://127.0.0.1:{issuer_port}"
    done = subprocess.run(
        [sys.executable, "-c", ASK_GOOGLE_AUTH, issuer, AUDIENCE],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def get(port, path, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.read().decode(), reply.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


def test_google_auth_finds_credentials_as_on_cloud_run(identity):
    found = ask_google_auth(identity.port, identity.port)

    claims = google.auth.jwt.decode(
        found["id_token"], certs=public_keys(identity.port), audience=AUDIENCE
    )
    assert (found["project"], found["email"]) == (PROJECT, DEFAULT)
    assert found["access_token"].startswith(f"local.{DEFAULT}.")
    assert found["is_fresh"]
    assert claims["email"] == DEFAULT
    assert claims["iss"] == f"http://127.0.0.1:{identity.port}"
    assert claims["exp"] - claims["iat"] == 3600


def test_google_auth_speaks_to_loopback_only(identity):
    found = ask_google_auth(identity.port, identity.port)

    assert found["hosts"]
    assert all("127.0.0.1" in line for line in found["hosts"])


def test_each_account_has_its_own_port_and_all_have_one_issuer(identity):
    found = ask_google_auth(identity.predict_port, identity.port)

    claims = google.auth.jwt.decode(
        found["id_token"], certs=public_keys(identity.port), audience=AUDIENCE
    )
    assert found["email"] == claims["email"] == PREDICT
    assert claims["iss"] == f"http://127.0.0.1:{identity.port}"
    assert claims["sub"] == claims["azp"] != DEFAULT


def test_an_operator_gets_a_token_for_the_asking(identity):
    path = f"/token?audience={AUDIENCE}&email=operator@example.com"

    status, token, _ = get(identity.port, path)

    claims = google.auth.jwt.decode(token, certs=public_keys(identity.port))
    assert status == 200
    assert (claims["email"], claims["aud"]) == ("operator@example.com", AUDIENCE)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/token?email=operator@example.com", "audience"),
        (f"/token?audience={AUDIENCE}", "email"),
        (f"/token?audience={AUDIENCE}&email=nobody", "email"),
    ],
)
def test_a_token_is_for_someone_and_somewhere(identity, path, expected):
    status, body, _ = get(identity.port, path)

    assert status == 400
    assert expected in body


def test_metadata_is_for_those_who_say_so(identity):
    path = "/computeMetadata/v1/project/project-id"

    refused, _, _ = get(identity.port, path)
    status, body, headers = get(identity.port, path, **{"Metadata-Flavor": "Google"})

    assert refused == 403
    assert (status, body) == (200, PROJECT)
    assert headers["Metadata-Flavor"] == "Google"


@pytest.mark.parametrize(
    "path",
    [
        "/other",
        "/computeMetadata/v1/other",
        f"/computeMetadata/v1/instance/service-accounts/{PREDICT}/token",
        "/computeMetadata/v1/instance/service-accounts/default/other",
    ],
)
def test_what_is_not_there_is_not_found(identity, path):
    status, _, _ = get(identity.port, path, **{"Metadata-Flavor": "Google"})

    assert status == 404


def test_the_rest_of_cloud_runs_metadata_is_there(identity):
    flavor = {"Metadata-Flavor": "Google"}
    account = "/computeMetadata/v1/instance/service-accounts/default"

    assert get(identity.port, f"{account}/email", **flavor)[1] == DEFAULT
    assert "cloud-platform" in get(identity.port, f"{account}/scopes", **flavor)[1]
    region = get(identity.port, "/computeMetadata/v1/instance/region", **flavor)[1]
    assert region.endswith("/regions/europe-west4")


def test_the_key_outlives_the_process_and_is_the_owners_alone(tmp_path):
    stand_in = StandIn("identity", [], tmp_path / "identity")
    with running(stand_in):
        before = public_keys(stand_in.port)
        stand_in.kill()
        stand_in.start()
        after = public_keys(stand_in.port)

    mode = (stand_in.data / "identity.pem").stat().st_mode
    assert before == after
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--host", "0.0.0.0"], "loopback"),
        (["--account", "push@p.iam.gserviceaccount.com=1"], "local domain"),
        (["--account", "push@p.iam.localhost"], "EMAIL=PORT"),
        (["--email", "nobody"], "email"),
    ],
)
def test_what_would_be_wrong_or_leak_is_refused_with_a_sentence(
    tmp_path, words, expected
):
    command = [sys.executable, "-m", "local_cloud.identity", "--port", "0"]
    done = subprocess.run(
        [*command, "--data", str(tmp_path), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
