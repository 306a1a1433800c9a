"""Whether a node waits in vain, and for what: it says so once, and then in its status. No IO.

A network that has its quorum goes from round to round, an idle one too. So a round that does not
end shows that fewer than Q exchange blocks, whichever of them this node hears.
"""

from typing import Final

STALLED_MS: Final = 10_000  # peers that are up have answered long before
_ROUNDS: Final = 3  # idle rounds that may pass besides

FLOOR, QUORUM = "floor", "quorum"
WAITING: Final = {
    FLOOR: "following without a vote: too few others answer to tell which round is free. If they "
    "are lost for good, governors go on with `ccp2p net recover`",
    QUORUM: "waiting: no quorum of seats is here. If the others are lost for good, governors go on "
    "with `ccp2p net recover`",
}
"""What a node tells people once it waits in vain."""


class Patience:
    """Watches one epoch's rounds. `waits` is empty, `FLOOR` or `QUORUM`."""

    def __init__(self, max_round_delay_ms: int) -> None:
        self._patience_ms = STALLED_MS + _ROUNDS * max_round_delay_ms
        self._round = -1
        self._since_ms = 0
        self.waits = ""

    def look(self, round_: int, is_starting: bool, now_ms: int) -> bool:
        """Note the round that this node is in; whether it began to wait in vain just now."""
        before = self.waits
        if round_ != self._round:
            self._round, self._since_ms = round_, now_ms
        is_stalled = now_ms - self._since_ms >= self._patience_ms
        self.waits = "" if not is_stalled else FLOOR if is_starting else QUORUM
        return bool(self.waits) and not before
