"""The names that travel: models, releases, variants, devices, rings."""

import re
from dataclasses import dataclass

from packhorse.errors import MalformedError

MODEL = r"[a-z][a-z0-9-]{0,62}"
VARIANT = r"[a-z0-9][a-z0-9-]{0,31}"
DEVICE = r"[a-z0-9][a-z0-9-]{0,63}"
VERSION_MAX = 10**9 - 1
"""Nine digits sort, print and fit every database's integer."""
RING_MAX = 99
SHA256 = r"[0-9a-f]{64}"

_RELEASE = re.compile(rf"({MODEL})@([1-9][0-9]{{0,8}})")


@dataclass(frozen=True, slots=True, order=True)
class Release:
    """One version of a model, chosen to be delivered: `magika@7`."""

    model: str
    version: int

    def __post_init__(self) -> None:
        """Refuse a name or number that no release can have."""
        check_model(self.model)
        if not 1 <= self.version <= VERSION_MAX:
            raise MalformedError(
                f"a release's version must lie in 1..{VERSION_MAX}, not {self.version}"
            )

    def __str__(self) -> str:
        """Write the release as people do."""
        return f"{self.model}@{self.version}"


def parse_release(text: str) -> Release:
    """Read a release as people write it, `magika@7`.

    Raises:
        MalformedError: It is written in any other way.
    """
    match = _RELEASE.fullmatch(text)
    if match is None:
        raise MalformedError(
            f"a release is written as model@version, for example magika@7, "
            f"not {text[:80]!r}"
        )
    return Release(match.group(1), int(match.group(2)))


def check_model(name: str) -> str:
    """Return `name` when a model may be called so."""
    return _check(name, MODEL, "model")


def check_variant(name: str) -> str:
    """Return `name` when a variant may be called so."""
    return _check(name, VARIANT, "variant")


def check_device(name: str) -> str:
    """Return `name` when a device may be called so."""
    return _check(name, DEVICE, "device")


def check_ring(ring: int) -> int:
    """Return `ring` when it is a ring's number."""
    if not 0 <= ring <= RING_MAX:
        raise MalformedError(f"a ring must lie in 0..{RING_MAX}, not {ring}")
    return ring


def _check(name: str, pattern: str, what: str) -> str:
    if re.fullmatch(pattern, name) is None:
        raise MalformedError(f"a {what}'s name must match {pattern}, not {name[:80]!r}")
    return name
