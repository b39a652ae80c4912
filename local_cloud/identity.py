"""`python -m local_cloud.identity`: who a process is, on loopback.

It answers as the metadata server of Cloud Run does, so that google-auth finds
credentials with nothing but `GCE_METADATA_HOST` and `GCE_METADATA_IP`. Each
service account has a port of its own: a function is who its port says. It
signs the ID tokens itself and publishes the key as a JWKS at `/certs`.

`/token?audience=..&email=..` gives a token for any account to whoever asks,
for local operators and for the Pub/Sub stand-in. So it listens on loopback
addresses only.

Source: cloud.google.com/run/docs/container-contract, "Container instance
metadata server"; google-auth, `google/auth/compute_engine/_metadata.py`
"""

import argparse
import ipaddress
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from local_cloud.id_tokens import Issuer, load_or_make_key
from local_cloud.metadata import EMAIL, LOCAL_DOMAIN, Desk, Place, Reply
from local_cloud.stopping import take_stop_signals

IDLE_S = 60.0
"""A connection that says nothing for this long is closed."""

_FLAVOR = {"Metadata-Flavor": "Google", "Server": "Metadata Server for Serverless"}


@dataclass(frozen=True, slots=True)
class Settings:
    """How the stand-in is run.

    Attributes:
        host: Loopback address to listen on.
        port: Port of the default account, of `/certs` and of `/token`; 0: a free one.
        data: Folder of the signing key.
        email: The default account.
        accounts: Port of each further account.
        place: Where processes are told that they run.
    """

    host: str
    port: int
    data: Path
    email: str
    accounts: Mapping[str, int]
    place: Place

    def __post_init__(self) -> None:
        """Refuse to give out tokens to a network, and names that are none."""
        if not ipaddress.ip_address(self.host).is_loopback:
            raise ValueError(f"--host: expected a loopback address, got {self.host}")
        for email in (self.email, *self.accounts):
            if not EMAIL.fullmatch(email):
                raise ValueError(f"expected the email of an account, got {email!r}")
            if email.endswith(".gserviceaccount.com"):
                raise ValueError(
                    f"{email}: google-auth would look it up at Google;"
                    f" expected a local domain, such as PROJECT.{LOCAL_DOMAIN}"
                )


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, _Connection)
        self.desk: Desk | None = None


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    disable_nagle_algorithm = True
    """Else a body waits 40 ms for the acknowledgement of its head."""

    def do_GET(self) -> None:
        """Answer; the library calls it by this name."""
        assert isinstance(self.server, _Server)  # noqa: S101 - for the type checker
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        has_flavor = self.headers.get("Metadata-Flavor") == "Google"
        if self.server.desk is None:
            self._write(Reply("starting", 503))
        else:
            self._write(self.server.desk.answer(url.path, query, has_flavor=has_flavor))

    def _write(self, reply: Reply) -> None:
        body = reply.body.encode()
        self.send_response(reply.status)
        for name, value in _FLAVOR.items():
            self.send_header(name, value)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Leave the header to `_FLAVOR`."""
        return _FLAVOR["Server"]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing: every request would be a line."""


def serve(settings: Settings) -> list[ThreadingHTTPServer]:
    """Listen on every account's port; the default account's comes first.

    Raises:
        OSError: A port is taken, or the key cannot be written.
    """
    key = load_or_make_key(settings.data / "identity.pem")
    ports = {settings.email: settings.port, **settings.accounts}
    servers = {email: _Server((settings.host, port)) for email, port in ports.items()}
    issuer_port = servers[settings.email].server_address[1]
    issuer = Issuer(key, f"http://{settings.host}:{issuer_port}")
    for email, server in servers.items():
        server.desk = Desk(issuer, email, settings.place)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    return list(servers.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; return the exit code."""
    wait_for_stop = take_stop_signals()
    try:
        servers = serve(_read_arguments(arguments))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"identity: cannot serve: {error}\n")
        return 1
    ports = [server.server_address[1] for server in servers]
    event = {
        "event": "identity.listening",
        "port": ports[0],
        "account_ports": ports[1:],
    }
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()
    wait_for_stop()
    return 0


def _read_arguments(arguments: Sequence[str] | None) -> Settings:
    parser = argparse.ArgumentParser(
        prog="python -m local_cloud.identity", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=8090, help="0 takes a free one")
    parser.add_argument("--data", type=Path, required=True, help="folder of the key")
    parser.add_argument("--project", default="packhorse-demo", help="project id")
    parser.add_argument("--region", default="europe-west4", help="region told")
    parser.add_argument("--email", help="default account")
    parser.add_argument(
        "--account",
        action="append",
        default=[],
        metavar="EMAIL=PORT",
        help="a further account and its own port; may be repeated",
    )
    parser.add_argument("--universe-domain", default="googleapis.com")
    found = parser.parse_args(arguments)
    email = found.email or f"default@{found.project}.{LOCAL_DOMAIN}"
    place = Place(found.project, found.region, found.universe_domain)
    accounts = dict(map(_read_account, found.account))
    return Settings(found.host, found.port, found.data, email, accounts, place)


def _read_account(text: str) -> tuple[str, int]:
    email, _, port = text.rpartition("=")
    if not port.isdecimal():
        raise ValueError(f"--account: expected EMAIL=PORT, got {text!r}")
    return email, int(port)


if __name__ == "__main__":
    sys.exit(main())
