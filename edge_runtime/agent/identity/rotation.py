"""Give this device another key: the cloud's record changes, then the file does.

    <state>/device.key          the key that signs
    <state>/device.key.wanted   somebody wishes another: the operator, or the cloud
    <state>/device.key.next     the key that shall sign

The new key is on the disk before the cloud hears of it. The request says the same
each time: the new key signs it, the old one vouches for it. So it is repeated until
the cloud has confirmed, whichever of the two the cloud knows by then, and only then
does the new key take the old one's place, in one step.

Only the agent's own thread makes keys: of two made at once, one would be lost.

Source: docs/adr/0016-a-device-changes-its-own-key.md
"""

import functools
from pathlib import Path

from edge_runtime import durable
from edge_runtime.agent.errors import AgentError, UnavailableError
from edge_runtime.agent.identity.enroll import KEY_MAX_BYTES, KEY_MODE, Identity
from edge_runtime.agent.network.web import Web, refusal
from edge_runtime.agent.pause import Pause
from edge_runtime.log import log
from packhorse.device_key import generate_key_pem, public_pem, sign
from packhorse.device_requests import seal_rotation
from packhorse.errors import MalformedError

_TAKEN = frozenset({200, 201})
_REFUSED = frozenset({403, 409})


def ask_for_key(state_dir: Path) -> str:
    """Have the agent change the key at its next look; return a sentence about it.

    Raises:
        AgentError: This gateway has no key yet, or one that cannot vouch for another.
    """
    identity = Identity(state_dir, device="")
    if not identity.key_file.exists():
        raise AgentError(
            "expected the key of this gateway, came none: its agent makes one"
        )
    if identity.trouble:
        raise AgentError(identity.trouble)
    identity.wish_for_rotation()
    return "the agent changes the key at its next look, and logs rotation_done"


class Rotation:
    """Changes of one device's key."""

    def __init__(self, identity: Identity, web: Web, url: str) -> None:
        """Tell the function enroll_device at `url` of `identity`'s new keys."""
        self._identity = identity
        self._web = web
        self._url = url
        self._pause = Pause()

    def carry_on(self) -> None:
        """Begin a change that is wished for, or finish one that was begun.

        What cannot be done now, for want of the cloud or of disk, is left to a later
        call; nothing else waits for it.
        """
        if not self._pause.is_over:
            return
        try:
            self._change()
            self._pause.end()
        except (UnavailableError, OSError) as error:
            log("rotation_failed", reason=str(error), wait_s=round(self._pause.begin()))

    def _change(self) -> None:
        following = self._read_next() or self._make_next()
        if following is not None:
            self._tell(following)
            durable.rename(self._identity.next_key_file, self._identity.key_file)
            log("rotation_done", device=self._identity.device)

    def _tell(self, following: bytes) -> None:
        """Let the cloud know the next key instead of the one of now.

        Raises:
            RefusedError: It knows neither, or has revoked this device.
            UnavailableError: It gave no usable answer, and may know either.
        """
        body = seal_rotation(
            public_pem(following),
            device=self._identity.device,
            sign=functools.partial(sign, following),
            before=self._identity.sign,
        )
        status, reply = self._web.post(self._url, body)
        if status in _REFUSED:
            raise refusal(reply, "a new key")
        if status not in _TAKEN:
            raise UnavailableError(f"the new key was answered with {status}")

    def _make_next(self) -> bytes | None:
        """Make the next key, if somebody wishes one."""
        identity = self._identity
        if not identity.wish_file.exists():
            return None
        pem = generate_key_pem()
        durable.write_file(identity.next_key_file, pem, mode=KEY_MODE)
        durable.unlink(identity.wish_file)
        log("rotation_begun", device=identity.device)
        return pem

    def _read_next(self) -> bytes | None:
        """Return the next key; one that nobody can use is thrown away."""
        path = self._identity.next_key_file
        try:
            with path.open("rb") as file:
                pem = file.read(KEY_MAX_BYTES)
            public_pem(pem)
        except FileNotFoundError:
            return None
        except MalformedError as error:
            log("rotation_begins_anew", reason=str(error))
            durable.unlink(path)
            return None
        return pem
