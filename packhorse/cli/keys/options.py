"""Options that the commands for keys share: where Cloud KMS is, which key is whose."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from cryptography.exceptions import UnsupportedAlgorithm
from securesystemslib.exceptions import Error as SignerError

from packhorse.cli.failure import CommandError
from packhorse.cli.options import Command
from packhorse.signers import KMS_ENDPOINT, Signers, kms_errors

FOLDER = click.Path(file_okay=False, path_type=Path)
OLD_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
OLD_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_PAIR = re.compile(r"([a-z][a-z0-9-]{0,80})=(\S.{0,1000})")


def signers_option(command: Command) -> Command:
    """Give a command `signers`, which open keys where this operator's settings say."""
    return click.option(
        "--kms-endpoint",
        "signers",
        default=KMS_ENDPOINT,
        envvar="PACKHORSE_KMS_ENDPOINT",
        show_envvar=True,
        callback=lambda _context, _parameter, value: Signers(value),
        metavar="URL",
        help="Where Cloud KMS answers, for gcpkms: keys.",
    )(command)


def pairs_option(
    *names: str,
    metavar: str,
    help: str,  # noqa: A002 - click's own word
) -> Callable[[Command], Command]:
    """Give a command an option that may be repeated, each time NAME=VALUE."""
    return click.option(
        *names, multiple=True, callback=_read_pairs, metavar=metavar, help=help
    )


def by_role(pairs: Sequence[tuple[str, str]]) -> Mapping[str, list[str]]:
    """Gather what was said of each role."""
    found: dict[str, list[str]] = {}
    for role, value in pairs:
        found.setdefault(role, []).append(value)
    return found


def read_thresholds(pairs: Sequence[tuple[str, str]]) -> Mapping[str, int]:
    """Return how many must agree, by role.

    Raises:
        CommandError: A value is no number.
    """
    for role, value in pairs:
        if not re.fullmatch(r"[1-9][0-9]{0,2}", value):
            raise CommandError(
                f"--threshold {role}={value} must end in a number from 1"
            )
    return {role: int(value) for role, value in pairs}


def check_private_uri(uri: str, what: str) -> None:
    """Refuse what is no URI of a private key.

    Raises:
        CommandError: It is none.
    """
    if not is_private_uri(uri):
        raise CommandError(
            f"{what} must be a file2: or gcpkms: URI, for example file2:anna.pem, "
            f"not {uri}"
        )


def is_private_uri(uri: str) -> bool:
    """Say whether a URI names a private key; else it is a public key's file."""
    return uri.startswith(("file2:", "gcpkms:"))


@contextmanager
def key_failures(uri: str) -> Iterator[None]:
    """Say in a sentence why a key cannot be had.

    Raises:
        CommandError: In place of what was raised.
    """
    try:
        yield
    except kms_errors() as error:
        code = getattr(error, "code", None)
        said = f" ({int(code)})" if isinstance(code, int) else ""
        raise CommandError(
            f"Cloud KMS did not do its part for {uri}{said}: is the key enabled, and "
            "may you use it (roles/cloudkms.signerVerifier)?"
        ) from error
    except (SignerError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CommandError(f"{uri} cannot be used: {error}") from error


def _read_pairs(
    _context: click.Context, _parameter: click.Parameter, values: Sequence[str]
) -> Sequence[tuple[str, str]]:
    matches = [(value, _PAIR.fullmatch(value)) for value in values]
    for value, match in matches:
        if match is None:
            raise click.BadParameter(f"expected ROLE=VALUE, {value!r} came")
    return [(m[1], m[2]) for _, m in matches if m is not None]
