"""A simulated disk: whole transactions in order, so that every older image of it exists.

LMDB itself is tried with real processes elsewhere; here a transaction is stored or it is not.
"""

from ccp2p.model.errors import LocalFault
from ccp2p.storage.memory_store import MemoryStore
from ccp2p.storage.store import Batch


class Disk:
    """One node's disk. It outlives the node's crashes; `is_full` makes every write fail."""

    def __init__(self) -> None:
        self._journal: list[Batch] = []
        self.store = MemoryStore()
        self.is_full = False

    @property
    def images(self) -> int:
        """How many transactions it holds."""
        return len(self._journal)

    def write(self, batch: Batch) -> None:
        """Store a batch, durably; LocalFault `disk-full` stores nothing of it."""
        if self.is_full:
            raise LocalFault("disk-full", "the simulated disk is full")
        self._journal.append(batch)
        self.store.write(batch)

    def roll_back(self, image: int) -> None:
        """Restore the image of its first `image` transactions, as a hostile host can."""
        del self._journal[image:]
        self.store = MemoryStore()
        for batch in self._journal:
            self.store.write(batch)
