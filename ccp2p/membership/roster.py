"""The roster: who has a seat, who follows, and what change of the committee is under way.

It is part of the replicated state, so every value here follows from the order of the log alone.
"""

from typing import Final

from ccp2p.model import codec, limits
from ccp2p.model.codec import Wire
from ccp2p.model.committee import Committee, Seat
from ccp2p.model.errors import Fault, LocalFault

_MAX_BYTES: Final = 64 * 1024 * 1024  # our own state: a thousand observers with their addresses


class Member(Wire, frozen=True):
    """A node that was admitted. `since_epoch` is the first of its seat, or of its following."""

    node: bytes
    sealing: bytes
    platform_id: bytes
    vendor: str
    tee: str
    addresses: tuple[str, ...]
    client_addresses: tuple[str, ...]
    since_epoch: int
    replaces: bytes = b""

    @property
    def seat(self) -> Seat:
        """The seat that it has or would get."""
        return Seat(self.node, self.sealing, self.platform_id, self.vendor)


class Proposal(Wire, frozen=True):
    """An ordered rekey proposal; `sealed` is one secret a frozen member, empty without a prekey."""

    node: bytes
    coin_anchor: bytes
    epoch_key: bytes
    sealed: tuple[bytes, ...]
    time_ms: int


class Change(Wire, frozen=True):
    """A frozen committee on its way in. `prekeys` and `acks` go with `members`.

    `round` and `time_ms` (leader round, ledger time) are of FREEZE, or of the last time that
    joiners were dropped. An empty prekey is none; an ack is a bit set of proposal numbers.
    """

    round: int
    time_ms: int
    members: tuple[Member, ...]
    prekeys: tuple[bytes, ...]
    proposals: tuple[Proposal, ...]
    acks: tuple[int, ...]

    def index_of(self, node: bytes) -> int | None:
        """The place of a node among the frozen members."""
        return next((i for i, member in enumerate(self.members) if member.node == node), None)


class Roster(Wire, frozen=True):
    """`members` are in seat order; `last_rounds` (as of the last checkpoint) go with them.

    `intents` are the nodes that want the epoch to end. `anchors` are (commit, chain digest) of
    recent checkpoints. `left_out` joined and did not answer: the next change is made without them.
    """

    epoch: int
    members: tuple[Member, ...]
    observers: tuple[Member, ...] = ()
    leaving: tuple[bytes, ...] = ()
    expelled: tuple[bytes, ...] = ()
    left_out: tuple[bytes, ...] = ()
    intents: tuple[bytes, ...] = ()
    anchors: tuple[tuple[int, bytes], ...] = ()
    last_rounds: tuple[int, ...] = ()
    change: Change | None = None

    @property
    def committee(self) -> Committee:
        """The committee of this epoch."""
        return Committee(self.epoch, tuple(member.seat for member in self.members))

    def seated(self, node: bytes) -> Member | None:
        """The member that holds a seat under this key."""
        return next((member for member in self.members if member.node == node), None)

    def following(self, node: bytes) -> Member | None:
        """The observer with this key."""
        return next((member for member in self.observers if member.node == node), None)

    def encode(self) -> bytes:
        """The form in which the state holds it."""
        return codec.encode(self)

    @classmethod
    def decode(cls, data: bytes, fault: type[Fault] = LocalFault) -> "Roster":
        """Read `encode`'s result."""
        return codec.decode(data, cls, _MAX_BYTES, fault)


def quorum_of(size: int) -> int:
    """Q of a committee of `size`."""
    return size - faulty_of(size)


def faulty_of(size: int) -> int:
    """f of a committee of `size`."""
    return (size - 1) // 3


def fits(roster: Roster) -> bool:
    """Whether one more observer may be admitted."""
    return len(roster.observers) < limits.MAX_OBSERVERS
