"""How much of the log a node keeps for late peers; what lies behind goes, a part at a time."""

from ccp2p.model import limits
from ccp2p.model.commit import Commit
from ccp2p.model.committee import Committee
from ccp2p.storage.store import Store


class Retention:
    """One epoch's; `interval` is how many commits lie between two calls of `prune`."""

    def __init__(self, store: Store, committee: Committee, interval: int) -> None:
        self._store = store
        self._epoch = committee.epoch
        # Twice what the interval can bring, at one slot a round.
        self._transactions = 1 + 2 * interval * committee.size // limits.MAX_PRUNE_RECORDS

    def prune(self, newest: Commit, gc_round: int) -> None:
        """Drop blocks and commits behind `newest`, and all that is older than the epoch before.

        The epoch before stays until this one has retained rounds of its own: peers may be in it.
        """
        below = min(newest.leader.round - limits.LOG_RETAINED_ROUNDS, gc_round)
        if below > 0:
            point = (self._epoch, below, newest.index - limits.LOG_RETAINED_COMMITS)
        elif self._epoch > 0:
            point = (self._epoch - 1, 0, 0)
        else:
            return
        for _ in range(self._transactions):
            if not self._store.prune(*point):
                return
