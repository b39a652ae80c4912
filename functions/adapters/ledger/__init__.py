"""The ledger: releases, rollouts, devices, reports, and the outbox, in SQL."""

from functions.adapters.ledger.ledger import Ledger

__all__ = ["Ledger"]
