"""Consensus: joins the DAG, the decision rules, the linearizer and the proposer without IO.

`handle` takes one input at a time and says what to persist, then send, then apply. The same inputs
at the same times give the same outputs; after a restart from what was persisted the sequence of
commits goes on as if nothing had happened.
"""

from ccp2p.consensus.clock import ThresholdClock
from ccp2p.consensus.coin import Coin, CoinBook
from ccp2p.consensus.dag import Dag
from ccp2p.consensus.decide import SKIP_WAVE, Decider, Slot
from ccp2p.consensus.fetcher import Fetcher
from ccp2p.consensus.index import Index
from ccp2p.consensus.linearizer import Linearizer
from ccp2p.consensus.messages import (
    BlocksReceived,
    Draft,
    Input,
    Output,
    PayloadOffered,
    Push,
    Recovered,
    Resumed,
)
from ccp2p.consensus.proposer import PayloadQueue, Signer, build_block, choose_parents
from ccp2p.consensus.pusher import push_history
from ccp2p.consensus.validity import Rules
from ccp2p.consensus.vertex import Vertex
from ccp2p.model import limits
from ccp2p.model.block import BlockReference, VerifiedBlock
from ccp2p.model.commit import Commit
from ccp2p.model.committee import Committee
from ccp2p.model.errors import LocalFault
from ccp2p.model.genesis import Parameters

# A long answer is settled in strides, so that the gc round follows as it did at its sender's: what
# an honest node admitted in this order never waits for an ancestor that the gc round covers.
SETTLE_BLOCKS = 64


