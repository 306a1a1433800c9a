"""The ordering side of a node without IO: consensus, the restart floor, and what to tell whom.

Every method takes the time and returns a Step. The driver's duty is the order: persist a step's
blocks, then send its messages, then apply its commits.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ccp2p.consensus.coin import Coin
from ccp2p.consensus.core import Consensus
from ccp2p.consensus.messages import (
    BlocksReceived,
    CommittedBlocks,
    Equivocation,
    Output,
    PayloadOffered,
    Push,
    Recovered,
    Resumed,
    Tick,
)
from ccp2p.model.block import BlockReference, VerifiedBlock
from ccp2p.model.committee import Committee
from ccp2p.model.errors import PeerFault
from ccp2p.model.genesis import Parameters
from ccp2p.node.floor import Floor, FloorAnswer, FloorSearch
from ccp2p.node.messages import Blocks, FetchBlocks, PeerMessage
from ccp2p.node.patience import Patience


@dataclass(frozen=True, slots=True)
class Step:
    """What one input made necessary. `to` is a seat index, or None for every other seat."""

    persist: tuple[VerifiedBlock, ...]
    send: tuple[tuple[int | None, PeerMessage], ...]
    commits: tuple[CommittedBlocks, ...]
    evidence: tuple[Equivocation, ...]
    faults: tuple[tuple[int | None, PeerFault], ...]
    wake_ms: int | None
    refused: int
    floor: Floor | None


class NodeCore:
    """One seat's ordering. `coin_limit` is the round from which its epoch should close."""

    def __init__(
        self,
        *,
        network: bytes,
        committee: Committee,
        me: int | None,
        parameters: Parameters,
        coin: Coin,
        sign: Callable[[bytes], bytes],
        recovered: Recovered | None,
        just_founded: bool = False,
        ledger_time_ms: int = 0,
    ) -> None:
        """`me` is None for an observer, who never proposes.

        `just_founded`: this process saw the epoch begin and looks for no floor. `ledger_time_ms`
        is that with which the epoch begins.
        """
        self.committee = committee
        self.me = -1 if me is None else me
        self.consensus = Consensus(
            network=network,
            committee=committee,
            me=self.me,
            parameters=parameters,
            coin=coin,
            sign=sign,
            recovered=recovered,
            may_propose=False,
            ledger_time_ms=ledger_time_ms,
        )
        own = self.consensus.own_newest
        self._search: FloorSearch | None = None
        self.floor: Floor | None = None
        self._patience = Patience(parameters.max_round_delay_ms)
        if me is not None:
            self._search = FloorSearch(
                committee.size,
                committee.faulty,
                me,
                own.round if own else 0,
                parameters.resume == "disks",
                just_founded,
            )
        self.coin_limit = parameters.coin_length * 4 // 5
        self.is_halted = False

    @property
    def search(self) -> FloorSearch | None:
        """The search for the restart floor; it ends with our first block at that floor or above."""
        own = self.consensus.own_newest
        if self.floor is not None and own is not None and own.round >= self.floor.round:
            self._search = None
        return self._search

    @property
    def starting(self) -> bool:
        """Until the floor is found, this node follows without proposing."""
        return self.search is not None and self.floor is None

    def halt(self) -> None:
        """Sign no more blocks in this epoch, whatever comes: this node promised that."""
        self.is_halted = True
        self.consensus.halt()

    def close(self) -> None:
        """Hold no blocks any more: this epoch is over, and the next one at work."""
        self.consensus.close()

    @property
    def coin_runs_out(self) -> bool:
        """Whether the epoch should close: 80% of the coin chain is used.

        Past its end the order of slots is known beforehand: safe, but no longer live against a
        scheduler.
        """
        return self.consensus.round >= self.coin_limit

    def admitted(self, reference: BlockReference) -> bool:
        """Whether a shown block is in the DAG or below what the DAG still holds."""
        return self.consensus.is_admitted(reference) or reference.round <= self.consensus.gc_round

    def receive(
        self, sender: int | None, blocks: tuple[VerifiedBlock, ...], solicited: bool, now_ms: int
    ) -> Step:
        """Verified blocks from a seat."""
        return self._step(BlocksReceived(sender, blocks, solicited), now_ms)

    def offer(
        self,
        envelopes: tuple[bytes, ...],
        votes: tuple[bytes, ...],
        membership: tuple[bytes, ...],
        now_ms: int,
    ) -> Step:
        """Payload for our next blocks."""
        return self._step(PayloadOffered(envelopes, votes, membership), now_ms)

    def floor_peers(self) -> list[int]:
        """Whom to ask for the restart floor now; nobody once we proposed.

        A floor that was found is no more than a plan, so all are asked how they stand by then.
        """
        search = self.search
        if search is None:
            return []
        return search.missing(self.admitted) if self.starting else search.peers

    def floor_answer(self, peer: int, answer: FloorAnswer, now_ms: int) -> Step:
        """A peer's answer to this start's question; its blocks were received before."""
        if (search := self.search) is not None:
            search.add(peer, answer)
        return self.tick(now_ms)

    def tick(self, now_ms: int) -> Step:
        """Time passed."""
        return self._step(Tick(), now_ms)

    def _step(self, event: BlocksReceived | PayloadOffered | Tick, now_ms: int) -> Step:
        step = self._stepped(self.consensus.handle(event, now_ms))
        floor = self._new_floor(now_ms)
        if floor is None:
            return step
        self.floor = floor
        resumed = self.consensus.handle(Resumed(floor.round), now_ms)
        return _joined(step, self._stepped(resumed), floor)

    def _new_floor(self, now_ms: int) -> Floor | None:
        """The floor when it is found; later a lower one, if a quorum does not lead us to the first.

        After a cut of power so many may have to start anew that those left never reach the floor
        that they told before it.
        """
        search = self.search
        if search is None or self.is_halted:
            return None
        self._patience.look(self.consensus.round, self.starting, now_ms)
        if self.floor is not None and not self._patience.waits:
            return None
        floor = search.decide(self.admitted)
        is_new = self.floor is None or (floor is not None and floor.round < self.floor.round)
        return floor if is_new else None

    def _stepped(self, output: Output) -> Step:
        send: list[tuple[int | None, PeerMessage]] = [
            (push.peer, _blocks(push)) for push in output.send
        ]
        epoch = self.committee.epoch
        send.extend((f.peer, FetchBlocks(f.references, f.above, epoch)) for f in output.fetch)
        return Step(
            output.persist,
            tuple(send),
            output.commits,
            output.evidence,
            output.faults,
            output.wake_ms,
            output.refused,
            None,
        )


def _joined(first: Step, second: Step, floor: Floor) -> Step:
    """Both, one after the other."""
    return Step(
        persist=first.persist + second.persist,
        send=first.send + second.send,
        commits=first.commits + second.commits,
        evidence=first.evidence + second.evidence,
        faults=first.faults + second.faults,
        wake_ms=second.wake_ms,
        refused=first.refused + second.refused,
        floor=floor,
    )


def _blocks(push: Push) -> Blocks:
    return Blocks(tuple(block.to_bytes() for block in push.blocks))
