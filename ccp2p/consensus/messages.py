"""What goes into `Consensus.handle` and what comes out of it.

Inputs and outputs are values, so that a run is a list of inputs and can be recorded and replayed.
The caller persists `Output.persist`, then sends, then applies the commits, in this order.
"""

from dataclasses import dataclass, field

from ccp2p.model.block import BlockReference, VerifiedBlock
from ccp2p.model.commit import Commit
from ccp2p.model.errors import PeerFault


@dataclass(frozen=True, slots=True)
class BlocksReceived:
    """Blocks from a peer (a seat index, or None when it holds none).

    `solicited` marks the answer to a fetch of ours.
    """

    sender: int | None
    blocks: tuple[VerifiedBlock, ...]
    solicited: bool = False


@dataclass(frozen=True, slots=True)
class PayloadOffered:
    """Encoded envelopes, checkpoint votes and membership events for our next blocks."""

    envelopes: tuple[bytes, ...] = ()
    votes: tuple[bytes, ...] = ()
    membership: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Resumed:
    """The restart floor was found: propose at `floor_round` or later."""

    floor_round: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


Input = BlocksReceived | PayloadOffered | Resumed | Tick


@dataclass(frozen=True, slots=True)
class Recovered:
    """What storage gives back at a start.

    `blocks` are in admission order, a superset of those above the gc round. `commits` are the
    newest ones in order, back to the epoch's first or to one whose leader is at or below the gc
    round of the last.
    """

    blocks: tuple[VerifiedBlock, ...]
    commits: tuple[Commit, ...]


@dataclass(frozen=True, slots=True)
class Push:
    """Blocks to send to one committee peer, or to all of them (`peer` None: our new block)."""

    peer: int | None
    blocks: tuple[VerifiedBlock, ...]


@dataclass(frozen=True, slots=True)
class Fetch:
    """Blocks to ask a peer for.

    Where `above` is not empty it holds, per author, the highest round admitted here: the answer is
    the referenced blocks, then in its sender's admission order every block above these rounds, up
    to `limits.MAX_FETCH_REPLY_BYTES`.
    """

    peer: int
    references: tuple[BlockReference, ...]
    above: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CommittedBlocks:
    """A commit and the blocks that it names, in its order."""

    commit: Commit
    blocks: tuple[VerifiedBlock, ...]


@dataclass(frozen=True, slots=True)
class SignedHeader:
    """A block without its payload: as much as a proof needs."""

    header: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Equivocation:
    """Two different blocks that `author` signed for one slot."""

    author: int
    round: int
    first: SignedHeader
    second: SignedHeader


@dataclass(frozen=True, slots=True)
class Output:
    """What to do, in the order of the fields; `wake_ms` is when a `Tick` is wanted next."""

    persist: tuple[VerifiedBlock, ...] = ()
    send: tuple[Push, ...] = ()
    fetch: tuple[Fetch, ...] = ()
    commits: tuple[CommittedBlocks, ...] = ()
    evidence: tuple[Equivocation, ...] = ()
    faults: tuple[tuple[int | None, PeerFault], ...] = ()
    refused: int = 0
    wake_ms: int | None = None


@dataclass(slots=True)
class Draft:
    """An `Output` while `handle` fills it."""

    persist: list[VerifiedBlock] = field(default_factory=list)
    send: list[Push] = field(default_factory=list)
    fetch: list[Fetch] = field(default_factory=list)
    commits: list[CommittedBlocks] = field(default_factory=list)
    evidence: list[Equivocation] = field(default_factory=list)
    faults: list[tuple[int | None, PeerFault]] = field(default_factory=list)
    refused: int = 0

    def finish(self, wake_ms: int | None) -> Output:
        """The immutable output."""
        return Output(
            tuple(self.persist),
            tuple(self.send),
            tuple(self.fetch),
            tuple(self.commits),
            tuple(self.evidence),
            tuple(self.faults),
            self.refused,
            wake_ms,
        )
