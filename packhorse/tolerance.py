"""How far an output may lie from another one, and on which kind of processor.

Processors round differently, most of all with integers of eight bits: a tolerance
may say other numbers for an architecture, and how close two classes must be
before it does not matter which of them wins.

Source: docs/protocol.md, 2 "The manifest"
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from packhorse.errors import MalformedError
from packhorse.strict_json import Fields

ARCHITECTURE = r"[A-Za-z0-9_]{1,32}"
"""As `platform.machine()` names it."""

ARCHITECTURES = ("x86_64", "aarch64")
"""Those that gateways run on; a name that is none of these would never apply."""

ARCHITECTURES_MAX = 8


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far an output may lie from its golden value.

    A value agrees when it differs by at most `absolute + relative * |golden|`.

    Attributes:
        argmax_margin: Besides, on the last axis the same element must be the
            greatest, unless the golden values of both lie no further apart than
            this; None where it does not matter which one is.
        architectures: What holds instead, by the name of an architecture.
    """

    absolute: float
    relative: float
    argmax_margin: float | None = None
    architectures: Mapping[str, "Tolerance"] = field(
        default_factory=lambda: MappingProxyType({})
    )

    def __post_init__(self) -> None:
        """Refuse numbers that are no distance, and architectures within one."""
        margin = 0.0 if self.argmax_margin is None else self.argmax_margin
        numbers = (self.absolute, self.relative, margin)
        if not all(0.0 <= number < math.inf for number in numbers):
            raise MalformedError(f"a tolerance has numbers from 0 on, not {numbers}")
        if any(other.architectures for other in self.architectures.values()):
            raise MalformedError("an architecture's tolerance names no architectures")

    def on(self, architecture: str) -> "Tolerance":
        """Return what holds on an architecture."""
        return self.architectures.get(architecture, self)


DEFAULT_TOLERANCE = Tolerance(absolute=1e-4, relative=1e-3)
"""Room for what processors and versions of ONNX Runtime differ by in fp32."""


def tolerances_on(
    architecture: str, tolerances: Mapping[str, Tolerance]
) -> dict[str, Tolerance]:
    """Return what holds on an architecture, by output."""
    return {name: one.on(architecture) for name, one in tolerances.items()}


def encode_tolerances(tolerances: Mapping[str, Tolerance]) -> dict[str, object]:
    """Return tolerances by output name, as JSON has them."""
    return {name: _encode(one) for name, one in tolerances.items()}


def decode_tolerances(value: Mapping[str, object]) -> dict[str, Tolerance]:
    """Read tolerances by output name.

    Raises:
        MalformedError: One of them is none.
    """
    return {
        name: _decode(entry, f"the tolerance of {name[:80]!r}")
        for name, entry in value.items()
    }


def _encode(tolerance: Tolerance) -> dict[str, object]:
    """Write what is said and no more, so that those of old look as they did."""
    found: dict[str, object] = {
        "absolute": tolerance.absolute,
        "relative": tolerance.relative,
    }
    if tolerance.argmax_margin is not None:
        found["argmax_margin"] = tolerance.argmax_margin
    if tolerance.architectures:
        found["architectures"] = encode_tolerances(tolerance.architectures)
    return found


def _decode(value: object, what: str) -> Tolerance:
    fields = Fields(value, what)
    tolerance = Tolerance(
        absolute=fields.number("absolute"),
        relative=fields.number("relative"),
        argmax_margin=fields.number("argmax_margin")
        if "argmax_margin" in fields
        else None,
        architectures=_decode_architectures(fields, what),
    )
    fields.done()
    return tolerance


def _decode_architectures(fields: Fields, what: str) -> dict[str, Tolerance]:
    if "architectures" not in fields:
        return {}
    listed = fields.mapping("architectures", max_items=ARCHITECTURES_MAX)
    names = Fields({name: name for name in listed}, what)
    return {
        names.text(name, pattern=ARCHITECTURE): _decode(entry, f"{what} on {name[:32]}")
        for name, entry in listed.items()
    }
