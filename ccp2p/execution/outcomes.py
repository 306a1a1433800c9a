"""The Merkle tree over the outcomes of a checkpoint interval, and proofs from it.

The tree is that of RFC 6962: nodes pair up, an odd one is promoted. Its peaks are kept in the
state, so a node that restarts within an interval computes the same root; the leaves are kept in
memory only, so that node proves nothing of that interval, and others do.
"""

from collections import deque
from typing import Final

from ccp2p.execution.state import SYSTEM, State
from ccp2p.model import codec, hashing, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import LocalFault
from ccp2p.model.hashing import ZERO_DIGEST
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
        self._levels: list[list[bytes]] = [[]]
        self._places: dict[bytes, tuple[int, bytes]] = {}
        self._complete = complete
        self.end = (0, 0)

    def __len__(self) -> int:
        return len(self._levels[0])

    def add(self, event: bytes, salt: bytes, leaf: bytes) -> None:
        if len(self) >= limits.MAX_PROVABLE_OUTCOMES:
            self._levels, self._places, self._complete = [[]], {}, False
        del self._levels[1:]
        self._places[event] = (len(self), salt)
        self._levels[0].append(leaf)

    def prove(self, event: bytes) -> OutcomeProof | None:
        place = self._places.get(event)
        if place is None or not self._complete:
            return None
        index, salt = place
        return OutcomeProof(*self.end, index, len(self), salt, self._path(index))

    def _path(self, index: int) -> tuple[bytes, ...]:
        while len(self._levels[-1]) > 1:
            self._levels.append(_next_level(self._levels[-1]))
        path = []
        for level in self._levels[:-1]:
            if index ^ 1 < len(level):
                path.append(level[index ^ 1])
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
        peaks, count = list(self._peaks.digests), self._peaks.count
        for event, encoded in outcomes:
            salt = hashing.keyed(hashing.SALT, self._salt_key, hashing.OUTCOME, event)[:_SALT_BYTES]
            leaf = _leaf(salt, event, encoded)
            self._running.add(event, salt, leaf)
            _append(peaks, count, leaf)
            count += 1
        self._peaks = _Peaks(count, tuple(peaks))
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


def _append(peaks: list[bytes], count: int, leaf: bytes) -> None:
    """Add a leaf to `count` others: equal subtrees merge, as in binary addition."""
    peaks.append(leaf)
    while count & 1:
        right = peaks.pop()
        peaks.append(_node(peaks.pop(), right))
        count >>= 1


def _next_level(level: list[bytes]) -> list[bytes]:
    paired = [_node(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
    return paired + level[len(level) & ~1 :]
