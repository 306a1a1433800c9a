"""What is missing, and whom to ask for it.

A missing ancestor is asked of whoever sent its descendant, and every `FETCH_RETRY_MS` of two other
peers in rotation. Ancestors far above the clock are not asked for one by one, which would walk the
history backwards, one round trip a round: a bulk fetch asks one peer for everything above what is
admitted here, and is repeated as long as it helps.
"""

from collections.abc import Callable

from ccp2p.consensus.messages import Draft, Fetch
from ccp2p.model import limits
from ccp2p.model.block import BlockReference


class _Request:
    __slots__ = ("attempts", "due_ms", "peer")

    def __init__(self, peer: int) -> None:
        self.peer = peer
        self.attempts = 0
        self.due_ms = 0


class Fetcher:
    """Requests by reference; `me` is not asked. `size` is n."""

    def __init__(self, me: int, size: int) -> None:
        self._me = me
        self._size = size
        self._fresh: dict[BlockReference, _Request] = {}
        self._asked: dict[BlockReference, _Request] = {}  # in order of their due times
        self._bulk_cause: int | None = None
        self._bulk_wanted = False
        self._bulk_peer: int | None = None
        self._bulk_due_ms = 0
        self._bulk_ready_ms = 0
        self._bulk_timeouts = 0

    @property
    def missing(self) -> int:
        """How many blocks are wanted."""
        return len(self._fresh) + len(self._asked)

    def want(self, reference: BlockReference, sender: int | None) -> None:
        """Ask for `reference`: first `sender`, or its author where there is none."""
        if reference not in self._asked and reference not in self._fresh:
            self._fresh[reference] = _Request(reference.author if sender is None else sender)

    def drop(self, reference: BlockReference) -> None:
        """`reference` came, or nobody needs it any more."""
        self._fresh.pop(reference, None)
        self._asked.pop(reference, None)

    def want_bulk(self, cause: int | None) -> None:
        """We are far behind, as a block from `cause` shows."""
        if self._bulk_peer is None:
            self._bulk_cause = cause
            self._bulk_wanted = True

    def answered(self, peer: int | None, is_progress: bool) -> None:
        """A fetch of ours was answered; a bulk fetch goes on at once while it brings something."""
        if peer is None or peer != self._bulk_peer:
            return
        self._bulk_peer = None
        self._bulk_timeouts = 0
        if is_progress:
            self._bulk_ready_ms = 0
            self.want_bulk(peer)

    def collect(
        self, now_ms: int, near_round: int, above: Callable[[], tuple[int, ...]], draft: Draft
    ) -> None:
        """Put the fetches that are due into `draft`; single ones up to `near_round` only."""
        by_peer: dict[int, dict[BlockReference, None]] = {}
        budget = limits.MAX_FETCH_REFERENCES
        while self._fresh and budget:
            reference = next(iter(self._fresh))
            budget -= 1
            self._ask(reference, self._fresh.pop(reference), now_ms, near_round, by_peer)
        while self._asked and budget:
            reference, request = next(iter(self._asked.items()))
            if request.due_ms > now_ms:
                break
            budget -= 1
            self._ask(reference, self._asked.pop(reference), now_ms, near_round, by_peer)
        for peer, references in by_peer.items():
            draft.fetch.append(Fetch(peer, tuple(references)))
        self._collect_bulk(now_ms, above, draft)

    def wake_ms(self, now_ms: int) -> int | None:
        """When `collect` has something to do."""
        if self._fresh:
            return now_ms
        times = [request.due_ms for request in self._asked.values()][:1]
        if self._bulk_peer is not None:
            times.append(self._bulk_due_ms)
        elif self._bulk_wanted:
            times.append(self._bulk_ready_ms)
        return min(times, default=None)

    def _ask(
        self,
        reference: BlockReference,
        request: _Request,
        now_ms: int,
        near_round: int,
        by_peer: dict[int, dict[BlockReference, None]],
    ) -> None:
        request.due_ms = now_ms + limits.FETCH_RETRY_MS
        self._asked[reference] = request
        if reference.round > near_round:
            return
        for peer in self._peers(request):
            by_peer.setdefault(peer, {})[reference] = None
        request.attempts += 1

    def _peers(self, request: _Request) -> list[int]:
        if request.attempts == 0 and request.peer != self._me:
            return [request.peer]
        start = request.peer + 1 + (request.attempts - 1) * limits.FETCH_PEERS
        rotated = [(start + step) % self._size for step in range(self._size)]
        return [peer for peer in rotated if peer != self._me][: limits.FETCH_PEERS]

    def _collect_bulk(
        self, now_ms: int, above: Callable[[], tuple[int, ...]], draft: Draft
    ) -> None:
        if self._bulk_peer is not None and now_ms >= self._bulk_due_ms:
            self._rotate_bulk()
        if not self._bulk_wanted or self._bulk_peer is not None or now_ms < self._bulk_ready_ms:
            return
        self._bulk_wanted = False
        peer = self._bulk_cause
        if peer is None or peer == self._me:
            peer = (self._me + 1) % self._size
        if peer == self._me:
            return
        self._bulk_peer = peer
        self._bulk_due_ms = now_ms + limits.BULK_RETRY_MS
        self._bulk_ready_ms = now_ms + limits.FETCH_RETRY_MS
        draft.fetch.append(Fetch(peer, (), above()))

    def _rotate_bulk(self) -> None:
        """The peer asked did not answer in time: ask the next, until all were asked in vain."""
        silent, self._bulk_peer = self._bulk_peer, None
        self._bulk_timeouts += 1
        if silent is not None and self._bulk_timeouts < self._size:
            self.want_bulk((silent + 1) % self._size)
        else:
            self._bulk_timeouts = 0
