"""Follow what keyholders decided: newer targets, other keys, other models.

A keyholder uploads `N.targets.json` and nothing more. It counts once the snapshot
names it, and that must not happen before every role that it delegates to has
metadata signed by the keys that it names: else gateways would refuse the role. A
function signs for the roles whose new key it holds; for the rest it waits, and the
targets before go on counting.

Source: docs/adr/0014-functions-follow-the-keyholders.md
"""

from datetime import datetime

from tuf.api.metadata import Metadata, MetaFile, Targets

from functions.adapters.tuf_reader import State, TufReader
from functions.adapters.tuf_writer import TufWriter
from functions.errors import SettingsError
from functions.release.metadata import check_signed, is_signed
from packhorse.errors import UntrustedError
from packhorse.trust_root import TARGETS


def follow(
    state: State, reader: TufReader, writer: TufWriter, *, now: datetime
) -> None:
    """Let newer targets count, if there are any and every role is ready.

    Raises:
        UntrustedError: The targets in force are none of the root's, and no newer
            ones can take their place.
        UpstreamUnavailableError: Perhaps some of it is written; safe to repeat.
    """
    found = reader.newest_targets(state, now=now)
    if found is not None:
        _take_over(state, *found, reader, writer)
    if state.is_orphaned:
        number = state.targets.signed.version
        raise UntrustedError(
            f"targets {number} is not signed by the keys that root "
            f"{state.root.version} names; upload targets {number + 1} signed by them"
            + (f", it waits for {', '.join(state.waiting)}" if state.waiting else "")
        )


def _take_over(
    state: State,
    targets: Metadata[Targets],
    named: MetaFile,
    reader: TufReader,
    writer: TufWriter,
) -> None:
    delegations = targets.signed.delegations
    roles = (delegations and delegations.roles) or {}
    ready = {role: _ready(state, role, targets, reader, writer) for role in roles}
    state.waiting = tuple(role for role, meta in ready.items() if meta is None)
    if state.waiting:
        return
    for role, meta in ready.items():
        if meta is not None:
            state.name(role, meta)
    state.name(TARGETS, named)
    state.targets = targets
    state.is_orphaned = False


def _ready(
    state: State,
    role: str,
    targets: Metadata[Targets],
    reader: TufReader,
    writer: TufWriter,
) -> MetaFile | None:
    """Return the version of a role that the new keys signed; None until there is."""
    named = state.named(role)
    metadata = Metadata(Targets())
    metadata.signed.version = 0  # nobody wrote a first one yet
    if named is not None:
        metadata = reader.read_named(role, named, Targets)
        if is_signed(targets.signed, role, metadata):
            return named
        # Whatever stood there goes on, but only if it was vouched for.
        check_signed(state.targets.signed, role, metadata, what=role)
    prepared = reader.first_signed(role, metadata.signed.version, targets.signed)
    if prepared is not None:
        return prepared
    try:
        return writer.write_next(metadata, role, targets.signed)
    except SettingsError:
        return None  # another function holds the key, or will be told of it
