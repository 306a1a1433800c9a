"""What a node keeps so that members can prove what became of their events, and the proving.

Two rings of records in the store's metadata, written with the commits they belong to: the leaves of
each commit's outcomes, and certified checkpoints. A new record takes the place of the one
`KEPT_CHECKPOINTS` intervals before, so both are bounded without pruning; each names its commit.
Epochs count their commits from one, so even and odd ones have rings of their own: what the last
one left stays while the next one begins.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ccp2p.execution.checkpoints import checkpoint_of_close, due_checkpoint
from ccp2p.execution.outcomes import Leaves, Stretch
from ccp2p.model import codec, limits
from ccp2p.model.checkpoint import Certified
from ccp2p.model.codec import Wire
from ccp2p.model.commit import Commit
from ccp2p.model.envelope import event_id
from ccp2p.model.epoch import SignedEpochRecord, parse_record
from ccp2p.model.errors import LocalFault, MemberFault
from ccp2p.model.member_protocol import Proof, Prove, Records
from ccp2p.storage.store import Store

T = TypeVar("T")

_NEWEST = "checkpoint"
_IMAGE = "image"
_SEARCHED_RINGS = 8  # times what a ring holds: so far back a busy network has overwritten it all
_CACHED_STRETCHES = 2  # who waits for one checkpoint asks right after it


class _Image(Wire, frozen=True):
    epoch: int
    commit: int


class _Kept(Wire, frozen=True):
    """The leaves of one commit."""

    epoch: int
    commit: int
    leaves: Leaves


def kept_leaves(commit: Commit, leaves: Leaves, interval: int) -> dict[str, bytes]:
    """The record, by name, of what a commit executed; none when it executed nothing."""
    if not leaves.events:
        return {}
    kept = _Kept(commit.epoch, commit.index, leaves)
    return {_leaves_name(commit.epoch, commit.index, interval): codec.encode(kept)}


def kept_checkpoint(certified: Certified, interval: int) -> dict[str, bytes]:
    """The records, by name, of a checkpoint that was certified just now."""
    data = codec.encode(certified)
    return {_checkpoint_name(*_place(certified), interval): data, _NEWEST: data}


def kept_image(epoch: int, commit: int) -> dict[str, bytes]:
    """The record, by name, that the state up to `commit` was fetched and not executed here."""
    return {_IMAGE: codec.encode(_Image(epoch, commit))}


def image_commit(store: Store, epoch: int) -> int:
    """The commit up to which this epoch's roots on record are others' word, or 0."""
    image = _read(store, _IMAGE, _Image)
    return image.commit if image and image.epoch == epoch else 0


def newest_checkpoint(store: Store, epoch: int) -> Certified | None:
    """The newest certified checkpoint on disk, when it is of `epoch`."""
    certified = _read(store, _NEWEST, Certified)
    return certified if certified and certified.checkpoint.epoch == epoch else None


class Prover:
    """Answers members from the disk; one caller at a time.

    `interval` is the genesis parameter; `records` gives the chain from epoch record 0.
    """

    def __init__(
        self,
        store: Store,
        network: bytes,
        interval: int,
        records: Callable[[], Sequence[SignedEpochRecord]],
    ) -> None:
        self._store = store
        self._network = network
        self._interval = interval
        self._kept_commits = limits.KEPT_CHECKPOINTS * interval
        self._records = records
        self._stretches: dict[tuple[int, int, int], Stretch] = {}

    def prove(self, member: bytes, asked: Prove) -> Proof:
        """The proof of an executed event of `member` under a certified checkpoint.

        `asked` shows the whole event, so that nobody learns of another member's. MemberFault
        `not-yet` when no checkpoint covers it so far, `gone` when this node kept too little.
        """
        due = due_checkpoint(asked.commit, self._interval)
        certified = self._covering(asked.epoch, due)
        if not any(self._leaves(asked.epoch, (asked.commit,))):
            raise MemberFault("gone", "this node kept nothing of what that commit executed")
        stretch = self._load(certified, due - self._interval + 1)
        proof = stretch.prove(event_id(self._network, member, asked.sequence, asked.body))
        if proof is None:
            raise MemberFault("unknown-event", "no such event of this member was executed there")
        return Proof(certified, codec.encode(proof))

    def records(self, first: int) -> Records:
        """The epoch records from epoch `first` on, as many as fit one reply."""
        page: list[SignedEpochRecord] = []
        size = 0
        for signed in self._records()[first:]:
            size += len(codec.encode(signed))
            if page and size > limits.MAX_QUERY_REPLY_BYTES:
                break
            page.append(signed)
        return Records(tuple(page))

    def _covering(self, epoch: int, due: int) -> Certified:
        """The first kept checkpoint of `epoch` from commit `due` on, or its CLOSE.

        Votes may come too late for a checkpoint, and who asks may come late for it; each later one,
        and CLOSE, covers what it would.
        """
        names = (_checkpoint_slot(epoch, slot) for slot in range(limits.KEPT_CHECKPOINTS))
        found = [kept for name in names if (kept := _read(self._store, name, Certified))]
        covering = [kept for kept in found if _place(kept)[0] == epoch and _place(kept)[1] >= due]
        if covering:
            return min(covering, key=_place)
        for signed in self._records()[epoch + 1 : epoch + 2]:
            return Certified(checkpoint_of_close(parse_record(signed.record)), ())
        newest = _read(self._store, _NEWEST, Certified)
        if newest is None or _place(newest) < (epoch, due):
            raise MemberFault("not-yet", "no certified checkpoint covers this event yet")
        raise MemberFault("gone", "this node keeps no checkpoint of that time any more")

    def _load(self, certified: Certified, first: int) -> Stretch:
        epoch, end = _place(certified)
        place = (epoch, first, end)
        stretch = self._stretches.get(place)
        if stretch is None:
            # Commits that executed nothing take no leaf's place, so older ones may be there.
            commits = range(max(first, end - _SEARCHED_RINGS * self._kept_commits + 1), end + 1)
            stretch = Stretch(epoch, end, self._leaves(epoch, commits))
            if stretch.root != certified.checkpoint.outcomes_root:
                raise MemberFault("gone", "this node did not keep all outcomes of that time")
            while len(self._stretches) >= _CACHED_STRETCHES:
                del self._stretches[next(iter(self._stretches))]
            self._stretches[place] = stretch
        return stretch

    def _leaves(self, epoch: int, commits: Iterable[int]) -> Iterable[Leaves]:
        for commit in commits:
            kept = _read(self._store, _leaves_name(epoch, commit, self._interval), _Kept)
            if kept is not None and (kept.epoch, kept.commit) == (epoch, commit):
                yield kept.leaves


def _place(certified: Certified) -> tuple[int, int]:
    return certified.checkpoint.epoch, certified.checkpoint.commit


def _checkpoint_name(epoch: int, commit: int, interval: int) -> str:
    return _checkpoint_slot(epoch, commit // interval % limits.KEPT_CHECKPOINTS)


def _checkpoint_slot(epoch: int, slot: int) -> str:
    return f"checkpoint/{epoch % 2}/{slot}"


def _leaves_name(epoch: int, commit: int, interval: int) -> str:
    return f"outcomes/{epoch % 2}/{commit % (limits.KEPT_CHECKPOINTS * interval)}"


def _read(store: Store, name: str, kind: type[T]) -> T | None:
    data = store.meta(name)
    return None if data is None else codec.decode(data, kind, len(data), LocalFault)
