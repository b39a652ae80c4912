"""Which messages a subscription's filter lets pass."""

import pytest

from local_cloud.pubsub.errors import InvalidArgumentError
from local_cloud.pubsub.filters import parse_filter

RELEASE = {"kind": "release", "model": "magika"}


@pytest.mark.parametrize(
    ("text", "attributes", "passes"),
    [
        ("", {}, True),
        ("attributes:kind", RELEASE, True),
        ("attributes:ring", RELEASE, False),
        ('attributes.kind = "release"', RELEASE, True),
        ('attributes.kind="other"', RELEASE, False),
        ('attributes.kind = "Release"', RELEASE, False),
        ('attributes.kind != "other"', RELEASE, True),
        ('attributes.kind != "release"', RELEASE, False),
        ('attributes.ring != "0"', RELEASE, True),
        ('hasPrefix(attributes.model, "mag")', RELEASE, True),
        ('hasPrefix(attributes.model, "gam")', RELEASE, False),
        ('hasPrefix(attributes.ring, "")', RELEASE, False),
        ("NOT attributes:ring", RELEASE, True),
        ("-attributes:kind", RELEASE, False),
        ('attributes:kind AND attributes.model = "magika"', RELEASE, True),
        ("attributes:kind AND attributes:ring", RELEASE, False),
        ("attributes:ring OR attributes:model OR attributes:x", RELEASE, True),
        ("attributes:ring OR (attributes:kind AND NOT attributes:x)", RELEASE, True),
        ("NOT (attributes:ring OR attributes:kind)", RELEASE, False),
        ('attributes."a.b/c" = "1"', {"a.b/c": "1"}, True),
        ('attributes:"a.b/c"', {"a.b/c": "1"}, True),
        (r'attributes.q = "say \"hi\" \u00e4"', {"q": 'say "hi" ä'}, True),
        ("attributes:with-hyphen_1", {"with-hyphen_1": ""}, True),
    ],
)
def test_a_filter_lets_pass_what_its_words_say(text, attributes, passes):
    assert parse_filter(text)(attributes) is passes


@pytest.mark.parametrize(
    "text",
    [
        "kind",
        "attributes",
        "attributes.kind",
        "attributes.kind = release",
        'attributes.kind > "a"',
        'attributes.kind = "a" AND',
        'attributes.kind = "a" attributes:b',
        "attributes:a AND attributes:b OR attributes:c",
        "(attributes:a",
        "attributes:a)",
        "NOT NOT attributes:a",
        "attributes:a end",
        "attributes:a and attributes:b",
        'hasSuffix(attributes.a, "b")',
        'hasPrefix(attributes:a, "b")',
        'data = "x"',
        'attributes.kind = "open',
        r'attributes.kind = "\q"',
        "attributes:ä",
        " AND ".join(["attributes:abcdefghijklm"] * 10),
    ],
)
def test_what_is_no_filter_is_refused(text):
    with pytest.raises(InvalidArgumentError):
        parse_filter(text)


def test_a_refusal_says_what_was_expected_and_what_came():
    with pytest.raises(InvalidArgumentError, match=r"expected = or !=, got '\.'"):
        parse_filter('attributes.kind . "a"')
