"""The pure twin of `ext/log_index.pyx`, from dictionaries and lists.

Python seeds its own dictionaries, so the seed is only checked.
"""

from array import array
from collections.abc import Sequence

from ccp2p.model import hashing, limits

DIGEST_BYTES = hashing.DIGEST_BYTES
SEED_BYTES = 32
MAX_IDS = 2**31 - 1
MAX_COIN_BYTES = 64


class BlockIndex:
    """Blocks by digest and by dense id, from 0 in order of appending."""

    def __init__(self, seed: bytes, capacity: int) -> None:
        _check_arguments(seed, capacity)
        self._capacity = capacity
        self._ids: dict[bytes, int] = {}
        self._digests: list[bytes] = []
        self._rounds: list[int] = []
        self._authors: list[int] = []
        self._parents: list[list[int]] = []

    def __len__(self) -> int:
        return len(self._ids)

    def append(
        self,
        digests: bytes,
        rounds: Sequence[int],
        authors: Sequence[int],
        parent_counts: Sequence[int],
        parents: bytes,
    ) -> "array[int]":
        """Append blocks; their ids."""
        _check_blocks(digests, rounds, authors, parent_counts, parents)
        _check_room(len(self._ids), len(rounds), self._capacity)
        ids, known, at = array("q"), self._ids, 0
        named = _split(parents)
        for digest, round_, author, count in zip(
            _split(digests), rounds, authors, parent_counts, strict=True
        ):
            found = known.get(digest)
            if found is None:
                own = [known.get(parent) for parent in named[at : at + count]]
                found = known[digest] = len(self._digests)
                self._digests.append(digest)
                self._rounds.append(round_)
                self._authors.append(author)
                self._parents.append([parent for parent in own if parent is not None])
            ids.append(found)
            at += count
        return ids

    def find(self, digests: bytes) -> "array[int]":
        """The id of each digest; -1 where it is unknown."""
        _check_digests(digests)
        get = self._ids.get
        return array("q", [get(digest, -1) for digest in _split(digests)])

    def ancestors(self, tip: int, floor: int, coin: bytes) -> "array[int]":
        """The ids of `tip` and its ancestors above round `floor`, in the linear order."""
        self._check_id(tip)
        if floor < 0:
            raise ValueError("a floor is not negative")
        if len(coin) > MAX_COIN_BYTES:
            raise ValueError(f"a coin has at most {MAX_COIN_BYTES} bytes")
        rounds, parents = self._rounds, self._parents
        found, visited = [tip], {tip}
        for block_id in found:
            for parent in parents[block_id]:
                if parent not in visited and rounds[parent] > floor:
                    visited.add(parent)
                    found.append(parent)
        keyed, domain, digests = hashing.keyed, hashing.LINEAR_ORDER, self._digests
        places = [(rounds[each], keyed(domain, coin, digests[each]), each) for each in found]
        places.sort()
        return array("q", [block_id for _, _, block_id in places])

    def rounds(self, ids: Sequence[int]) -> "array[int]":
        """The round of each id."""
        return array("q", [self._rounds[self._check_id(each)] for each in ids])

    def authors(self, ids: Sequence[int]) -> "array[int]":
        """The author of each id."""
        return array("q", [self._authors[self._check_id(each)] for each in ids])

    def digests(self, ids: Sequence[int]) -> bytes:
        """The digests of the ids, one after another."""
        return b"".join([self._digests[self._check_id(each)] for each in ids])

    def parents(self, block_id: int) -> "array[int]":
        """The ids of a block's known parents, in their signed order."""
        return array("q", self._parents[self._check_id(block_id)])

    def _check_id(self, block_id: int) -> int:
        if not 0 <= block_id < len(self._ids):
            raise IndexError("no block has this id")
        return block_id


class EventIndex:
    """Executed events: id to (commit, position), and a digest that chains them all."""

    def __init__(self, seed: bytes, capacity: int) -> None:
        _check_arguments(seed, capacity)
        self._capacity = capacity
        self._places: dict[bytes, tuple[int, int]] = {}
        self._commit = -1
        self.head = hashing.ZERO_DIGEST

    def __len__(self) -> int:
        return len(self._places)

    def append(self, commit: int, ids: bytes) -> None:
        """The next commit's events, in order; an id that is known keeps its first place."""
        _check_digests(ids)
        if commit <= self._commit:
            raise ValueError("commits are appended in order, each once")
        _check_room(len(self._places), len(ids) // DIGEST_BYTES, self._capacity)
        self.head = hashing.digest(hashing.EVENT_LOG, self.head, commit.to_bytes(8, "big"), ids)
        self._commit = commit
        for position, event in enumerate(_split(ids)):
            self._places.setdefault(event, (commit, position))

    def find(self, ids: bytes) -> "tuple[array[int], array[int]]":
        """The commits and the positions of the ids; -1 in both where one is unknown."""
        _check_digests(ids)
        unknown = (-1, -1)
        places = [self._places.get(event, unknown) for event in _split(ids)]
        return array("q", [place[0] for place in places]), array("q", [p[1] for p in places])


def _split(digests: bytes) -> list[bytes]:
    return [digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES)]


def _check_digests(digests: bytes) -> None:
    if type(digests) is not bytes:
        raise TypeError("digests must be bytes")
    if len(digests) % DIGEST_BYTES:
        raise ValueError(f"digests have {DIGEST_BYTES} bytes each")


def _check_arguments(seed: bytes, capacity: int) -> None:
    if len(seed) != SEED_BYTES:
        raise ValueError(f"a seed has {SEED_BYTES} bytes")
    if not 0 <= capacity <= MAX_IDS:
        raise ValueError(f"a capacity is at most {MAX_IDS}")


def _check_room(held: int, more: int, capacity: int) -> None:
    if held + more > capacity:
        raise ValueError(f"the index is full at {capacity}")


def _check_blocks(
    digests: bytes,
    rounds: Sequence[int],
    authors: Sequence[int],
    parent_counts: Sequence[int],
    parents: bytes,
) -> None:
    if not type(digests) is type(parents) is bytes:
        raise TypeError("digests must be bytes")
    if not len(rounds) == len(authors) == len(parent_counts) or (
        len(digests) != len(rounds) * DIGEST_BYTES
    ):
        raise ValueError("digests, rounds, authors and counts must be of one number")
    if not rounds:
        bounds = (0, 0, 0, 0)
    else:
        bounds = (min(rounds), min(authors), max(authors), max(parent_counts))
    if bounds[0] < 0 or bounds[1] < 0 or bounds[2] >= 2**32:
        raise ValueError("rounds and authors are not negative, and authors have 32 bits")
    if bounds[3] > limits.MAX_PARENTS or any(count < 0 for count in parent_counts):
        raise ValueError(f"a block has at most {limits.MAX_PARENTS} parents")
    if len(parents) != sum(parent_counts) * DIGEST_BYTES:
        raise ValueError("parents must be as many digests as the counts say")
