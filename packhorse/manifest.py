"""What a bundle says about itself: what is in it, and whom it fits.

Source: docs/protocol.md, 2 "The manifest"
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from packhorse.errors import MalformedError
from packhorse.names import SHA256, VARIANT, Release, parse_release
from packhorse.shadow_limits import (
    NO_LIMITS,
    ShadowLimits,
    decode_shadow_limits,
    encode_shadow_limits,
)
from packhorse.strict_json import Fields, decode_json, encode_json
from packhorse.tolerance import Tolerance, decode_tolerances, encode_tolerances

MANIFEST_MAX_BYTES = 262_144
"""Room for a thousand tensors; a manifest of one model has about 1 kB."""

FORMATS = (1, 2)
"""The second says what no reader of the first knows: argmax margins, architectures
and limits of the shadow run. Where a bundle needs none, the first is written."""
MEMBER_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"
"""A plain file name that fits a ustar header: no path, no leading dot."""
MEMBERS_MAX = 64
MEMBER_MAX_BYTES = 8 * 1024**3 - 1
"""The largest length that a ustar header can hold."""
DIMENSIONS_MAX = 16
MODEL_FILE = "model.onnx"
GOLDEN_FILE = "golden.npz"
MANIFEST_FILE = "manifest.json"

DATATYPES = frozenset(
    {"BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32"}
    | {"INT64", "FP16", "BF16", "FP32", "FP64", "BYTES"}
)
"""Source: Open Inference Protocol, "Tensor Data Types"."""

ONNX_DATATYPES: Mapping[int, str] = MappingProxyType(
    {
        1: "FP32",
        2: "UINT8",
        3: "INT8",
        4: "UINT16",
        5: "INT16",
        6: "INT32",
        7: "INT64",
        8: "BYTES",
        9: "BOOL",
        10: "FP16",
        11: "FP64",
        12: "UINT32",
        13: "UINT64",
        16: "BF16",
    }
)
"""The protocol's word for ONNX's element types.

Source: ONNX, onnx.proto, TensorProto.DataType
"""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        shape: One entry an axis; -1 where any length fits.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse a tensor that no model can have."""
        if self.datatype not in DATATYPES:
            raise MalformedError(
                f"tensor {self.name[:80]!r}: the datatype must be one of "
                f"{', '.join(sorted(DATATYPES))}, not {self.datatype[:80]!r}"
            )
        if len(self.shape) > DIMENSIONS_MAX or any(axis < -1 for axis in self.shape):
            raise MalformedError(
                f"tensor {self.name[:80]!r}: the shape {self.shape!r} is none"
            )


@dataclass(frozen=True, slots=True)
class Member:
    """One file in a bundle."""

    name: str
    length_bytes: int
    sha256: str

    def __post_init__(self) -> None:
        """Refuse a name that is a path and a hash that is none."""
        if re.fullmatch(MEMBER_NAME, self.name) is None:
            raise MalformedError(
                f"a member's name must be a plain file name, not {self.name[:80]!r}"
            )
        if not 0 <= self.length_bytes <= MEMBER_MAX_BYTES:
            raise MalformedError(
                f"member {self.name!r} may have {MEMBER_MAX_BYTES} bytes, "
                f"it has {self.length_bytes}"
            )
        if re.fullmatch(SHA256, self.sha256) is None:
            raise MalformedError(f"member {self.name!r} has no SHA-256 in hex")


