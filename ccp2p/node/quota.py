"""What one network may take of the process that runs it."""

from typing import Final

from ccp2p.model import limits
from ccp2p.model.codec import Wire

_MIB: Final = 1024 * 1024
_HOSTED_PART: Final = 8  # of each bound of memory: as much as eight of them together


class Quota(Wire, frozen=True):
    """Bounds of one network; `events_per_s` are what members may submit here, 0 for no bound."""

    storage_bytes: int = limits.DEFAULT_MAP_BYTES
    inbox_bytes: int = limits.INBOX_BYTES
    queue_bytes: int = limits.ENVELOPE_QUEUE_BYTES
    cache_bytes: int = limits.STATE_CACHE_BYTES
    events_per_s: int = 0


OWN: Final = Quota()
"""The bounds of a network that the operator is in."""


def hosted_quota(storage_mb: int, events_per_s: int) -> Quota:
    """The bounds of a network that this node runs for others."""
    return Quota(
        storage_mb * _MIB,
        limits.INBOX_BYTES // _HOSTED_PART,
        limits.ENVELOPE_QUEUE_BYTES // _HOSTED_PART,
        limits.STATE_CACHE_BYTES // _HOSTED_PART,
        events_per_s,
    )


class Allowance:
    """A rate: `a_second` events, and no more than a second's worth at once; 0 for no bound."""

    def __init__(self, a_second: int, now_s: float) -> None:
        self._a_second = a_second
        self._left = float(a_second)
        self._at_s = now_s

    def take(self, wanted: int, now_s: float) -> int:
        """How many of `wanted` events may go on now."""
        if not self._a_second:
            return wanted
        earned = (now_s - self._at_s) * self._a_second
        self._left = min(float(self._a_second), self._left + earned)
        self._at_s = now_s
        taken = min(wanted, int(self._left))
        self._left -= taken
        return taken
