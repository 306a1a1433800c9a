"""The Merkle tree over the outcomes of an epoch, and proofs from it.

The tree is that of RFC 6962: nodes pair up, an odd one is promoted. It grows through the epoch, so
every later checkpoint covers an outcome, and CLOSE the last ones, whatever became of the votes for
those between. Its peaks are kept in the state, so a node that restarts computes the same root.
Leaves are handed to the caller, who keeps recent ones and gives them back to prove an outcome.
"""

from collections.abc import Iterable
from typing import Final

from ccp2p.crypto import blake2b
from ccp2p.execution.state import SYSTEM, State
from ccp2p.model import codec, hashing
from ccp2p.model.codec import Wire
from ccp2p.model.errors import LocalFault
from ccp2p.model.hashing import DIGEST_BYTES, ZERO_DIGEST
from ccp2p.model.outcome import Outcome

KEY: Final = SYSTEM + b"outcomes"
_EVENT_BYTES: Final = 32
_SALT_BYTES: Final = 16
_MAX_PEAKS_BYTES: Final = 64 * 64


class OutcomeProof(Wire, frozen=True):
    """That an outcome is leaf `index` of the `count` under the outcomes root of `commit`."""

    epoch: int
    commit: int
    index: int
    count: int
    salt: bytes
    path: tuple[bytes, ...]


class Peaks(Wire, frozen=True):
    """The roots of the perfect subtrees over `count` leaves, largest first."""

    count: int = 0
    digests: tuple[bytes, ...] = ()


class Leaves(Wire, frozen=True):
    """Leaves of executed outcomes, in order: event ids (32 bytes each), salts (16), hashes (32).

    `before` are the peaks over all leaves of the epoch before these.
    """

    before: Peaks = Peaks()
    events: bytes = b""
    salts: bytes = b""
    digests: bytes = b""


class Stretch:
    """All leaves of an epoch from some commit up to the one at `end`, a commit's after another."""

    def __init__(self, epoch: int, end: int, parts: Iterable[Leaves]) -> None:
        self._end = (epoch, end)
        kept = list(parts)
        before = kept[0].before if kept else Peaks()
        events = b"".join(part.events for part in kept)
        self._salts = b"".join(part.salts for part in kept)
        self._first = before.count
        self._places = {_row(events, at, _EVENT_BYTES): at for at in range(_count(events))}
        self._levels = _levels(before, b"".join(part.digests for part in kept))

    @property
    def root(self) -> bytes:
        """The root over all leaves of the epoch up to `end`; ZERO_DIGEST when there is none."""
        return self._levels[-1][1] or ZERO_DIGEST

    def prove(self, event: bytes) -> OutcomeProof | None:
        """The proof of an executed event under `root`; None when it is not of this stretch."""
        place = self._places.get(event)
        if place is None:
            return None
        index = at = self._first + place
        path = []
        for start, level in self._levels[:-1]:
            sibling = _row(level, (at ^ 1) - start, DIGEST_BYTES)
            if sibling:
                path.append(sibling)
            at >>= 1
        salt = _row(self._salts, place, _SALT_BYTES)
        return OutcomeProof(*self._end, index, self._first + len(self._places), salt, tuple(path))


