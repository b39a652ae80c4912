"""Cloud KMS's stand-in as a process, and what a test asks of it."""

import subprocess
import sys

from google.auth.credentials import AnonymousCredentials
from google.cloud import kms

RING = "projects/demo/locations/europe-west4/keyRings/tuf"
_P256 = kms.CryptoKeyVersion.CryptoKeyVersionAlgorithm.EC_SIGN_P256_SHA256


class KmsStandIn:
    """`local_cloud.kms` on a port that it chose itself, driven by Google's client."""

    def __init__(self, folder):
        self._folder = folder
        self._port = 0
        self.start()
        location = RING.partition("/keyRings/")[0]
        self.client.create_key_ring(
            request={"parent": location, "key_ring_id": "tuf", "key_ring": {}}
        )

    def start(self):
        words = ["--port", str(self._port), "--data", str(self._folder)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local_cloud.kms", *words],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = self.process.stdout.readline().split()[-1]
        self._port = int(self.url.rpartition(":")[2])
        self.client = kms.KeyManagementServiceClient(
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": self.url},
            transport="rest",
        )

    def kill(self):
        self.client.transport.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        self.kill()

    def make_key(self, name):
        """Make a P-256 key; return the name of its first version."""
        key = {
            "purpose": kms.CryptoKey.CryptoKeyPurpose.ASYMMETRIC_SIGN,
            "version_template": {"algorithm": _P256},
        }
        request = {"parent": RING, "crypto_key_id": name, "crypto_key": key}
        made = self.client.create_crypto_key(request=request)
        return f"{made.name}/cryptoKeyVersions/1"

    def make_uri(self, name):
        return f"gcpkms:{self.make_key(name)}"

    def disable(self, version):
        disabled = kms.CryptoKeyVersion.CryptoKeyVersionState.DISABLED
        return self.client.update_crypto_key_version(
            request={
                "crypto_key_version": {"name": version, "state": disabled},
                "update_mask": "state",
            }
        )
