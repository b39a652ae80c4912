"""TLS on a machine whose clock may stand in 1970.

There, every server's certificate is "not yet valid", and a gateway without a battery
could reach nothing, not even who would tell it the time. So where our clock is not
sure (`clock.py`) OpenSSL is told to leave the dates alone, and they are looked at
here: a certificate that may be good for all that we know is taken, one that ended
before what is past for certain is not. The chain, its signatures and the host's name
are checked by OpenSSL as ever; and where the clock is sure, so are the dates.

What leaves a lasting trace if the wrong one answers (an enrolment, another key) asks
for a context without a clock, and so waits for the time.

Source: docs/adr/0021-dates-are-judged-by-the-floor.md; X509_VERIFY_PARAM_set_flags(3)
"""

import _ssl
import socket
import ssl
import sys
import threading
from pathlib import Path
from typing import Any, Self, cast

from cryptography import x509

from edge_runtime.agent.clock import Clock
from edge_runtime.errors import SettingsError
from edge_runtime.log import log

NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME, which Python's ssl passes on but has no name for."""


class DatedSocket(ssl.SSLSocket):
    """A connection that OpenSSL made without a look at the dates."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - as ssl has it
        """Shake hands, and judge the dates before a byte is sent.

        Raises:
            ssl.SSLCertVerificationError: A certificate's time is over.
        """
        super().do_handshake(block)
        # Nothing else makes these, and only where there is a clock.
        context = cast("TlsContext", self.context)
        clock = cast("Clock", context.clock)
        _check_dates(_verified_chain(self), clock, self.server_hostname)


class TlsContext(ssl.SSLContext):
    """How the agent speaks TLS: to whom the authorities vouch for, by name.

    Inherited from, for want of a seam: urllib3 and paho ask a context for each socket.

    Attributes:
        clock: Judges the dates where it is not sure; OpenSSL does without one.
    """

    def __new__(cls, *_: object, **__: object) -> Self:
        """Make a client's context, with TLS 1.2 or later."""
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.hostname_checks_common_name = False
        return context

    def __init__(self, ca_file: Path | None = None, clock: Clock | None = None) -> None:
        """Trust the authorities in `ca_file`, in PEM; without it, this machine's.

        Raises:
            SettingsError: The file has no certificates.
        """
        self.clock = clock
        self._lock = threading.Lock()
        self._has_authorities = ca_file is not None
        if ca_file is not None:
            _trust(self, ca_file)

    def wrap_socket(  # type: ignore[override]  # what is not named here is passed on
        self,
        sock: socket.socket,
        *,
        do_handshake_on_connect: bool = True,
        **rest: Any,  # noqa: ANN401 - as above
    ) -> ssl.SSLSocket:
        """Return TLS over `sock`, whose certificates are checked in the handshake."""
        connection = self._wrap(sock, rest)
        if do_handshake_on_connect:
            try:
                connection.do_handshake()
            except (OSError, ValueError):
                connection.close()
                raise
        return connection

    def _wrap(self, sock: socket.socket, options: dict[str, Any]) -> ssl.SSLSocket:
        """Return TLS over `sock`, before the handshake.

        What it checks is decided here: it takes a copy of this context's flags.
        """
        with self._lock:
            if not self._has_authorities:
                # A hundred and more, read when they are needed, and once.
                self.load_default_certs()
                self._has_authorities = True
            flags = self.verify_flags
            try:
                if self.clock is not None and not self.clock.is_sure:
                    self.verify_flags |= NO_CHECK_TIME
                    self.sslsocket_class = DatedSocket
                return super().wrap_socket(
                    sock, do_handshake_on_connect=False, **options
                )
            finally:
                self.verify_flags = flags
                self.sslsocket_class = ssl.SSLSocket


def _trust(context: ssl.SSLContext, ca_file: Path) -> None:
    try:
        context.load_verify_locations(ca_file)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"expected certificates in PEM, came something else: {ca_file}"
        ) from error


def _check_dates(chain: list[x509.Certificate], clock: Clock, host: str | None) -> None:
    """Refuse a chain that cannot be good now.

    What the machine's own clock shows is enough, as it is for everybody. Had the floor
    to agree, then who once stole the key that raises it could shut out for good
    whoever comes to take that key away.

    Raises:
        ssl.SSLCertVerificationError: A certificate's time is over.
    """
    begins_at = None
    for certificate in chain:
        ends_at = certificate.not_valid_after_utc
        if clock.shows(certificate.not_valid_before_utc, ends_at):
            continue
        if not clock.allows(ends_at):
            raise _refusal(f"a certificate ended at {ends_at:%Y-%m-%d %H:%M} UTC")
        begins_at = certificate.not_valid_before_utc
    if begins_at is not None:
        log("certificate_not_yet_valid", host=host, begins=begins_at.isoformat())


def _verified_chain(connection: ssl.SSLSocket) -> list[x509.Certificate]:
    """Return the certificates that vouch for the server, its own first.

    Raises:
        ssl.SSLCertVerificationError: One cannot be read.
    """
    if sys.version_info >= (3, 13):
        chain = connection.get_verified_chain()
    else:
        # Before, the same had no public name.
        found = cast("Any", connection)._sslobj.get_verified_chain()  # noqa: SLF001
        chain = [one.public_bytes(_ssl.ENCODING_DER) for one in found]
    try:
        return [x509.load_der_x509_certificate(one) for one in chain]
    except ValueError as error:
        raise _refusal("a certificate cannot be read") from error


def _refusal(reason: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, reason)
    error.verify_message = reason
    return error