@dataclass(frozen=True, slots=True)
class RuntimeNeeds:
    """The ONNX Runtime that a bundle needs.

    Attributes:
        ir_version: ONNX intermediate representation, as the model declares it.
        opsets: Operator set version by domain; "" is ONNX's own.
        min_onnxruntime: First release of ONNX Runtime that runs it, "1.20.0".
        max_onnxruntime: Last one that does; None while none is known to fail.
    """

    ir_version: int
    opsets: Mapping[str, int]
    min_onnxruntime: str
    max_onnxruntime: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says about itself.

    Attributes:
        source_digest: Digest of the pushed manifest it was made from.
        members: Every file but the manifest, in the order they stand.
        kind: "model"; "runtime" is reserved for updates of the runtime itself.
        shadow: What the candidate must show on live requests.
    """

    release: Release
    variant: str
    source_digest: str
    members: tuple[Member, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    needs: RuntimeNeeds
    tolerances: Mapping[str, Tolerance] = field(
        default_factory=lambda: MappingProxyType({})
    )
    kind: str = "model"
    shadow: ShadowLimits = NO_LIMITS

    def __post_init__(self) -> None:
        """Refuse a bundle without a model, or with a file twice."""
        names = [member.name for member in self.members]
        if len(set(names)) != len(names) or MANIFEST_FILE in names:
            raise MalformedError("a manifest names each member once, itself never")
        if len(names) > MEMBERS_MAX:
            raise MalformedError(f"a bundle holds at most {MEMBERS_MAX} members")
        if MODEL_FILE not in names or GOLDEN_FILE not in names:
            raise MalformedError(
                f"a bundle holds {MODEL_FILE} and {GOLDEN_FILE}, this one {names}"
            )

    def member(self, name: str) -> Member:
        """Return the member called `name`."""
        for member in self.members:
            if member.name == name:
                return member
        raise MalformedError(f"the manifest names no member {name!r}")


def encode_manifest(manifest: Manifest) -> bytes:
    """Write the manifest as canonical JSON."""
    first, second = FORMATS
    limits = {"shadow": encode_shadow_limits(manifest.shadow)}
    return encode_json(
        {
            "format": second if _needs_second(manifest) else first,
            "kind": manifest.kind,
            "release": str(manifest.release),
            "variant": manifest.variant,
            "source_digest": manifest.source_digest,
            "members": [
                {"name": m.name, "length_bytes": m.length_bytes, "sha256": m.sha256}
                for m in manifest.members
            ],
            "inputs": [_encode_tensor(spec) for spec in manifest.inputs],
            "outputs": [_encode_tensor(spec) for spec in manifest.outputs],
            "needs": {
                "ir_version": manifest.needs.ir_version,
                "opsets": dict(manifest.needs.opsets),
                "min_onnxruntime": manifest.needs.min_onnxruntime,
                "max_onnxruntime": manifest.needs.max_onnxruntime,
            },
            "tolerances": encode_tolerances(manifest.tolerances),
            **(limits if manifest.shadow.can_refuse else {}),
        }
    )


def decode_manifest(body: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        LimitExceededError: It is longer than `MANIFEST_MAX_BYTES`.
        MalformedError: It is none, or describes a bundle that cannot be.
    """
    document = decode_json(body, what="manifest", limit_bytes=MANIFEST_MAX_BYTES)
    fields = Fields(document, "the manifest")
    fields.integer("format", low=FORMATS[0], high=FORMATS[-1])
    manifest = Manifest(
        kind=fields.text("kind", pattern="model|runtime"),
        release=parse_release(fields.text("release")),
        variant=fields.text("variant", pattern=VARIANT),
        source_digest=fields.text("source_digest", pattern=f"sha256:{SHA256}"),
        members=tuple(_decode_member(m) for m in fields.sequence("members")),
        inputs=tuple(_decode_tensor(t) for t in fields.sequence("inputs")),
        outputs=tuple(_decode_tensor(t) for t in fields.sequence("outputs")),
        needs=_decode_needs(fields.take("needs")),
        tolerances=decode_tolerances(fields.mapping("tolerances")),
        shadow=decode_shadow_limits(fields.optional("shadow")),
    )
    fields.done()
    return manifest


def _needs_second(manifest: Manifest) -> bool:
    """Say whether a reader of the first format could not read it."""
    return manifest.shadow.can_refuse or any(
        one.argmax_margin is not None or one.architectures
        for one in manifest.tolerances.values()
    )


def _encode_tensor(spec: TensorSpec) -> dict[str, object]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _decode_tensor(value: object) -> TensorSpec:
    fields = Fields(value, "a tensor of the manifest")
    name = fields.text("name", max_length=256)
    datatype = fields.text("datatype")
    shape = fields.sequence("shape", max_items=DIMENSIONS_MAX)
    fields.done()
    if not all(isinstance(axis, int) and not isinstance(axis, bool) for axis in shape):
        raise MalformedError(f"tensor {name!r}: a shape holds integers only")
    return TensorSpec(name, datatype, tuple(int(str(axis)) for axis in shape))


def _decode_member(value: object) -> Member:
    fields = Fields(value, "a member of the manifest")
    member = Member(
        name=fields.text("name"),
        length_bytes=fields.integer("length_bytes", high=MEMBER_MAX_BYTES),
        sha256=fields.text("sha256"),
    )
    fields.done()
    return member


def _decode_needs(value: object) -> RuntimeNeeds:
    fields = Fields(value, "the manifest's needs")
    version = r"[0-9]+\.[0-9]+\.[0-9]+"
    declared = fields.mapping("opsets", max_items=16)
    opsets = Fields(declared, "the manifest's opsets")
    needs = RuntimeNeeds(
        ir_version=fields.integer("ir_version", low=1, high=1000),
        opsets={name: opsets.integer(name, low=1, high=10_000) for name in declared},
        min_onnxruntime=fields.text("min_onnxruntime", pattern=version),
        max_onnxruntime=_optional_text(fields, "max_onnxruntime", version),
    )
    fields.done()
    return needs


def _optional_text(fields: Fields, name: str, pattern: str) -> str | None:
    value = fields.optional(name)
    if value is None:
        return None
    return Fields({name: value}, "the manifest's needs").text(name, pattern=pattern)
