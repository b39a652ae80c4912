"""Change a device's key, and die at one durable step of it.

    python -m tests.edge_runtime.agent.killed_rotation STATE_DIR REGISTER STEP

REGISTER is a file with the public key that the cloud knows; a rotation that the
cloud would take is written there. Exit code 9 is the death; 0 means that there were
fewer steps.
"""

import os
import sys
from pathlib import Path

from edge_runtime.agent.identity.enroll import Identity
from edge_runtime.agent.identity.rotation import Rotation
from edge_runtime.durable import EVENT
from packhorse.device_requests import check_voucher, decode_enrolment
from packhorse.report import open_envelope

DIED = 9


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


def die_at(step):
    seen = 0

    def hook(event, _arguments):
        nonlocal seen
        if event == EVENT:
            seen += 1
            if seen == step:
                os._exit(DIED)

    sys.addaudithook(hook)


def main():
    state_dir, register, step = sys.argv[1:]
    die_at(int(step))
    identity = Identity(Path(state_dir), "gateway-1")
    Rotation(identity, Line(Path(register)), "").carry_on()


if __name__ == "__main__":
    main()
