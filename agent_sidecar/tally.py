"""How many decisions of which kind were given, and how long they took: counted in the path of each, so it is cheap.

Latencies fall into buckets whose bounds are powers of two of a microsecond: the number of a bucket is how many bits the
number has, which takes one call. Nothing is locked, as the event loop alone counts.
"""

from collections.abc import Iterable

import msgspec

from policy_core.model import Decision

BOUNDS_S = tuple(2.0**bits / 1e6 for bits in range(21))
"""Upper bounds of the buckets in seconds, up to about one; the patience of a decision ends at two."""
_BITS = 64


class Tally(msgspec.Struct):
    """Counts since the process began: decisions by their word, by bucket, and the microseconds they took together."""

    decisions: dict[str, int] = msgspec.field(
        default_factory=lambda: {str(word): 0 for word in Decision if word is not Decision.CONSTRAIN}
    )
    buckets: list[int] = msgspec.field(default_factory=lambda: [0] * _BITS)
    took_us: int = 0

    def count(self, decision: str, took_us: int) -> None:
        """Count a decision that took so long."""
        self.decisions[decision] += 1
        self.buckets[took_us.bit_length()] += 1
        self.took_us += took_us


def total(tallies: Iterable[Tally]) -> Tally:
    """Return what several processes have counted together."""
    made = Tally()
    for each in tallies:
        for decision, count in each.decisions.items():
            made.decisions[decision] += count
        made.buckets = [ours + theirs for ours, theirs in zip(made.buckets, each.buckets, strict=True)]
        made.took_us += each.took_us
    return made
