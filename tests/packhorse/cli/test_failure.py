"""Whatever goes wrong ends in one sentence."""

import click
import pytest
import requests

from packhorse.cli.failure import CommandError, plain_failures, sentence
from packhorse.errors import MalformedError

URL = "https://me:secret@host.example:8443/path?token=secret"
REQUEST = requests.Request("GET", URL).prepare()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (requests.ReadTimeout, "https://host.example:8443 gave no answer in time"),
        (requests.exceptions.SSLError, "no certificate that this machine trusts"),
        (requests.exceptions.ProxyError, "the proxy on the way to https://host"),
        (requests.ConnectionError, "https://host.example:8443 could not be reached"),
        (requests.TooManyRedirects, "gave no usable answer"),
        (requests.exceptions.InvalidHeader, "characters that no token has"),
    ],
)
def test_a_fault_of_the_network_names_the_server_and_no_secret(error, said):
    found = sentence(error(request=REQUEST))
    assert said in found
    assert "secret" not in found


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MalformedError("a sentence"), "a sentence"),
        (OSError(28, "No space left on device", "/a"), "/a: No space left on device"),
        (OSError("strange"), "strange"),
        (MemoryError(), "this machine has too little memory for that"),
        (KeyError("x"), "packhorse itself failed (KeyError: 'x')"),
        (requests.ConnectionError(), "the server could not be reached"),
    ],
)
def test_a_fault_on_this_machine_is_said(error, said):
    assert sentence(error).startswith(said)


def test_an_error_becomes_one_that_click_shows_on_one_line():
    with pytest.raises(CommandError) as raised, plain_failures():
        raise MalformedError("two\nlines \x1b[31m")
    assert raised.value.format_message() == r"two lines \x1b[31m"
    assert raised.value.exit_code == 1


@pytest.mark.parametrize(
    "error", [BrokenPipeError(), click.Abort(), click.UsageError("x")]
)
def test_what_click_knows_what_to_do_with_is_left_to_it(error):
    with pytest.raises(type(error)), plain_failures():
        raise error


def test_ctrl_c_is_said():
    with pytest.raises(CommandError, match="interrupted"), plain_failures():
        raise KeyboardInterrupt


def test_only_debug_shows_where_it_failed(person, files):
    words = ["push", files.model(), "--name", "m", "--golden", files.golden()]
    _, plain = person.start(*words).communicate(timeout=20)
    _, debugged = person.start("--debug", *words).communicate(timeout=20)
    assert "Traceback" not in plain
    assert "Traceback" in debugged