class OutcomeTree:
    """The root over the running epoch."""

    def __init__(self, state: State, salt_key: bytes) -> None:
        self._state = state
        self.set_salt_key(salt_key)
        self.resume(None)

    @property
    def root(self) -> bytes:
        """The root over the running epoch; ZERO_DIGEST while it is empty."""
        digests = self._peaks.digests
        if not digests:
            return ZERO_DIGEST
        root = digests[-1]
        for peak in reversed(digests[:-1]):
            root = _node(peak, root)
        return root

    def set_salt_key(self, salt_key: bytes) -> None:
        """Salt later leaves with another epoch's key."""
        self._salt_key = salt_key

    def resume(self, data: bytes | None) -> None:
        """Go on from the peaks that the state holds under `KEY`, or from nothing."""
        self._peaks = codec.decode(data, Peaks, _MAX_PEAKS_BYTES, LocalFault) if data else Peaks()

    def apply(self, commit: int, outcomes: list[tuple[bytes, bytes]]) -> Leaves:
        """Append a commit's executed outcomes: (event id, encoded outcome)."""
        before = self._peaks
        if commit == 1:
            self._peaks = Peaks()
        leaves = Leaves(self._peaks)
        if outcomes:
            leaves = self._leaves(outcomes)
            self._peaks = _append(self._peaks, leaves.digests)
        if self._peaks != before:
            self._state.put(KEY, codec.encode(self._peaks))
        return leaves

    def _leaves(self, outcomes: list[tuple[bytes, bytes]]) -> Leaves:
        events = [event for event, _ in outcomes]
        named = [hashing.OUTCOME + event for event in events]
        wide = blake2b.digest_each(hashing.SALT, named, self._salt_key)
        salts = [wide[at : at + _SALT_BYTES] for at in range(0, len(wide), DIGEST_BYTES)]
        digests = blake2b.digest_each(
            hashing.OUTCOME,
            [
                salt + event + encoded
                for salt, (event, encoded) in zip(salts, outcomes, strict=True)
            ],
        )
        return Leaves(self._peaks, b"".join(events), b"".join(salts), digests)


def verify_outcome(root: bytes, outcome: Outcome, proof: OutcomeProof) -> bool:
    """Whether `proof` shows `outcome` under the outcomes root of the commit that it names."""
    index, size, path = proof.index, proof.count, list(proof.path)
    if not 0 <= index < size:
        return False
    value = _leaf(proof.salt, outcome.event, codec.encode(outcome))
    while size > 1:
        if index ^ 1 < size:
            if not path:
                return False
            sibling = path.pop(0)
            value = _node(sibling, value) if index & 1 else _node(value, sibling)
        index, size = index >> 1, (size + 1) >> 1
    return not path and value == root


def _leaf(salt: bytes, event: bytes, encoded: bytes) -> bytes:
    return hashing.digest(hashing.OUTCOME, salt + event + encoded)


def _node(left: bytes, right: bytes) -> bytes:
    return hashing.digest(hashing.TREE, left + right)


def _append(peaks: Peaks, leaves: bytes) -> Peaks:
    """Add leaves: at each height, two neighbours pair up and an odd one becomes a peak."""
    total = peaks.count + len(leaves) // DIGEST_BYTES
    before = list(peaks.digests)
    after: list[bytes] = []
    row, height = leaves, 0
    while row or peaks.count >> height:
        if peaks.count >> height & 1:
            row = before.pop() + row
        if len(row) // DIGEST_BYTES & 1:
            after.append(row[-DIGEST_BYTES:])
            row = row[:-DIGEST_BYTES]
        row = blake2b.digest_rows(hashing.TREE, row, 2 * DIGEST_BYTES)
        height += 1
    return Peaks(total, tuple(reversed(after)))


def _row(rows: bytes, index: int, size: int) -> bytes:
    """Row `index` of rows of `size` bytes; empty beyond them."""
    return rows[index * size : (index + 1) * size]


def _count(events: bytes) -> int:
    return len(events) // _EVENT_BYTES


def _levels(before: Peaks, leaves: bytes) -> list[tuple[int, bytes]]:
    """(index of the first node, nodes) of each level, leaves first, as far as they are known."""
    peaks, levels, row = list(before.digests), list[tuple[int, bytes]](), leaves
    width, height = before.count + len(leaves) // DIGEST_BYTES, 0
    while True:
        start = before.count >> height
        if start & 1:
            start, row = start - 1, peaks.pop() + row
        levels.append((start, row))
        if width <= 1:
            return levels
        even = len(row) - len(row) % (2 * DIGEST_BYTES)
        row = blake2b.digest_rows(hashing.TREE, row[:even], 2 * DIGEST_BYTES) + row[even:]
        width, height = (width + 1) >> 1, height + 1
