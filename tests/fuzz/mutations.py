"""Ways to spoil a request: its JSON, its bytes, its headers, its frame."""

from dataclasses import replace

from tests.fuzz import odd_bytes, odd_documents, odd_heads, odd_wires
from tests.fuzz.exchange import Case

_WAYS = (*odd_documents.WAYS, *odd_bytes.WAYS, *odd_heads.WAYS)


def spoil(random, made):
    """Spoil a draft in one way or some; the frame stays right."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        random.choice(_WAYS)(random, made)
    made.is_spoilt = True


def spoil_wire(random, sent):
    """Return a case of bytes that are wrong as HTTP, or may be."""
    # Where a request begins is unknown then, and so is which answer has no body.
    sent = [replace(s, method=b"GET") if s.method == b"HEAD" else s for s in sent]
    wire = bytearray(b"".join(s.wire() for s in sent))
    for _ in range(random.choice((1, 1, 2, 4))):
        wire = random.choice(odd_wires.WAYS)(random, wire)
    return Case(requests=tuple(sent), wild=bytes(wire), cuts=cuts(random))


def cuts(random):
    """Return places to cut what is sent."""
    count = random.choice((0, 0, 0, 1, 2, 8))
    return tuple(random.getrandbits(24) for _ in range(count))
