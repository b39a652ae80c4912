"""python-tuf's client with our limits, our clock, and each key counted once.

Neither the time by which it judges, nor the roles that it used, nor the place where
a key could be counted have a public name there; what is not public of it is used in
this module alone, and `tests/edge_runtime/agent/test_tuf_attacks.py` holds it.
"""

import contextlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Key, Role, Root, Signed, TargetFile, Targets, Timestamp
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet

from packhorse.trust_root import METADATA_MAX_BYTES

ROOT_MAX_BYTES = 512_000
TIMESTAMP_MAX_BYTES = 16_384

_CONFIG = UpdaterConfig(
    root_max_length=ROOT_MAX_BYTES,
    timestamp_max_length=TIMESTAMP_MAX_BYTES,
    snapshot_max_length=METADATA_MAX_BYTES,
    targets_max_length=METADATA_MAX_BYTES,
    app_user_agent="packhorse",
)


class StrictUpdater(Updater):
    """One look at a repository; it writes into the folder that it is given."""

    def __init__(
        self,
        metadata_dir: str,
        metadata_base_url: str,
        fetcher: FetcherInterface,
        *,
        root: bytes,
        now: datetime,
    ) -> None:
        """Begin with `root`, and judge every expiry by `now`."""
        super().__init__(
            metadata_dir,
            metadata_base_url,
            fetcher=fetcher,
            config=_CONFIG,
            bootstrap=root,
        )
        self._trusted_set = _UniqueKeys(root, _CONFIG.envelope_type)
        self._trusted_set.reference_time = now

    def refresh(self) -> None:
        """Look at the top-level roles."""
        with _readable():
            super().refresh()

    def get_targetinfo(self, target_path: str) -> TargetFile | None:
        """Return what the roles say of a target, None when nothing."""
        with _readable():
            return super().get_targetinfo(target_path)

    @property
    def root(self) -> Root:
        """The root that was reached."""
        return self._trusted_set.root

    @property
    def timestamp(self) -> Timestamp:
        """The timestamp that was verified."""
        return self._trusted_set.timestamp

    @property
    def valid_until(self) -> datetime:
        """When the first of the roles expires that were used until now."""
        expiries: list[datetime] = [role.expires for role in self._trusted_set]
        return min(expiries)


class _UniqueKeys(TrustedMetadataSet):
    """Verified metadata in which no key stands under two names for one role.

    A threshold counts keys, and python-tuf counts names.

    Source: The Update Framework, 1.0.34, 5.3.4 and TAP 12
    """

    def _add(self, role: str, signed: Signed, delegator: str) -> None:
        if isinstance(signed, Root):
            _count_once(signed.roles.values(), signed.keys)
        elif isinstance(signed, Targets) and signed.delegations is not None:
            delegations = signed.delegations
            roles = [*(delegations.roles or {}).values()]
            bins = delegations.succinct_roles
            _count_once([*roles, *([bins] if bins else [])], delegations.keys)
        super()._add(role, signed, delegator)


@contextmanager
def _readable() -> Iterator[None]:
    """Refuse what python-tuf stumbles over: a key, a name of another type.

    Raises:
        RepositoryError: In place of what was raised.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        kind = type(error).__name__
        raise RepositoryError(f"its metadata cannot be read ({kind})") from error


def _count_once(roles: Iterable[Role], keys: dict[str, Key]) -> None:
    """Leave each role one name for each key."""
    for role in roles:
        named = {_content(keys, keyid): keyid for keyid in reversed(role.keyids)}
        role.keyids = [keyid for keyid in role.keyids if keyid in named.values()]


def _content(keys: dict[str, Key], keyid: str) -> bytes:
    """Return what a key is, however it is written down and for whatever scheme."""
    key = keys.get(keyid)
    public = str(key.keyval.get("public")) if key else keyid
    with contextlib.suppress(ValueError, UnsupportedAlgorithm):
        if "PUBLIC KEY" not in public:
            return bytes.fromhex(public)
        return load_pem_public_key(public.encode()).public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
    return public.encode()
