"""A simulated disk: whole transactions in order, so that every older image of it exists.

LMDB itself is tried with real processes elsewhere; here a transaction is stored or it is not.
"""

from ccp2p.model.errors import LocalFault
from ccp2p.storage.memory_store import MemoryStore
from ccp2p.storage.store import Batch

_Pruned = tuple[int, int, int]
"""The arguments of a `prune`."""


class JournaledStore(MemoryStore):
    """Remembers what was done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.journal: list[Batch | _Pruned] = []

    def write(self, batch: Batch) -> None:
        """See `Store.write`."""
        self.journal.append(batch)
        super().write(batch)

    def prune(self, epoch: int, below_round: int, below_commit: int) -> int:
        """See `Store.prune`."""
        self.journal.append((epoch, below_round, below_commit))
        return super().prune(epoch, below_round, below_commit)


class Disk:
    """One node's disk. It outlives the node's crashes; `is_full` makes every write fail."""

    def __init__(self) -> None:
        self.store = JournaledStore()
        self.is_full = False

    @property
    def images(self) -> int:
        """How many transactions it holds."""
        return len(self.store.journal)

    def write(self, batch: Batch) -> None:
        """Store a batch, durably; LocalFault `disk-full` stores nothing of it."""
        if self.is_full:
            raise LocalFault("disk-full", "the simulated disk is full")
        self.store.write(batch)

    def roll_back(self, image: int) -> None:
        """Restore the image of its first `image` transactions, as a hostile host can."""
        journal = self.store.journal[:image]
        self.store = JournaledStore()
        for entry in journal:
            if isinstance(entry, Batch):
                self.store.write(entry)
            else:
                self.store.prune(*entry)
