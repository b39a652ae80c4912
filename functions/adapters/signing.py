"""Sign metadata with keys that are named by URI.

`file2:/keys/snapshot.pem` is a key file, `gcpkms:projects/...` a key in Cloud
KMS: which it is, is a setting. The public key comes from whoever delegates to
the role, never from the setting, so that a wrong key signs nothing.

Source: securesystemslib, "Signer API"; TUF specification 1.0.31, 4.2
"""

from collections.abc import Iterator
from typing import TypeVar

from securesystemslib.exceptions import (
    Error,
    KeyMismatchError,
    UnsupportedLibraryError,
    UnverifiedSignatureError,
)
from securesystemslib.signer import Key, Signature
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from functions.adapters.calls import upstream
from functions.errors import SettingsError
from packhorse.errors import MalformedError
from packhorse.signers import Signers

T = TypeVar("T", Root, Targets, Snapshot, Timestamp)


def sign(
    metadata: Metadata[T],
    role: str,
    delegator: Root | Targets,
    uri: str,
    signers: Signers,
) -> None:
    """Sign `metadata` as `role`, in place of every signature before.

    Args:
        metadata: Whatever it says is what is signed.
        role: The role that `delegator` knows.
        delegator: Says which public keys may sign for the role.
        uri: Names the private key.
        signers: Opens it.

    Raises:
        SettingsError: The key cannot be had, or is none of the role's.
        UpstreamUnavailableError: Cloud KMS does not answer now.
    """
    payload = metadata.signed_bytes
    for signature in _signatures(payload, uri, _keys(role, delegator), signers):
        metadata.signatures = {signature.keyid: signature}
        return
    raise SettingsError(f"the key named for the role {role} is none of the role's keys")


def _keys(role: str, delegator: Root | Targets) -> list[Key]:
    delegated = delegator.get_delegated_role(role)
    if delegated.threshold != 1:
        raise SettingsError(
            f"the role {role} wants {delegated.threshold} signatures; "
            "a function has one key for it"
        )
    return [delegator.get_key(keyid) for keyid in delegated.keyids]


def _signatures(
    payload: bytes, uri: str, keys: list[Key], signers: Signers
) -> Iterator[Signature]:
    """Yield a signature for each of the keys that is the private key's own."""
    for key in keys:
        try:
            with upstream("Cloud KMS"):
                signature = signers.open(uri, key).sign(payload)
            # A key in KMS finds out only now that it is another one.
            key.verify_signature(signature, payload)
        except (KeyMismatchError, UnverifiedSignatureError):
            continue
        except UnsupportedLibraryError as error:
            raise SettingsError(str(error)) from error
        except (Error, MalformedError, OSError, ValueError) as error:
            scheme = uri.partition(":")[0]
            raise SettingsError(
                f"a signing key of the scheme {scheme!r} cannot be used: "
                f"{type(error).__name__}"
            ) from error
        yield signature
