"""Many latencies in little memory, for percentiles that are right within 0.6 %."""

import math

_STEPS = 64
"""Buckets for each doubling: 1.1 % wide, so their middle is 0.55 % off at most."""

_DOUBLINGS = 45
"""Up to 2**45 ns, ten hours."""


class Latencies:
    """Counts latencies by their logarithm."""

    def __init__(self) -> None:
        """Begin with none."""
        self._counts = [0] * (_STEPS * _DOUBLINGS)
        self.count = 0
        self.total_ns = 0
        self.longest_ns = 0

    def add(self, elapsed_ns: int) -> None:
        """Count one."""
        bucket = int(math.log2(elapsed_ns) * _STEPS) if elapsed_ns > 1 else 0
        self._counts[min(bucket, len(self._counts) - 1)] += 1
        self.count += 1
        self.total_ns += elapsed_ns
        self.longest_ns = max(self.longest_ns, elapsed_ns)

    def percentile_ns(self, share: float) -> float:
        """Return what so large a share of all did not exceed; 0 where none is.

        Args:
            share: In [0, 1].
        """
        wanted = max(1, math.ceil(share * self.count))
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                middle_ns: float = 2 ** ((bucket + 0.5) / _STEPS)
                return min(middle_ns, float(self.longest_ns))
        return 0.0
