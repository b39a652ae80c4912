"""Where a service is: its scheme, host and port."""

import re
from dataclasses import dataclass

from packhorse.errors import MalformedError

_PORTS = {"http": 80, "https": 443}
_PORT_MAX = 65_535
_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_ORIGIN = re.compile(
    rf"(https?)://({_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+\])(?::([0-9]{{1,5}}))?/?",
    re.IGNORECASE,
)
_HOST_MAX = 253
"""Characters. Source: RFC 1035, 2.3.4"""


@dataclass(frozen=True, slots=True)
class Origin:
    """One server, as a connection is opened to it.

    Attributes:
        host: In lower case; an IPv6 address without its brackets.
    """

    is_tls: bool
    host: str
    port: int

    @property
    def authority(self) -> str:
        """What stands in `Host`; a port only where it is not the scheme's own.

        Source: RFC 9110, 7.2
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        own = _PORTS["https" if self.is_tls else "http"]
        return host if self.port == own else f"{host}:{self.port}"


def parse_origin(url: str) -> Origin:
    """Read `https://HOST[:PORT]`, with or without a slash at its end.

    Raises:
        MalformedError: It is anything else; a path or a password has no place here.
    """
    match = _ORIGIN.fullmatch(url)
    if match is None or len(match[2]) > _HOST_MAX:
        raise MalformedError("expected http:// or https:// with a host and no path")
    scheme, host, port = match[1].lower(), match[2].lower(), match[3]
    number = int(port) if port else _PORTS[scheme]
    if not 1 <= number <= _PORT_MAX:
        raise MalformedError(f"a port lies in 1..{_PORT_MAX}, not {number}")
    return Origin(scheme == "https", host.strip("[]"), number)
