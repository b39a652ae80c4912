"""The smallest model that needs what a bundle says that it needs.

No table of ONNX Runtime's versions is kept: whether this gateway's runtime takes
a version of the representation and of the operator sets is asked of the runtime
itself, with a model of one node that copies its input. So a bundle that is too
new is refused before the inactive slot is emptied for it.

Source: onnx/onnx.proto; Protocol Buffers, "Encoding"
"""

from collections.abc import Mapping

_VARINT, _BYTES = 0, 2
_FLOAT = 1
_DEFAULT_OPSET = 13


def probe_model(ir_version: int, opsets: Mapping[str, int]) -> bytes:
    """Return an ONNX model that needs this IR version and these operator sets."""
    named = {"": _DEFAULT_OPSET, **opsets}
    imports = [
        _field(8, _field(1, domain.encode()) + _field(2, version))
        for domain, version in named.items()
    ]
    return _field(1, ir_version) + _field(7, _graph()) + b"".join(imports)


def _graph() -> bytes:
    node = _field(1, b"x") + _field(2, b"y") + _field(4, b"Identity")
    return (
        _field(1, node)
        + _field(2, b"probe")
        + _field(11, _value(b"x"))
        + _field(12, _value(b"y"))
    )


def _value(name: bytes) -> bytes:
    """Describe one float: a shape without axes, which is not the same as none."""
    tensor = _field(1, _FLOAT) + _field(2, b"")
    return _field(1, name) + _field(2, _field(1, tensor))


def _field(number: int, value: int | bytes) -> bytes:
    """Encode one field of a message."""
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
