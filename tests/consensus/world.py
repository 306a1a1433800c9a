"""What consensus tests share: a committee, a coin, and a small network in virtual time."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from ccp2p.consensus.core import Consensus
from ccp2p.consensus.messages import (
    BlocksReceived,
    CommittedBlocks,
    Equivocation,
    Input,
    Output,
    Recovered,
    Tick,
)
from ccp2p.consensus.validity import Rules, check_block
from ccp2p.model import hashing, limits
from ccp2p.model.block import VerifiedBlock
from ccp2p.model.committee import Committee, Seat
from ccp2p.model.genesis import Parameters

NETWORK = hashing.digest(hashing.GENESIS, b"a test network")
START_MS = 1_000_000


class ChainCoin:
    """A whole hash chain in memory."""

    def __init__(self, length: int = 4096, secret: bytes = b"secret") -> None:
        values = [hashing.digest(hashing.COIN, secret)]
        for _ in range(length):
            values.append(hashing.digest(hashing.COIN, values[-1]))
        self._values = values[::-1]
        self.length = length
        self.anchor = self._values[0]

    def reveal(self, round: int) -> bytes:
        return self._values[round]


COIN = ChainCoin()


def committee_of(size: int) -> Committee:
    seats = tuple(Seat(bytes([i]) * 32, bytes([i]) * 32, b"", "simulated") for i in range(size))
    return Committee(0, seats)


def fake_sign(message: bytes) -> bytes:
    """Signatures are checked elsewhere; these only have the right size."""
    return hashing.digest(hashing.NONCE, message) * 2


def consensus_of(
    size: int,
    me: int,
    parameters: Parameters | None = None,
    recovered: Recovered | None = None,
    may_propose: bool = True,
    coin: ChainCoin = COIN,
) -> Consensus:
    return Consensus(
        network=NETWORK,
        committee=committee_of(size),
        me=me,
        parameters=parameters or Parameters(coin_length=coin.length),
        coin=coin,
        sign=fake_sign,
        recovered=recovered,
        may_propose=may_propose,
    )


@dataclass
class Member:
    """One node of the network: its core and what its disk holds."""

    core: Consensus
    log: list[VerifiedBlock] = field(default_factory=list)
    commits: list[CommittedBlocks] = field(default_factory=list)
    evidence: list[Equivocation] = field(default_factory=list)
    is_up: bool = True

    def recovered(self) -> Recovered:
        return Recovered(tuple(self.log), tuple(one.commit for one in self.commits))


class VirtualNetwork:
    """Real `Consensus` objects, a seeded delay per message, and every block validated."""

    def __init__(
        self,
        size: int,
        seed: int = 0,
        parameters: Parameters | None = None,
        crashed: tuple[int, ...] = (),
        delay_ms: tuple[int, int] = (5, 60),
        is_lost: Callable[[int, int, int], bool] = lambda sender, receiver, now_ms: False,
    ) -> None:
        self.size = size
        self.parameters = parameters or Parameters(coin_length=COIN.length)
        self.rules = Rules.of(NETWORK, committee_of(size), self.parameters)
        self.members = [Member(consensus_of(size, me, self.parameters)) for me in range(size)]
        self.now_ms = START_MS
        self._random = Random(seed)
        self._delay_ms = delay_ms
        self._is_lost = is_lost
        self._events: list[tuple[int, int, int, Input]] = []
        self._count = 0
        for me in crashed:
            self.members[me].is_up = False
        for me in range(size):
            self.schedule(self.now_ms, me, Tick())

    def schedule(self, at_ms: int, receiver: int, event: Input) -> None:
        self._count += 1
        heapq.heappush(self._events, (at_ms, self._count, receiver, event))

    def run(self, until_ms: int) -> None:
        """Let the world go on for `until_ms` more milliseconds."""
        end_ms = self.now_ms + until_ms
        while self._events and self._events[0][0] <= end_ms:
            self.now_ms, _, receiver, event = heapq.heappop(self._events)
            if self.members[receiver].is_up:
                self.handle(receiver, event)
        self.now_ms = end_ms

    def handle(self, me: int, event: Input) -> Output:
        member = self.members[me]
        output = member.core.handle(event, self.now_ms)
        assert output.faults == ()
        member.log.extend(output.persist)
        member.commits.extend(output.commits)
        member.evidence.extend(output.evidence)
        for push in output.send:
            peers = range(self.size) if push.peer is None else (push.peer,)
            for peer in peers:
                self._deliver(me, peer, push.blocks)
        for fetch in output.fetch:
            self._serve(me, fetch.peer, fetch.references, fetch.above)
        if output.wake_ms is not None:
            assert output.wake_ms >= self.now_ms
            self.schedule(max(output.wake_ms, self.now_ms + 1), me, Tick())
        return output

    def restart(self, me: int) -> None:
        """Replace a member by one that knows only what its disk holds."""
        member = self.members[me]
        member.core = consensus_of(self.size, me, self.parameters, member.recovered())
        member.is_up = True
        self.schedule(self.now_ms, me, Tick())

    def _deliver(
        self, sender: int, receiver: int, blocks: tuple[VerifiedBlock, ...], solicited: bool = False
    ) -> None:
        if receiver == sender or self._is_lost(sender, receiver, self.now_ms):
            return
        for block in blocks:
            check_block(block, self.rules)
        event = BlocksReceived(sender, blocks, solicited)
        self.schedule(self.now_ms + self._random.randint(*self._delay_ms), receiver, event)

    def _serve(self, asker: int, peer: int, references: tuple, above: tuple[int, ...]) -> None:
        """Answer a fetch as a node does, from its log."""
        if not self.members[peer].is_up or self._is_lost(asker, peer, self.now_ms):
            return
        wanted = set(references)
        blocks, size = [], 0
        for block in self.members[peer].log:
            reference = block.reference
            if reference in wanted or (above and reference.round > above[reference.author]):
                size += len(block.header_bytes) + len(block.payload_bytes)
                if size > limits.MAX_FETCH_REPLY_BYTES:
                    break
                blocks.append(block)
        self._deliver(peer, asker, tuple(blocks), solicited=True)


def agreed_commits(members: list[Member]) -> int:
    """Assert that every member's commits are a prefix of the longest; the shortest length."""
    sequences = [[one.commit for one in member.commits] for member in members]
    longest = max(sequences, key=len)
    for sequence in sequences:
        assert sequence == longest[: len(sequence)]
    return min(map(len, sequences))
