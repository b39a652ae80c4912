"""A bucket with a TUF repository that vouches for nothing yet, and its keys."""

import json
from datetime import UTC, datetime

from securesystemslib.signer import CryptoSigner

from packhorse.trust_root import RoleSigners, first_metadata


def sign_bucket(store, folder, setenv):
    """Upload the first metadata, write the keys, and set the settings for both."""
    signers = {
        name: CryptoSigner.generate_ecdsa()
        for name in ("targets", "snapshot", "timestamp", "rollouts", "release")
    }
    roots = [CryptoSigner.generate_ecdsa() for _ in range(3)]
    first = first_metadata(
        RoleSigners(
            root=roots,
            targets=[signers["targets"]],
            snapshot=signers["snapshot"],
            timestamp=signers["timestamp"],
            rollouts=signers["rollouts"],
            releases={"magika": signers["release"]},
        ),
        at=datetime.now(UTC),
    )
    for name, body in first.items():
        upload(store, f"metadata/{name}", body)
    uris = {name: _save(folder / f"{name}.pem", s) for name, s in signers.items()}
    setenv("RELEASE_KEY_URIS", json.dumps({"magika": uris["release"]}))
    for role in ("rollouts", "snapshot", "timestamp"):
        setenv(f"{role.upper()}_KEY_URI", uris[role])


def upload(store, name, body):
    store.write_once(
        name,
        body,
        length_bytes=len(body),
        content_type="application/octet-stream",
        cache_control="no-cache",
    )


def _save(path, signer):
    path.write_bytes(signer.private_bytes)
    return f"file2:{path}"
