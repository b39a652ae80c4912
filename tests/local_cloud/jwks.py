"""Published keys in the form that google-auth verifies with."""

import base64
import json
import urllib.request

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def public_keys(port):
    """Return the identity stand-in's public keys, by key id, in PEM."""
    url = f"http://127.0.0.1:{port}/certs"
    with urllib.request.urlopen(url, timeout=10) as reply:
        return {key["kid"]: _pem(key) for key in json.load(reply)["keys"]}


def _pem(key):
    numbers = rsa.RSAPublicNumbers(_number(key["e"]), _number(key["n"]))
    return numbers.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _number(text):
    return int.from_bytes(base64.urlsafe_b64decode(text + "=="), "big")
