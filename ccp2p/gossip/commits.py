"""What is announced: that a seat has a commit. A hint where to fetch, and never more than that.

A seat signs epoch, index and chain digest. Whoever hears of a commit that it lacks asks for its
blocks, and believes these by their own signatures; so a lying seat costs others a request. An
announcement goes by what it says, not by who signed it: of all seats' words on one commit a node
passes on the first.
"""

from collections.abc import Sequence
from typing import Final

from ccp2p.crypto import signatures
from ccp2p.crypto.signatures import SigningKey
from ccp2p.gossip.messages import MAX_ANNOUNCEMENT_BYTES
from ccp2p.model import codec, hashing
from ccp2p.model.codec import Wire
from ccp2p.model.errors import PeerFault

_MOST_OF_A_SEAT: Final = 64  # commits in a heartbeat, more than there are
_REMEMBERED: Final = 64  # commits of a seat, behind its newest


class CommitAnnouncement(Wire, frozen=True):
    """A seat's word that the `commit`-th commit of an epoch has this chain digest."""

    epoch: int
    commit: int
    chain: bytes
    seat: int
    signature: bytes


def announce(
    network: bytes, epoch: int, commit: int, chain: bytes, seat: int, key: SigningKey
) -> bytes:
    """The announcement of a seat, encoded."""
    signature = key.sign(_signed(network, epoch, commit, chain))
    return codec.encode(CommitAnnouncement(epoch, commit, chain, seat, signature))


def read(data: bytes) -> CommitAnnouncement:
    """What is announced, unchecked; PeerFault when it cannot be read."""
    said = codec.decode_canonical(data, CommitAnnouncement, MAX_ANNOUNCEMENT_BYTES)
    if said.epoch < 0 or said.commit < 1 or len(said.chain) != 32:
        raise PeerFault("announcement", "an announcement of no commit")
    return said


class CommitCheck:
    """Judges announcements of one epoch, as `core.Check`: `seats` are keys in seat order.

    Ignored, and not blamed on who passed it on, is what an honest node may pass on although others
    do not: a seat's word that is old, that contradicts its own, or is one of too many.
    """

    def __init__(self, network: bytes, epoch: int, seats: Sequence[bytes]) -> None:
        self._network = network
        self._epoch = epoch
        self._seats = seats
        self._said: list[dict[int, CommitAnnouncement]] = [{} for _ in seats]
        self._counts = [0] * len(seats)

    def heartbeat(self) -> None:
        """Let every seat announce some more."""
        self._counts = [0] * len(self._seats)

    def __call__(self, data: bytes) -> bytes | None:
        """The id of what is announced, b"" to ignore it, None for a lie of who passed it on."""
        try:
            said = read(data)
        except PeerFault:
            return None
        if said.epoch != self._epoch:
            return b""
        if not 0 <= said.seat < len(self._seats):
            return None
        known = self._said[said.seat].get(said.commit)
        if known is not None and known.chain != said.chain:
            return b""
        signed = _signed(self._network, said.epoch, said.commit, said.chain)
        if known != said:
            if not signatures.verify(self._seats[said.seat], said.signature, signed):
                return None
            if known is None and not self._remember(said):
                return b""
        return hashing.digest(hashing.COMMIT_NEWS, signed)

    def _remember(self, said: CommitAnnouncement) -> bool:
        before = self._said[said.seat]
        oldest = min(before, default=0)
        is_old = len(before) >= _REMEMBERED and said.commit < oldest
        if is_old or self._counts[said.seat] >= _MOST_OF_A_SEAT:
            return False
        self._counts[said.seat] += 1
        before[said.commit] = said
        if len(before) > _REMEMBERED:
            del before[oldest]
        return True


def _signed(network: bytes, epoch: int, commit: int, chain: bytes) -> bytes:
    place = epoch.to_bytes(8, "big") + commit.to_bytes(8, "big")
    return hashing.COMMIT_NEWS + hashing.digest(hashing.COMMIT_NEWS, network, place, chain)
