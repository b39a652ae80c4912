"""JSON from strangers is refused with what was expected and what came."""

import pytest

from packhorse.errors import LimitExceededError, MalformedError
from packhorse.strict_json import DEPTH_MAX, Fields, decode_json, encode_json


def decode(body, limit_bytes=100_000):
    return decode_json(body, what="test", limit_bytes=limit_bytes)


def test_what_is_written_reads_back_the_same():
    value = {"b": [1, 2.5, None, True], "a": {"ü": "\n"}}
    assert decode(encode_json(value)) == value


def test_the_same_value_is_always_written_alike():
    assert encode_json({"b": 1, "a": 2}) == encode_json({"a": 2, "b": 1})


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b'{"a":1,"a":2}', "twice"),
        (b"[NaN]", "NaN"),
        (b"[-Infinity]", "Infinity"),
        (b"{", "JSON"),
        (b"", "JSON"),
        (b"\xff", "UTF-8"),
        (b"9" * 5000, "too long"),
    ],
    ids=["key twice", "NaN", "infinity", "cut", "empty", "not UTF-8", "huge number"],
)
def test_what_is_no_strict_json_is_refused_with_a_sentence(body, word):
    with pytest.raises(MalformedError, match=word):
        decode(body)


def test_a_document_over_its_limit_is_refused_before_it_is_parsed():
    with pytest.raises(LimitExceededError, match="10 bytes"):
        decode(b"[" * 11, limit_bytes=10)


def test_depth_is_refused_before_the_parser_recurses():
    with pytest.raises(LimitExceededError, match="deep"):
        decode(b"[" * (DEPTH_MAX + 1))


def test_brackets_inside_text_are_no_depth():
    assert decode(b'["' + b"[" * 100 + b'"]') == ["[" * 100]


def test_quotes_without_end_take_no_longer_than_their_length():
    with pytest.raises(MalformedError):
        decode(b'"' + b'\\"' * 49_000)


@pytest.mark.parametrize(
    ("take", "value", "word"),
    [
        (lambda f: f.text("x"), 1, "text, not a number"),
        (lambda f: f.text("x"), "a" * 2000, "1024 characters"),
        (lambda f: f.text("x", pattern="b+"), "a", "must match"),
        (lambda f: f.integer("x"), True, "an integer, not true"),
        (lambda f: f.integer("x"), "1", "an integer, not text"),
        (lambda f: f.integer("x", high=3), 4, "0..3"),
        (lambda f: f.number("x"), None, "a number, not null"),
        (lambda f: f.number("x"), -1, "at least"),
        (lambda f: f.number("x"), 10**400, "too large"),
        (lambda f: f.boolean("x"), 0, "true or false"),
        (lambda f: f.mapping("x"), [], "an object, not a list"),
        (lambda f: f.mapping("x", max_items=0), {"a": 1}, "0 entries"),
        (lambda f: f.sequence("x"), {}, "a list, not an object"),
        (lambda f: f.take("y"), 1, "lacks the field 'y'"),
        (lambda f: f.done(), 1, "unknown field 'x'"),
    ],
)
def test_a_field_of_another_kind_is_refused_by_name(take, value, word):
    with pytest.raises(MalformedError, match=word):
        take(Fields({"x": value}, "the test"))


def test_fields_of_the_right_kind_are_taken():
    document = {"t": "a", "i": 1, "n": 2.5, "b": True, "m": {}, "s": [], "o": None}
    fields = Fields(document, "the test")
    assert "t" in fields
    taken = (fields.text("t"), fields.integer("i"), fields.number("n"))
    rest = (fields.boolean("b"), fields.mapping("m"), fields.sequence("s"))
    assert (*taken, *rest) == ("a", 1, 2.5, True, {}, [])
    assert fields.optional("o") is None
    fields.done()


def test_what_is_no_object_has_no_fields():
    with pytest.raises(MalformedError, match="an object, not text"):
        Fields("x", "the test")
