"""A gateway as the cloud sees it: a name, a key, and what it signs."""

import itertools
from datetime import UTC, datetime

from packhorse import device_key
from packhorse.device_requests import (
    TokenRequest,
    seal_rotation,
    seal_token_request,
)
from packhorse.names import Release
from packhorse.report import DeviceState, Report, encode_report, seal
from packhorse.strict_json import encode_json


class Gateway:
    def __init__(self, name="gateway-1"):
        self.name = name
        self.private_key = device_key.generate_key_pem()
        self.public_key = device_key.public_pem(self.private_key)
        self._sequence = itertools.count(1)

    def seal(self, payload, purpose="report"):
        return seal(payload, device=self.name, sign=self.sign, purpose=purpose)

    def report(self, state=DeviceState.SERVING, **changes):
        fields = {
            "device": self.name,
            "sequence": next(self._sequence),
            "at": datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
            "release": Release("magika", 2),
            "rollout_id": "magika-2-1",
            "state": state,
        }
        return self.seal(encode_report(Report(**{**fields, **changes})))

    def enrolment(self, token):
        payload = encode_json({"token": token, "public_key": self.public_key})
        return self.seal(payload, purpose="enroll")

    def rotation(self, before):
        """Ask for this gateway's key in the place of that of `before`."""
        return seal_rotation(
            self.public_key, device=self.name, sign=self.sign, before=before.sign
        )

    def token_request(self, model="magika", at=None):
        request = TokenRequest(model, at or datetime.now(UTC))
        return seal_token_request(request, device=self.name, sign=self.sign)

    def sign(self, message):
        return device_key.sign(self.private_key, message)
