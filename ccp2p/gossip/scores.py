"""What a node thinks of a peer by what it brought: a reduced form of GossipSub v1.1's score.

First deliveries count for a peer up to a cap; invalid announcements against it by their square, and
broken promises (named in a Have, asked for, never sent) one by one. All fade.
"""

from dataclasses import dataclass
from typing import Final

_FIRST_CAP: Final = 50.0
_INVALID_WEIGHT: Final = 10.0
_PROMISE_WEIGHT: Final = 3.0
_FADE: Final = 0.95  # a heartbeat
IGNORED_BELOW: Final = -80.0  # three invalid announcements at once


@dataclass(slots=True)
class Score:
    """One peer's counters."""

    first: float = 0.0
    invalid: float = 0.0
    broken: float = 0.0

    @property
    def value(self) -> float:
        """Above 0 for who is useful, below for who does wrong."""
        wrong = _INVALID_WEIGHT * self.invalid**2 + _PROMISE_WEIGHT * self.broken
        return min(self.first, _FIRST_CAP) / _FIRST_CAP - wrong

    def fade(self) -> None:
        """A heartbeat went by."""
        self.first *= _FADE
        self.invalid *= _FADE
        self.broken *= _FADE
