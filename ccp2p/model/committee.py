"""The committee of an epoch: who votes, how many may fail, what a quorum is."""

from functools import cached_property

from ccp2p.model.codec import Wire


class Seat(Wire, frozen=True):
    """One vote. Keys have 32 bytes; an empty `platform_id` means "no hardware id"."""

    node: bytes
    sealing: bytes
    platform_id: bytes
    vendor: str


class Committee(Wire, frozen=True, dict=True, gc=True):
    """Seats in index order; a block's author is an index into them."""

    epoch: int
    seats: tuple[Seat, ...]

    @cached_property
    def size(self) -> int:
        """n."""
        return len(self.seats)

    @cached_property
    def faulty(self) -> int:
        """f = floor((n-1)/3)."""
        return (len(self.seats) - 1) // 3

    @cached_property
    def quorum(self) -> int:
        """Q = n-f."""
        return len(self.seats) - self.faulty

    @cached_property
    def _indices(self) -> dict[bytes, int]:
        return {seat.node: index for index, seat in enumerate(self.seats)}

    def index_of(self, node: bytes) -> int | None:
        """The seat of a node key, or None when it has none."""
        return self._indices.get(node)
