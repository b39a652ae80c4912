"""Name the Pub/Sub topics. Terraform and the local cloud make exactly these."""

GCR = "gcr"
"""Artifact Registry's notices: one topic per project, always of this name."""

PACKAGE = "package"
"""One message per variant to make: `{"release", "variant"}`."""

PACKAGED = "packaged"
"""A release has all its variants: `{"release"}`."""

ADVANCE = "advance"
"""A rollout may be able to move: `{"model"}`, or `{}` for every rollout."""

ROLLOUTS = "rollouts"
"""A rollout changed: `{"model", "sequence", "rings"}`."""

REPORTS = "reports"
"""Devices' reports: the signed envelopes, byte for byte as received."""

SHADOWS = "shadows"
"""Sums of shadow runs, as `predict` sends them."""

SWEEP = "sweep"
"""The scheduler's word to `sweep_ledger`; its body says nothing."""

REFRESH = "refresh"
"""The scheduler's word to `refresh_timestamp`; its body says nothing."""

DEAD_LETTERS = "dead-letters"
"""What was delivered too often and never taken."""

TOPICS = (
    GCR,
    PACKAGE,
    PACKAGED,
    ADVANCE,
    ROLLOUTS,
    REPORTS,
    SHADOWS,
    SWEEP,
    REFRESH,
    DEAD_LETTERS,
)
