"""`packhorse keys make` and `public`: one key, and the half of it that may travel."""

from pathlib import Path

import click
from securesystemslib.signer import CryptoSigner, Key

from packhorse.cli import output
from packhorse.cli.keys.files import check_is_free, write_new
from packhorse.cli.keys.options import (
    FILE,
    check_private_uri,
    key_failures,
    signers_option,
)
from packhorse.cli.options import examples
from packhorse.signers import Signers, key_name, name_key, public_pem


@click.command(epilog=examples("packhorse keys make anna.pem"))
@click.argument("file", type=FILE)
@output.json_option
def make(*, file: Path, as_json: bool) -> None:
    """Make a private key in FILE, and its public half beside it, in FILE.pub.

    FILE stays on this machine, readable by you alone; FILE.pub goes to whoever
    prepares the metadata.
    """
    public = file.with_name(f"{file.name}.pub")
    check_is_free(public)
    key = make_key_file(file)
    write_new(public, public_pem(key))
    _show(key, file, public, as_json=as_json)


@click.command(
    epilog=examples(
        "packhorse keys public gcpkms:projects/P/locations/L/keyRings/R/cryptoKeys/"
        "timestamp/cryptoKeyVersions/2 --out timestamp-2.pub"
    )
)
@click.argument("key")
@click.option("--out", type=FILE, required=True, help="The file to write.")
@signers_option
@output.json_option
def public(*, key: str, out: Path, signers: Signers, as_json: bool) -> None:
    """Write the public half of KEY, a file2: or gcpkms: URI, to a file.

    For keyholders whose machine reaches neither the key nor the network.
    """
    check_private_uri(key, "KEY")
    with key_failures(key):
        found = signers.public_key(key)
    write_new(out, public_pem(found))
    _show(found, key, out, as_json=as_json)


def make_key_file(path: Path) -> Key:
    """Write a new private key; return its public half, called after the file."""
    signer = CryptoSigner.generate_ecdsa()
    name_key(signer.public_key, path.name.removesuffix(".pem"))
    write_new(path, signer.private_bytes, is_secret=True)
    return signer.public_key


def _show(key: Key, private: object, public: Path, *, as_json: bool) -> None:
    output.show(
        {"key": key.keyid, "name": key_name(key), "public": str(public)},
        f"{key_name(key)}: the private half is {private}, the public half in {public}",
        f"  {key.keyid}",
        as_json=as_json,
    )
