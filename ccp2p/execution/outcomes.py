"""The Merkle tree over the outcomes of a checkpoint interval, and proofs from it.

The tree is that of RFC 6962: nodes pair up, an odd one is promoted. Its peaks are kept in the
state, so a node that restarts within an interval computes the same root; the leaves are kept in
memory only, so that node proves nothing of that interval, and others do.
"""

from collections import deque
from collections.abc import Sequence
from itertools import count
from typing import Final

from ccp2p.crypto import blake2b
from ccp2p.execution.state import SYSTEM, State
from ccp2p.model import codec, hashing, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import LocalFault
from ccp2p.model.hashing import DIGEST_BYTES, ZERO_DIGEST
from ccp2p.model.outcome import Outcome

KEY: Final = SYSTEM + b"outcomes"
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


class _Peaks(Wire, frozen=True):
    """The roots of the perfect subtrees over `count` leaves, largest first."""

    count: int = 0
    digests: tuple[bytes, ...] = ()


class _Interval:
    """The leaves of one interval, as far as this process has seen and kept them."""

    def __init__(self, *, complete: bool) -> None:
        self._leaves = bytearray()
        self._salts = bytearray()
        self._levels: list[bytes] = []
        self._places: dict[bytes, int] = {}
        self._complete = complete
        self.end = (0, 0)

    def __len__(self) -> int:
        return len(self._leaves) // DIGEST_BYTES

    def add(self, events: Sequence[bytes], salts: bytes, leaves: bytes) -> None:
        """Append leaves, and their salts of `DIGEST_BYTES` each."""
        if len(self) + len(events) > limits.MAX_PROVABLE_OUTCOMES:
            self._leaves, self._salts, self._places = bytearray(), bytearray(), {}
            self._complete = False
        self._levels = []
        self._places.update(zip(events, count(len(self)), strict=False))
        self._leaves += leaves
        self._salts += salts

    def prove(self, event: bytes) -> OutcomeProof | None:
        """See `OutcomeTree.prove`."""
        index = self._places.get(event)
        if index is None or not self._complete:
            return None
        start = index * DIGEST_BYTES
        salt = bytes(self._salts[start : start + _SALT_BYTES])
        return OutcomeProof(*self.end, index, len(self), salt, self._path(index))

    def _path(self, index: int) -> tuple[bytes, ...]:
        levels = self._levels or [bytes(self._leaves)]
        while len(levels[-1]) > DIGEST_BYTES:
            levels.append(_next_level(levels[-1]))
        self._levels = levels
        path = []
        for level in levels[:-1]:
            start = (index ^ 1) * DIGEST_BYTES
            if start < len(level):
                path.append(level[start : start + DIGEST_BYTES])
            index >>= 1
        return tuple(path)


class OutcomeTree:
    """The running interval and the last few finished ones."""

    def __init__(self, state: State, salt_key: bytes, interval_commits: int) -> None:
        self._state = state
        self._interval_commits = interval_commits
        self.set_salt_key(salt_key)
        self._finished: deque[_Interval] = deque()
        self.resume(None)

    @property
    def root(self) -> bytes:
        """The root over the running interval; ZERO_DIGEST while it is empty."""
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
        self._peaks = codec.decode(data, _Peaks, _MAX_PEAKS_BYTES, LocalFault) if data else _Peaks()
        self._running = _Interval(complete=self._peaks.count == 0)

    def apply(self, epoch: int, commit: int, outcomes: list[tuple[bytes, bytes]]) -> None:
        """Append a commit's executed outcomes, (event id, encoded outcome), to its interval."""
        before = self._peaks
        if (commit - 1) % self._interval_commits == 0:
            self._start()
        if outcomes:
            events = [event for event, _ in outcomes]
            named = [hashing.OUTCOME + event for event in events]
            salts = blake2b.digest_each(hashing.SALT, named, self._salt_key)
            leaves = blake2b.digest_each(
                hashing.OUTCOME,
                [
                    salts[at : at + _SALT_BYTES] + event + encoded
                    for at, (event, encoded) in zip(
                        range(0, len(salts), DIGEST_BYTES), outcomes, strict=True
                    )
                ],
            )
            self._running.add(events, salts, leaves)
            self._peaks = _append(self._peaks, leaves)
        if self._peaks != before:
            self._state.put(KEY, codec.encode(self._peaks))
        self._running.end = (epoch, commit)

    def prove(self, event: bytes) -> OutcomeProof | None:
        """The proof of an executed event under the root of `(proof.epoch, proof.commit)`, or None.

        In the running interval that is its newest commit, so it becomes a receipt only when that
        is a checkpoint; in a finished one it is the interval's last.
        """
        for interval in (self._running, *self._finished):
            proof = interval.prove(event)
            if proof is not None:
                return proof
        return None

    def _start(self) -> None:
        """Begin an interval; old ones go when there are too many or they hold too much."""
        if len(self._running):
            self._finished.append(self._running)
        while (
            len(self._finished) > limits.MAX_OPEN_CHECKPOINTS
            or sum(map(len, self._finished)) > limits.MAX_PROVABLE_OUTCOMES
        ):
            self._finished.popleft()
        self._peaks = _Peaks()
        self._running = _Interval(complete=True)


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


def _append(peaks: _Peaks, leaves: bytes) -> _Peaks:
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
    return _Peaks(total, tuple(reversed(after)))


def _next_level(level: bytes) -> bytes:
    even = len(level) - len(level) % (2 * DIGEST_BYTES)
    return blake2b.digest_rows(hashing.TREE, level[:even], 2 * DIGEST_BYTES) + level[even:]
