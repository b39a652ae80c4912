"""Change a device's key, in a process that can be killed.

    python -m tests.edge_runtime.agent.killed_rotation STATE_DIR REGISTER

REGISTER is a file with the public key that the cloud knows; a rotation that the
cloud would take is written there.
"""

import sys
from pathlib import Path

from edge_runtime.agent.identity.enroll import Identity
from edge_runtime.agent.identity.rotation import Rotation
from packhorse.device_requests import check_voucher, decode_enrolment
from packhorse.report import open_envelope


class Line:
    """Takes the place of the network, and of the cloud behind it."""

    def __init__(self, register):
        self._register = register

    def post(self, _url, body):
        envelope = open_envelope(body)
        wanted = decode_enrolment(envelope.payload)
        known = self._register.read_text()
        if wanted.public_key != known:
            check_voucher(envelope.device, wanted, known)
            self._register.write_text(wanted.public_key)
        return 200, b"{}"


def main():
    state_dir, register = sys.argv[1:]
    identity = Identity(Path(state_dir), "gateway-1")
    Rotation(identity, Line(Path(register)), "").carry_on()


if __name__ == "__main__":
    main()
