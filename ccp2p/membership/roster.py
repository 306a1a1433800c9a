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
    """A node that was admitted. `since_epoch` is the first of its seat, or of its following.

    Of one that waits for a seat, `replaces` is the node whose seat it takes over (empty: none),
    `consented` whether by that node's word, and `anchor` the commit that its newest request's
    evidence is bound to (0: the epoch's record, -1: a request of an earlier epoch).

    `policies` are digests of those that its newest evidence satisfies: the one in force, and the
    one to come. `renewed` is the commit that evidence renewed since is bound to, or -1.
    """

    node: bytes
    sealing: bytes
    platform_id: bytes
    vendor: str
    tee: str
    addresses: tuple[str, ...]
    client_addresses: tuple[str, ...]
    since_epoch: int
    replaces: bytes = b""
    consented: bool = False
    anchor: int = -1
    policies: tuple[bytes, ...] = ()
    renewed: int = -1

    @property
    def seat(self) -> Seat:
        """The seat that it has or would get."""
        return Seat(self.node, self.sealing, self.platform_id, self.vendor)


class Proposal(Wire, frozen=True):
    """An ordered rekey proposal; `sealed` is one secret a frozen member, empty without a prekey.

    `shares` are the secret's for the governors of the epoch to come.
    """

    node: bytes
    coin_anchor: bytes
    epoch_key: bytes
    sealed: tuple[bytes, ...]
    time_ms: int
    shares: tuple[bytes, ...] = ()


class Change(Wire, frozen=True):
    """A frozen committee on its way in. `prekeys` and `acks` go with `members`.

    `round` and `time_ms` (leader round, ledger time) are of FREEZE. An empty prekey is none; the
    acks of a member are numbers of proposals, in the order in which it acknowledged them.
    `amendment` is the digest of the one that comes in with this change, if any.
    """

    round: int
    time_ms: int
    members: tuple[Member, ...]
    prekeys: tuple[bytes, ...]
    proposals: tuple[Proposal, ...]
    acks: tuple[tuple[int, ...], ...]
    amendment: bytes = b""

    def index_of(self, node: bytes) -> int | None:
        """The place of a node among the frozen members."""
        return next((i for i, member in enumerate(self.members) if member.node == node), None)

    def has_acked(self, place: int, number: int) -> bool:
        """Whether the member at `place` holds the secret of proposal `number`."""
        return number in self.acks[place]


class Amended(Wire, frozen=True):
    """An amendment that governors adopted for the end of the epoch, as far as rules need it.

    `time_ms` is the ledger time of its adoption, `policy` the digest of the policy that it brings
    (empty: none), `vendor_cap` what holds from then on. `governors` (empty: they stay) and their
    threshold are those to come. `has_lapsed`: too few could follow it.
    """

    digest: bytes
    time_ms: int
    evict: tuple[bytes, ...]
    policy: bytes
    vendor_cap: str
    has_lapsed: bool = False
    governors: tuple[bytes, ...] = ()
    governor_threshold: int = 0


class Dealt(Wire, frozen=True):
    """An ordered contribution to a beacon, of the seat `node`; see `beacon`.

    `commitments` and `sealed` go with this epoch's seats. `holders` are the places of the seats
    that acknowledged their shares, `opened` the shares that were shown since: (place, share).
    """

    node: bytes
    commitments: tuple[bytes, ...]
    sealed: tuple[bytes, ...]
    holders: tuple[int, ...] = ()
    opened: tuple[tuple[int, bytes], ...] = ()


class Drawing(Wire, frozen=True):
    """How this epoch's seats draw the next committee. There is one an epoch.

    `registered` are the platforms that may be drawn, fixed before anything was dealt. `counted` are
    numbers in `dealt`: f+1 fix the beacon, and are opened. `beacon` has 32 bytes, or none yet.
    """

    registered: tuple[bytes, ...]
    dealt: tuple[Dealt, ...] = ()
    counted: tuple[int, ...] = ()
    beacon: bytes = b""


class Roster(Wire, frozen=True):
    """`members` are in seat order; `last_rounds` (as of the last checkpoint) go with them.

    `leaving` are seats and observers that go when the epoch ends. `intents` are the seats that want
    it to end. `anchors` are (commit, chain digest) of recent checkpoints. `attempt` counts the
    changes of this epoch that were void; `left_out` are (platform, commit) of each time that a
    joiner's silence cost a change, see `rules.is_left_out`. `policy` is the digest of the one in
    force, `adopted` the amendment that the epoch's governors agreed on. `candidates` are observers
    that said in this epoch that they are here to be drawn, `drawing` is how they are.
    """

    epoch: int
    members: tuple[Member, ...]
    observers: tuple[Member, ...] = ()
    leaving: tuple[bytes, ...] = ()
    expelled: tuple[bytes, ...] = ()
    left_out: tuple[tuple[bytes, int], ...] = ()
    intents: tuple[bytes, ...] = ()
    anchors: tuple[tuple[int, bytes], ...] = ()
    last_rounds: tuple[int, ...] = ()
    change: Change | None = None
    attempt: int = 0
    policy: bytes = b""
    adopted: Amended | None = None
    candidates: tuple[bytes, ...] = ()
    drawing: Drawing | None = None

    @property
    def beacon(self) -> bytes:
        """What this epoch's draw follows from; empty before it is made."""
        return self.drawing.beacon if self.drawing else b""

    @property
    def amended(self) -> Amended | None:
        """The amendment that comes in when this epoch ends."""
        return None if self.adopted is None or self.adopted.has_lapsed else self.adopted

    @property
    def evicted(self) -> tuple[bytes, ...]:
        """Nodes that governors evict when this epoch ends."""
        return self.amended.evict if self.amended else ()

    @property
    def going(self) -> set[bytes]:
        """Nodes that lose their place when this epoch ends, whatever else happens."""
        return {*self.leaving, *self.expelled, *self.evicted}

    @property
    def coming_policy(self) -> bytes:
        """The digest of the next epoch's policy."""
        return (self.amended.policy if self.amended else b"") or self.policy

    def is_stale(self, member: Member) -> bool:
        """Whether its newest evidence does not satisfy the next epoch's policy."""
        return self.coming_policy not in member.policies

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

    def is_silent(self, node: bytes) -> bool:
        """Whether a seat's ordered blocks are so far behind that it may lose the seat."""
        if len(self.last_rounds) != len(self.members):
            return False
        seats = zip(self.members, self.last_rounds, strict=True)
        reached = next((round_ for member, round_ in seats if member.node == node), None)
        return reached is not None and max(self.last_rounds) - reached > limits.EVICTION_ROUNDS

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
