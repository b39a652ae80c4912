"""`packhorse keys sign` and `check`: one keyholder's signature, and who is missing."""

from datetime import UTC, datetime
from pathlib import Path

import click
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key

from packhorse.cli import output
from packhorse.cli.failure import CommandError
from packhorse.cli.keys.case import Case, check_is_new, open_case
from packhorse.cli.keys.faults import check_sound
from packhorse.cli.keys.files import read_metadata, replace
from packhorse.cli.keys.options import (
    OLD_FILE,
    OLD_FOLDER,
    check_private_uri,
    key_failures,
    signers_option,
)
from packhorse.cli.keys.words import asked
from packhorse.cli.options import Command, examples
from packhorse.signers import Signers, is_same_key, key_name

_INCOMPLETE = 1


def trusted_option(command: Command) -> Command:
    """Give a command the folder by which a file is judged."""
    return click.option(
        "--trusted",
        type=OLD_FOLDER,
        help="Your own copy of the repository's metadata, by which FILE is judged; "
        "else the folder of FILE. What travels with FILE may be forged with it.",
    )(command)


@click.command(
    epilog=examples(
        "packhorse keys sign stick/2.root.json --key file2:anna.pem --trusted metadata",
        "packhorse keys sign 3.targets.json --key gcpkms:projects/P/locations/L/"
        "keyRings/R/cryptoKeys/targets/cryptoKeyVersions/1",
    )
)
@click.argument("file", type=OLD_FILE)
@click.option("--key", "uri", required=True, help="Your key: a file2: or gcpkms: URI.")
@trusted_option
@signers_option
@output.json_option
def sign(
    *, file: Path, uri: str, trusted: Path | None, signers: Signers, as_json: bool
) -> None:
    """Add one signature to FILE, and say what was signed.

    FILE is metadata that `keys change` or `keys init` prepared. A key that nobody
    names for it signs nothing. Signing twice changes nothing.
    """
    check_private_uri(uri, "--key")
    case = _open(file, trusted)
    with key_failures(uri):
        own = signers.public_key(uri)
        for key in _named(case, own):
            _add_signature(case, signers, uri, key)
    replace(file, case.file.metadata.to_bytes())
    _show(case, as_json=as_json, signed_by=own)
    if trusted is None and case.before is not None:
        output.hint(
            f"It was judged by what lies beside it in {file.parent}, which may be "
            "forged with it; --trusted names your own copy of the metadata."
        )


@click.command(
    epilog=examples("packhorse keys check stick/2.root.json --trusted metadata")
)
@click.argument("file", type=OLD_FILE)
@trusted_option
@output.json_option
@click.pass_context
def check(
    context: click.Context, *, file: Path, trusted: Path | None, as_json: bool
) -> None:
    """Say what FILE changes, and who still has to sign it.

    The exit code is 1 while signatures are missing.
    """
    case = _open(file, trusted)
    _show(case, as_json=as_json)
    if not case.is_whole:
        context.exit(_INCOMPLETE)


def _open(path: Path, trusted: Path | None) -> Case:
    """Open a file that may be signed; refuse it where it would do harm."""
    file = read_metadata(path)
    check_sound(file, now=datetime.now(UTC))
    if trusted is not None:
        check_is_new(file, trusted)
    return open_case(file, trusted or path.parent)


def _named(case: Case, own: Key) -> list[Key]:
    """Return the key as those who name it for this file do."""
    quorums = case.quorums
    keys = [key for each in quorums for key in (*each.signed, *each.missing)]
    found = {key.keyid: key for key in keys if is_same_key(key, own)}
    if not found:
        known = ", ".join(dict.fromkeys(key_name(key) for key in keys))
        raise CommandError(
            f"{key_name(own)} may not sign {case.file.path.name}; the keys are {known}"
        )
    return list(found.values())


def _add_signature(case: Case, signers: Signers, uri: str, key: Key) -> None:
    payload = case.file.metadata.signed_bytes
    signature = signers.open(uri, key).sign(payload)
    try:
        key.verify_signature(signature, payload)
    except UnverifiedSignatureError as error:
        raise CommandError(f"{uri} signed, but not as {key_name(key)}") from error
    case.file.metadata.signatures[key.keyid] = signature


def _show(case: Case, *, as_json: bool, signed_by: Key | None = None) -> None:
    lines = [f"{case.file.title}:", *(f"  {line}" for line in case.changes())]
    if signed_by is not None:
        lines.append(f"signed by {key_name(signed_by)}")
    lines += [f"  {asked(each)}" for each in case.quorums]
    lines.append(_verdict(case))
    document = {**case.document(), "is_whole": case.is_whole}
    output.show(document, *lines, as_json=as_json)


def _verdict(case: Case) -> str:
    name = case.file.path.name
    if case.is_whole:
        return f"{name} has every signature that it needs: upload it to metadata/{name}"
    return f"{name} is worth nothing yet; send it to who is missing"
