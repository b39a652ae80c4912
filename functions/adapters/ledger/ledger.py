"""The ledger as the functions see it. Every method is one transaction.

Times are passed in as `at` (UTC), so that a caller decides what now is. Any
method may raise `UpstreamUnavailableError`; then nothing was changed. Those that
name a release raise `NotFoundError` when it was never registered.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from functions.adapters.ledger import (
    attempts,
    device_statuses,
    devices,
    releases,
    revocations,
    rollouts,
    shadows,
    stalled,
    status,
)
from functions.adapters.ledger.database import Database, add_refusal
from functions.adapters.ledger.device_statuses import DeviceStatus
from functions.adapters.ledger.status import PendingEvent
from functions.errors import ReleaseRefusedError, ReportRefusedError
from functions.release.device_record import Revocation
from functions.release.gate import RingCounts
from functions.release.records import Change, NewRelease, ReleaseRecord
from functions.release.rollout import RolloutRecord
from functions.release.shadows import ShadowCounts, ShadowReport
from packhorse.assignment import BundleRef
from packhorse.names import Release
from packhorse.report import Report


class Ledger:
    """One database, SQLite or PostgreSQL."""

    def __init__(self, url: str) -> None:
        """Prepare for the SQLAlchemy URL; connects at the first call."""
        self._database = Database(url)

    def close(self) -> None:
        """Give every connection back."""
        self._database.close()

    # -- releases --

    def register_release(
        self,
        release: Release,
        *,
        digest: str,
        card: Mapping[str, object],
        variants: Sequence[str],
        at: datetime,
    ) -> bool:
        """Write a new release, with one `package` event per variant.

        Returns:
            Whether it was new; False when the same digest is known already.

        Raises:
            ReleaseRefusedError: The version exists with another digest. That is
                recorded.
        """
        with self._database.write() as connection:
            new = NewRelease(release, digest, card, variants)
            found = releases.register(connection, new, at=at)
        if found not in {"new", "known"}:
            raise ReleaseRefusedError(f"{release}: {releases.other_digest(found)}")
        return found == "new"

    def refuse_notice(self, *, subject: str, reason: str, at: datetime) -> None:
        """Record once that a notice of the registry was refused, and why."""
        with self._database.write() as connection:
            add_refusal(connection, "notice", subject, reason=reason, at=at)

    def release(self, release: Release) -> ReleaseRecord | None:
        """Return what is known of a release, or None."""
        with self._database.read() as connection:
            return releases.read(connection, release)

    def history(self, subject: object) -> tuple[Change, ...]:
        """Return what became of a release, a model or `device:NAME`, oldest first."""
        with self._database.read() as connection:
            return releases.history(connection, subject)

    def variant_packaged(
        self, release: Release, variant: str, bundle: BundleRef, at: datetime
    ) -> None:
        """Note a variant's bundle; the last one makes the release packaged.

        Raises:
            ConflictError: The variant has another bundle already.
        """
        with self._database.write() as connection:
            releases.variant_packaged(connection, release, variant, bundle, at)

    def refuse_release(self, release: Release, *, reason: str, at: datetime) -> None:
        """Stop a release for ever; the first reason stays.

        Raises:
            ConflictError: It is deployed, so its rollout must be withdrawn.
        """
        with self._database.write() as connection:
            releases.refuse(connection, release, reason=reason, at=at)

    def published(self, release: Release, *, at: datetime) -> None:
        """Note that the release's bundles are vouched for.

        Raises:
            ReleaseRefusedError: It was refused.
        """
        with self._database.write() as connection:
            releases.published(connection, release, at=at)

    def claim(self, release: Release, *, execution: str, instead_of: str = "") -> bool:
        """Give the release to the first execution; say whether that is this one.

        Args:
            release: What the workflow deploys.
            execution: Who asks.
            instead_of: An execution that has failed; it loses its claim.
        """
        with self._database.write() as connection:
            return releases.claim(connection, release, execution, instead_of=instead_of)

    def record_model_version(self, release: Release, model_version: str) -> None:
        """Note Vertex AI's name of the uploaded version."""
        with self._database.write() as connection:
            releases.record_model_version(connection, release, model_version)

    def deployed_id(
        self, release: Release, endpoint: Literal["candidate", "serving"]
    ) -> str:
        """Return the id of its deployed model there, allocated at the first call."""
        with self._database.write() as connection:
            return releases.deployed_id(connection, release, endpoint)

    def operation_begun(self, release: Release, step: str, operation: str) -> None:
        """Note the operation of Vertex AI that a step has just begun."""
        with self._database.write() as connection:
            attempts.begun(connection, release, step, operation)

    def operation(self, release: Release, step: str) -> str:
        """Return a step's operation whose end is not known yet, or ""."""
        with self._database.read() as connection:
            return attempts.operation(connection, release, step)

    def operation_failed(self, release: Release, step: str, operation: str) -> int:
        """Count a failed operation, once; return how many of the step's failed."""
        with self._database.write() as connection:
            return attempts.failed(connection, release, step, operation)

    def deployed(self, release: Release, *, at: datetime) -> None:
        """Note that the candidate endpoint answers with it, and rightly.

        Raises:
            ReleaseRefusedError: It was refused.
        """
        with self._database.write() as connection:
            releases.deployed(connection, release, at=at)

    # -- rollouts --

    def open_rollout(self, release: Release, *, at: datetime) -> bool:
        """Make the record that starts to roll it out, with an `advance` event.

        Returns:
            Whether this call made it: False when the release had its turn.
        """
        with self._database.write() as connection:
            return rollouts.open_rollout(connection, release, at=at)

    def rollout(self, model: str) -> RolloutRecord | None:
        """Return the model's rollout record, or None."""
        with self._database.read() as connection:
            return rollouts.read(connection, model)

    def active_models(self) -> list[str]:
        """Name the models whose rollout is under way or not yet published."""
        with self._database.read() as connection:
            return rollouts.active_models(connection)

    def save_rollout(
        self,
        record: RolloutRecord,
        *,
        expected_sequence: int,
        at: datetime | None = None,
        by: str = "",
    ) -> None:
        """Replace the record if it still has the sequence it was read with.

        A record whose document has just been published puts a `rollouts` event
        into the outbox: only then is there something new to read.

        Args:
            record: The next record, or the same one with `published_sequence` set.
            expected_sequence: The sequence it was read with.
            at: When; now, if not given.
            by: The operator's email; empty where the system decided.

        Raises:
            ConflictError: Someone else changed it.
        """
        when = at or datetime.now(UTC)
        with self._database.write() as connection:
            rollouts.save(
                connection, record, expected_sequence=expected_sequence, at=when, by=by
            )

    # -- devices --

    def invite_device(self, device: str, *, ring: int, by: str, at: datetime) -> None:
        """Note that the operator `by` let a device enrol in a ring."""
        with self._database.write() as connection:
            devices.invite(connection, device, ring=ring, by=by, at=at)

    def record_device(self, device: str, *, ring: int, at: datetime) -> bool:
        """Note that a device enrolled; from now on it counts in its ring."""
        with self._database.write() as connection:
            return devices.enrolled(connection, device, ring=ring, at=at)

    def revoke_device(self, device: str, *, ring: int, revocation: Revocation) -> bool:
        """Note that a device was revoked; say whether it is news."""
        with self._database.write() as connection:
            return revocations.revoke(
                connection, device, ring=ring, revocation=revocation
            )

    def device_statuses(
        self, *, limit: int, device: str | None = None
    ) -> list[DeviceStatus]:
        """Return where the devices stand, or one of them, by ring and name."""
        with self._database.read() as connection:
            return device_statuses.statuses(connection, limit=limit, device=device)

    def record_report(self, report: Report, *, digest: str, at: datetime) -> bool:
        """Take a report in, with an `advance` event when it may move a rollout.

        Returns:
            Whether it was new.

        Raises:
            ReportRefusedError: The device has used this sequence for another
                report. That is recorded.
        """
        with self._database.write() as connection:
            is_new = devices.record_report(connection, report, digest=digest, at=at)
        if is_new is None:
            raise ReportRefusedError(
                f"{report.device} has used the sequence {report.sequence} for another "
                f"report"
            )
        return is_new

    def ring_counts(
        self,
        rollout_id: str,
        *,
        ring: int,
        share: int,
        enrolled_before: datetime | None = None,
    ) -> RingCounts:
        """Count what the devices of a ring that a document admits have reported."""
        with self._database.read() as connection:
            return devices.ring_counts(
                connection,
                rollout_id,
                ring=ring,
                share=share,
                enrolled_before=enrolled_before,
            )

    def devices_in_ring(self, ring: int) -> list[str]:
        """Name the enrolled devices of a ring, in order."""
        with self._database.read() as connection:
            return devices.devices_in_ring(connection, ring)

    def rings(self) -> list[int]:
        """Name the rings that have enrolled devices, in order."""
        with self._database.read() as connection:
            return devices.rings(connection)

    def fleet_size(self) -> int:
        """Count the enrolled devices."""
        with self._database.read() as connection:
            return devices.fleet_size(connection)

    # -- shadow runs --

    def record_shadows(self, report: ShadowReport, *, at: datetime) -> bool:
        """Add a report's sums, once; say whether it was new."""
        with self._database.write() as connection:
            return shadows.record(connection, report, at=at)

    def shadow_counts(
        self, live: Release, candidate: Release, *, since: datetime | None = None
    ) -> ShadowCounts:
        """Return what shadow runs found of a candidate, beside what is live."""
        with self._database.read() as connection:
            return shadows.counts(connection, live, candidate, since=since)

    # -- outbox and overview --

    def pending_events(self, limit: int, *, after_id: int = 0) -> list[PendingEvent]:
        """Return the oldest events that are not known to be published."""
        with self._database.read() as connection:
            return status.pending_events(connection, limit, after_id)

    def mark_sent(self, ids: Sequence[int]) -> None:
        """Forget events that Pub/Sub has taken."""
        with self._database.write() as connection:
            status.mark_sent(connection, ids)

    def ask_again(self, *, before: datetime, at: datetime) -> list[Release]:
        """Repeat the events of releases that have stood still since `before`."""
        with self._database.write() as connection:
            return stalled.ask_again(connection, before=before, at=at)

    def stuck(self, *, before: datetime) -> list[ReleaseRecord]:
        """Return releases that no workflow brought further since."""
        with self._database.read() as connection:
            return stalled.stuck(connection, before=before)

    def workflow_restarted(self, release: Release, *, at: datetime) -> None:
        """Note that a stuck release has a new execution, and give it time."""
        with self._database.write() as connection:
            releases.change(connection, release, changed_at=at)

    def snapshot_status(self) -> dict[str, object]:
        """Return what a person wants to see first, as JSON values."""
        with self._database.read() as connection:
            return status.snapshot(connection)