class Consensus:
    """One node's view of one epoch. `me` is a seat index, or -1 for an observer.

    `may_propose` is False while a restarted node looks for its floor (`Resumed` ends that).
    LocalFault when `recovered` is not what this class once put out, or `coin` not this epoch's.
    """

    def __init__(
        self,
        *,
        network: bytes,
        committee: Committee,
        me: int,
        parameters: Parameters,
        coin: Coin,
        sign: Signer,
        recovered: Recovered | None,
        may_propose: bool,
        ledger_time_ms: int = 0,
    ) -> None:
        """`ledger_time_ms` is that of the epoch's record: commits never go back behind it."""
        size = committee.size
        self._me = me
        self._size = size
        self._parameters = parameters
        self._sign = sign
        self._rules = Rules.of(network, committee, parameters)
        self._book = CoinBook(coin, parameters.coin_delay, size, parameters.slots_per_round or size)
        self._index = Index(size, committee.quorum, parameters.commit_waves)
        self._fetcher = Fetcher(me, size)
        self._dag = Dag(size, self._index, self._book, self._fetcher)
        self._clock = ThresholdClock(committee.quorum)
        self._linearizer = Linearizer(
            committee.epoch, parameters.gc_depth, self._index, self._book, ledger_time_ms
        )
        self._queue = PayloadQueue()
        self._own: BlockReference | None = None
        self._own_block: VerifiedBlock | None = None
        self._may_propose = may_propose
        self._is_halted = False
        self._floor_round = 1
        self._proposed_ms: int | None = None
        self._resend_ms: int | None = 0  # a crash may have come between persisting and sending
        self._far_round = 0
        self._carried = Draft()  # what recovery found, for the first output
        leader = recovered.commits[-1].leader if recovered and recovered.commits else None
        after = Slot(leader.round, leader.author) if leader else None
        self._decider = Decider(self._index, self._book, committee, parameters.commit_waves, after)
        if recovered is not None:
            self._recover(recovered)

    @property
    def round(self) -> int:
        """The threshold clock: the round for which a block could be proposed now."""
        return self._clock.round

    @property
    def last_commit(self) -> Commit | None:
        """The newest commit."""
        return self._linearizer.last

    @property
    def gc_round(self) -> int:
        """Blocks at or below this round are ignored."""
        return self._dag.gc_round

    @property
    def own_newest(self) -> BlockReference | None:
        """Our admitted block of the highest round, whoever brought it."""
        return self._own

    @property
    def last_rounds(self) -> list[int]:
        """The highest round of each author's admitted blocks since the start; 0: none."""
        return list(self._index.last_rounds)

    @property
    def newest_by_author(self) -> list[BlockReference | None]:
        """The admitted block of the highest round of each author, above the gc round."""
        newest = (self._index.newest(author) for author in range(self._size))
        return [vertex.reference if vertex else None for vertex in newest]

    @property
    def missing(self) -> int:
        """How many blocks are known to exist and asked for."""
        return self._fetcher.missing

    @property
    def suspended(self) -> int:
        """How many blocks wait for ancestors."""
        return self._dag.suspended

    @property
    def admitted(self) -> int:
        """How many blocks the DAG holds, all above the gc round."""
        return len(self._index)

    @property
    def pending_payload(self) -> tuple[int, int]:
        """How many offered items wait for a block of ours, and their bytes."""
        return self._queue.pending

    def halt(self) -> None:
        """Propose nothing more in this epoch; what others send is followed and served as before."""
        self._is_halted = True

    def close(self) -> None:
        """Propose nothing more, and forget all blocks: whatever came now would be too old."""
        self._is_halted = True
        rounds = (reference.round for reference in self.newest_by_author if reference)
        self._dag.collect(max(rounds, default=0), Draft())

    def is_admitted(self, reference: BlockReference) -> bool:
        """Whether a block is in the DAG, or too old to be."""
        if reference.round <= self.gc_round:
            return True
        vertex = self._index.get(reference.digest)
        return vertex is not None and vertex.reference == reference

    def handle(self, event: Input, now_ms: int) -> Output:
        """Take one input at Unix time `now_ms`; what to do about it is returned."""
        draft, self._carried = self._carried, Draft()
        if isinstance(event, BlocksReceived):
            self._receive(event, draft)
        elif isinstance(event, PayloadOffered):
            draft.refused = self._queue.offer(event)
        elif isinstance(event, Resumed):
            self._may_propose = True
            self._floor_round = event.floor_round
        self._settle(draft)
        if self._proposal_ms(now_ms) == now_ms:
            self._propose(now_ms, draft)
            self._settle(draft)
        self._resend(now_ms, draft)
        self._fetcher.collect(now_ms, self._near_round, self._above, draft)
        return draft.finish(self._wake_ms(now_ms))

    def _receive(self, event: BlocksReceived, draft: Draft) -> None:
        before = len(draft.persist)
        for number, block in enumerate(event.blocks, 1):
            round_ = block.reference.round
            if round_ > self._clock.round + limits.MAX_ROUNDS_AHEAD and not event.solicited:
                self._far_round = max(self._far_round, round_)
            else:
                self._dag.offer(block, event.sender, draft)
            if number % SETTLE_BLOCKS == 0:
                self._settle(draft)
        self._follow()
        is_progress = len(draft.persist) > before
        if event.solicited and not is_progress:
            self._far_round = 0  # whoever claimed it could not show the way there
        highest = max(self._far_round, self._dag.highest_suspended_round)
        is_behind = highest > self._near_round
        if event.solicited:
            self._fetcher.answered(event.sender, is_progress and is_behind)
        elif is_behind:
            self._fetcher.want_bulk(event.sender)

    def _settle(self, draft: Draft) -> None:
        """Commit what is decided, and admit what that unblocks, until nothing moves."""
        while True:
            self._follow()
            leaders = self._decider.next_leaders()
            if not leaders:
                return
            for leader in leaders:
                draft.commits.append(self._linearizer.commit(leader))
            self._dag.collect(self._linearizer.gc_round, draft)
            self._book.collect(self._linearizer.gc_round)

    def _follow(self) -> None:
        """Let the clock, the coin and the decider know what was admitted."""
        for vertex in self._dag.take_admitted():
            self._advance(vertex)
            self._decider.observe(vertex)

    def _advance(self, vertex: Vertex) -> None:
        completed = self._clock.accept(vertex.round, vertex.author)
        if completed is not None:
            self._book.release(completed)
        if vertex.author == self._me and (self._own is None or self._own.round < vertex.round):
            self._own = vertex.reference
            self._own_block = vertex.block
            self._index.cover_history(vertex)

    def _proposal_ms(self, now_ms: int) -> int | None:
        """When our next block is due, `now_ms` at the earliest; None while it cannot be made."""
        round_ = self._clock.round
        if self._is_halted or not self._may_propose or self._me < 0 or round_ < self._floor_round:
            return None
        if self._own is not None and self._own.round >= round_:
            return None
        if self._proposed_ms is None:
            return now_ms
        is_busy = self._queue.is_urgent or self._index.urgent > 0
        if is_busy and round_ <= SKIP_WAVE:  # nothing is decided before: who waits has waited
            return now_ms
        parameters = self._parameters
        delay = parameters.min_round_delay_ms if is_busy else parameters.max_round_delay_ms
        return max(now_ms, min(self._proposed_ms, now_ms) + delay)

    def _propose(self, now_ms: int, draft: Draft) -> None:
        round_ = self._clock.round
        parents = choose_parents(
            self._index, self._rules, self._me, self._own, round_, self.gc_round
        )
        block = build_block(
            self._rules,
            self._me,
            round_,
            parents,
            self._queue.take(),
            self._book.carried(round_),
            now_ms,
            self._sign,
        )
        self._dag.offer(block, None, draft)
        own = self._index.get(block.reference.digest)
        if own is not None:
            push_history(self._index, own, self._size, draft)
        self._proposed_ms = now_ms
        self._resend_ms = now_ms + limits.RESEND_MS
        draft.send.append(Push(None, (block,)))

    def _resend(self, now_ms: int, draft: Draft) -> None:
        """Send our newest block again while no quorum answers it: it may have been lost."""
        if self._resend_ms is None:
            return
        if self._own_block is None or self._clock.round > self._own_block.reference.round:
            self._resend_ms = None
        elif now_ms >= self._resend_ms:
            self._resend_ms = now_ms + limits.RESEND_MS
            draft.send.append(Push(None, (self._own_block,)))

    @property
    def _near_round(self) -> int:
        return self._clock.round + limits.BULK_FETCH_ROUNDS

    def _above(self) -> tuple[int, ...]:
        newest = (self._index.newest(author) for author in range(self._size))
        return tuple(vertex.round if vertex else self.gc_round for vertex in newest)

    def _wake_ms(self, now_ms: int) -> int | None:
        times = (self._proposal_ms(now_ms), self._resend_ms, self._fetcher.wake_ms(now_ms))
        return min((time for time in times if time is not None), default=None)

    def _recover(self, recovered: Recovered) -> None:
        """Rebuild the DAG and the end of the chain of commits from our own log.

        The log may be ahead of the commits: what is decided beyond them goes into the next output,
        and moves the gc round to where it was when the log's last blocks were admitted.
        """
        gc_round = 0
        if recovered.commits:
            gc_round = max(0, recovered.commits[-1].leader.round - self._parameters.gc_depth)
        draft = Draft()
        self._dag.collect(gc_round, draft)
        for block in recovered.blocks:
            if block.reference.round > gc_round:
                self._book.adopt(block.reference.round, block.header.coin)
                self._dag.restore(block, draft)
        self._follow()
        if recovered.commits:
            self._linearizer.resume(recovered.commits)
        self._settle(draft)
        if draft.faults or self._dag.suspended:
            raise LocalFault("recovered-blocks", "our own log of blocks has gaps")
        self._carried.commits = draft.commits
        self._carried.evidence = draft.evidence
        if self._own is None:
            own = (one.reference for one in recovered.blocks if one.reference.author == self._me)
            self._own = max(own, default=None)
