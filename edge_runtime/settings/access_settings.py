"""Where the server listens, and who may then ask.

On loopback nobody is asked who they are, unless a token or certificates are set.
An address that others reach needs one of three: a token, client certificates, or
the word that it shall be open to all.
"""

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import SettingsError
from edge_runtime.settings.environment import Environment

TOKEN_MIN = 32
"""Characters; a token is made by a machine, not thought of by a person."""

TOKEN_MAX = 4096
"""Characters; a quarter of the largest head."""

TOKENS_MAX = 8
"""Lines of the file: a new token, an old one until every client has changed."""

_NAMED = {"localhost": "127.0.0.1"}
"""No other name is looked up: what it stands for may change, and who may ask."""

_PORT_MAX = 65_535
_TOKEN = re.compile(rf"[A-Za-z0-9._~+/-]{{{TOKEN_MIN},{TOKEN_MAX}}}=*")
"""Source: RFC 6750, 2.1"""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """The server's certificate, and whose clients' certificates it wants to see.

    Attributes:
        client_ca_file: Who vouches for clients; None where clients need none.
    """

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """What a client must show.

    Attributes:
        tokens_sha256: Hashes in hex of the tokens that are taken; none: no token
            is asked for.
        tls: None where the server speaks plain HTTP.
    """

    tokens_sha256: tuple[str, ...] = ()
    tls: TlsSettings | None = None

    @property
    def is_guarded(self) -> bool:
        """Whether somebody who is not meant to ask can be told apart."""
        has_client_ca = self.tls is not None and self.tls.client_ca_file is not None
        return bool(self.tokens_sha256) or has_client_ca


def read_access(environ: Environment) -> AccessSettings | None:
    """Read what clients must show; None where that is nothing."""
    access = AccessSettings(_tokens(environ), _tls(environ))
    return access if access != AccessSettings() else None


def read_listen(environ: Environment, access: AccessSettings | None) -> tuple[str, int]:
    """Read the address and the port to listen on.

    Raises:
        SettingsError: It is no address, or one that others reach while nobody is
            asked who they are.
    """
    text = environ.text("PACKHORSE_LISTEN", "127.0.0.1:8080")
    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(_NAMED.get(host, host.strip("[]")))
    except ValueError as error:
        raise SettingsError(
            "PACKHORSE_LISTEN must be an IP address, or localhost, and a port,"
            " as 127.0.0.1:8080, or 0.0.0.0:8080 for all addresses of IPv4,"
            f" not {text!r}"
        ) from error
    is_guarded = access is not None and access.is_guarded
    is_open = environ.flag("PACKHORSE_LISTEN_UNPROTECTED")
    if not (address.is_loopback or is_guarded or is_open):
        raise SettingsError(
            f"PACKHORSE_LISTEN={text} lets others in: expected"
            " PACKHORSE_TOKEN_FILE, PACKHORSE_TLS_CLIENT_CA_FILE, or"
            " PACKHORSE_LISTEN_UNPROTECTED=1 for all the world, came none"
        )
    return str(address), environ.in_range("PACKHORSE_LISTEN", port, _PORT_MAX)


def _tokens(environ: Environment) -> tuple[str, ...]:
    """Hash the tokens of the file, one a line."""
    path = environ.optional_file("PACKHORSE_TOKEN_FILE")
    if path is None:
        return ()
    limit = TOKENS_MAX * (TOKEN_MAX + 2)
    try:
        with path.open(encoding="ascii") as file:
            lines = file.read(limit).split()
    except (OSError, UnicodeDecodeError):
        lines = []
    # What came is not said: it may be most of a token.
    if not 1 <= len(lines) <= TOKENS_MAX or not all(map(_TOKEN.fullmatch, lines)):
        raise SettingsError(
            f"PACKHORSE_TOKEN_FILE must hold 1 to {TOKENS_MAX} tokens, one a line,"
            f" each of {TOKEN_MIN} to {TOKEN_MAX} letters, digits and ._~+/-"
        )
    return tuple(hashlib.sha256(line.encode()).hexdigest() for line in lines)


def _tls(environ: Environment) -> TlsSettings | None:
    cert_file = environ.optional_file("PACKHORSE_TLS_CERT_FILE")
    if cert_file is None:
        for name in ("PACKHORSE_TLS_KEY_FILE", "PACKHORSE_TLS_CLIENT_CA_FILE"):
            if name in environ:
                raise SettingsError(f"{name} needs PACKHORSE_TLS_CERT_FILE")
        return None
    return TlsSettings(
        cert_file=cert_file,
        key_file=environ.file("PACKHORSE_TLS_KEY_FILE"),
        client_ca_file=environ.optional_file("PACKHORSE_TLS_CLIENT_CA_FILE"),
    )
