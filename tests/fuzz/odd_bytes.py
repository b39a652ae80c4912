"""Ways to spoil bytes, whatever they mean."""

from tests.fuzz.json_text import write

BYTES = (
    b"\0",
    b"\xff",
    b"\xfe\xff",
    b"\xef\xbb\xbf",
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b"\\",
    b",",
    b":",
    b"\n",
    b"\r\n\r\n",
    b"NaN",
    b"\\ud800",
    b"\xed\xa0\x80",
    b"1e999",
    b"-",
    b"\x80",
    b"\x1f\x8b",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x80",
)


def spoil_bytes(random, body):
    """Return bytes with some changed, added or taken away."""
    body = bytearray(body)
    for _ in range(random.choice((1, 1, 2, 5))):
        at = random.randrange(len(body) + 1)
        many = min(random.choice((1, 1, 2, 4, 50)), len(body) - at)
        way = random.randrange(6)
        if way == 0 and body:
            body[at % len(body)] ^= 1 << random.randrange(8)
        elif way == 1:
            body[at:at] = random.choice(BYTES)
        elif way == 2:
            del body[at : at + many]
        elif way == 3:
            body[at:at] = body[at : at + many] * random.choice((1, 3, 200))
        elif way == 4:
            body[at : at + many] = random.randbytes(many)
        else:
            del body[at:]
    return bytes(body)


def _spoil_text(random, made):
    text = made.text if made.text is not None else write(made.document, random)
    made.text = spoil_bytes(random, text)


def _spoil_tail(random, made):
    made.tail = spoil_bytes(random, made.tail)
    made.has_length = random.random() < 0.9


def _spoil_coded(random, made):
    seed = random.getrandbits(32)
    made.coding = made.coding or random.choice(("", "gzip", "deflate", "raw"))
    made.spoil_coded = lambda body: spoil_bytes(type(random)(seed), body)


WAYS = (_spoil_text, _spoil_text, _spoil_tail, _spoil_coded)
