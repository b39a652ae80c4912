"""The server's side of TLS.

Where clients must show a certificate there is no exception, not even for health:
without one there is no connection.
"""

import ssl
from pathlib import Path

from edge_runtime.errors import SettingsError
from edge_runtime.log import log
from edge_runtime.settings.access_settings import TlsSettings

REFRESH_S = 60.0
"""Time after which a renewed certificate is shown; it is renewed days too early."""


def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return what the server's side of TLS is made with.

    Raises:
        SettingsError: A file does not hold what it must.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load_certificate(context, settings)
    if settings.client_ca_file is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        _trust(context, settings.client_ca_file)
    return context


class LiveTls:
    """A context whose certificate is the one that is in the file now.

    Attributes:
        context: The server's side of TLS; connections that are open keep theirs.
    """

    def __init__(self, settings: TlsSettings) -> None:
        """Read the files.

        Raises:
            SettingsError: One does not hold what it must.
        """
        self._settings = settings
        self._seen = _changed_at(settings)
        self.context = tls_context(settings)

    def refresh(self) -> None:
        """Read certificate and key again where they changed, and are good."""
        found = _changed_at(self._settings)
        if found in (self._seen, ()):
            return
        try:
            tls_context(self._settings)  # a failure must not touch what serves
            _load_certificate(self.context, self._settings)
        except SettingsError as error:
            log("certificate_refused", reason=str(error))
        else:
            log("certificate_renewed")
        self._seen = found


def _changed_at(settings: TlsSettings) -> tuple[int, ...]:
    """Return when the files last changed, in ns; nothing while one is not there."""
    try:
        return tuple(
            path.stat().st_mtime_ns for path in (settings.cert_file, settings.key_file)
        )
    except OSError:
        return ()


def _load_certificate(context: ssl.SSLContext, settings: TlsSettings) -> None:
    try:
        # A password would be asked for on the terminal.
        context.load_cert_chain(settings.cert_file, settings.key_file, lambda: "")
    except (OSError, ValueError) as error:
        raise SettingsError(
            "PACKHORSE_TLS_CERT_FILE and PACKHORSE_TLS_KEY_FILE must be a"
            " certificate and its key, both PEM and without a password:"
            f" {settings.cert_file}, {settings.key_file}"
        ) from error


def _trust(context: ssl.SSLContext, ca_file: Path) -> None:
    try:
        context.load_verify_locations(ca_file)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"PACKHORSE_TLS_CLIENT_CA_FILE must be certificates in PEM: {ca_file}"
        ) from error
