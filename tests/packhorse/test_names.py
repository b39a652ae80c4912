"""Names of releases, models, variants, devices and rings."""

import pytest

from packhorse.errors import MalformedError
from packhorse.names import (
    Release,
    check_device,
    check_model,
    check_ring,
    check_variant,
    parse_release,
)


def test_a_release_reads_back_as_it_is_written():
    assert parse_release(str(Release("magika", 7))) == Release("magika", 7)


@pytest.mark.parametrize(
    "text",
    [
        "magika",
        "magika@0",
        "magika@07",
        "magika@-1",
        "Magika@1",
        "a@1\n",
        "@1",
        "a@1e3",
        "a@1234567890",
        "../a@1",
        "a" * 64 + "@1",
    ],
)
def test_what_is_no_release_is_refused(text):
    with pytest.raises(MalformedError, match="magika@7"):
        parse_release(text)


def test_a_release_cannot_exist_with_a_wrong_version():
    with pytest.raises(MalformedError, match="version"):
        Release("magika", 0)


@pytest.mark.parametrize("check", [check_model, check_variant, check_device])
@pytest.mark.parametrize("name", ["", "-a", "A", "a/b", "a" * 65, "a\n", "ä"])
def test_improper_names_are_refused(check, name):
    with pytest.raises(MalformedError, match="must match"):
        check(name)


def test_proper_names_pass():
    assert check_model("m-1") == "m-1"
    assert check_variant("int8-arm64") == "int8-arm64"
    assert check_device("0gw") == "0gw"
    assert check_ring(99) == 99


@pytest.mark.parametrize("ring", [-1, 100])
def test_rings_end_at_99(ring):
    with pytest.raises(MalformedError, match="ring"):
        check_ring(ring)
