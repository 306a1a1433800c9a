"""How commits reach nodes without a seat: announced, passed on, their blocks fetched and served.

An announcement says who may be asked, and nothing more: what is fetched is verified as if a seat
had sent it. `follow` is called after each step of the core, and `committed` once the blocks of its
commits are on disk.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final

import trio

from ccp2p.consensus.messages import CommittedBlocks
from ccp2p.gossip.core import HEARTBEAT_MS, Send
from ccp2p.gossip.messages import Message as Gossiped
from ccp2p.node.boundary import Boundary
from ccp2p.node.follower import HELD_MS, Follower
from ccp2p.node.herald import Herald
from ccp2p.node.messages import (
    FetchBlocks,
    FetchedBlocks,
    PeerMessage,
    encode_fetched,
    encode_message,
)
from ccp2p.node.registry import Registry
from ccp2p.node.seat import Seat
from ccp2p.sealing.identity import Identity

_NOTHING: Final = encode_message(FetchedBlocks(()))
_MOST_WAITING: Final = 8  # nodes whose answer waits for something to be in it; others get it empty
_GATHER_MS: Final = 20  # so that an answer has more than one commit in a busy network
_MS_OF_OBSERVER: Final = 2  # more for each of them: all that many of them do is to ask
_MOST_MS: Final = 150


class Spreading:
    """One node's part in one epoch.

    `ask(node, message)` and `send(node, frame)` queue without blocking, and say whether the node is
    connected. `connections()` are all peers, True where we dialled; `wake()` calls for a step.
    """

    def __init__(
        self,
        *,
        network: bytes,
        identity: Identity,
        seat: Seat,
        registry: Registry,
        boundary: Boundary,
        connections: Callable[[], Mapping[bytes, bool]],
        send: Callable[[bytes, bytes], bool],
        ask: Callable[[bytes, FetchBlocks], bool],
        wake: Callable[[], None],
        randomness: Random,
    ) -> None:
        core = seat.core
        self._seat = seat
        self._committee = core.committee
        self._consensus = core.consensus
        self._epoch = core.committee.epoch
        self._observes = core.me < 0
        self._registry = registry
        self._boundary = boundary
        self._connections = connections
        self._send = send
        self._ask = ask
        self._wake = wake
        self._random = randomness
        self._follower = Follower()
        self._herald = Herald(
            network,
            core.committee,
            core.me,
            identity.signing,
            core.consensus.last_commit,
            randomness,
        )
        self._serving: set[bytes] = set()
        self._waiting: dict[bytes, FetchBlocks] = {}
        self._grown = trio.Event()

    @property
    def above(self) -> tuple[int, ...]:
        """The highest round held of each author."""
        floor = self._consensus.gc_round
        newest = self._consensus.newest_by_author
        return tuple(reference.round if reference else floor for reference in newest)

    async def beat(self) -> None:
        """Keep the mesh in order where anybody needs one, until cancelled."""
        while True:
            peers = self._peers()
            self._herald.meet(peers)
            self._follower.keep_only(peers)
            if self._observers:
                self._tell(self._herald.heartbeat(self._observers, _now_ms()))
            await trio.sleep(HEARTBEAT_MS / 1000)

    def hear(self, node: bytes, message: Gossiped) -> None:
        """A peer gossips; PeerFault when it lies. Strangers to the network are not heard."""
        now_ms = _now_ms()
        if not self._herald.knows(node):
            self._herald.meet(self._peers())
            if not self._herald.knows(node):
                return
        sends, said = self._herald.hear(node, message, now_ms)
        self._tell(sends)
        if said is None:
            return
        if said.epoch != self._epoch:
            word = self._boundary.hear_of(node, said.epoch, now_ms)
            if word is not None:
                self._send(node, encode_message(word))
        elif self._observes and self._follower.hear(node, said.commit, self._committed, now_ms):
            self._wake()

    def committed(self, commits: Sequence[CommittedBlocks]) -> None:
        """New commits: their blocks can be fetched from here."""
        if commits:
            self._grown.set()
            self._grown = trio.Event()
            news = [one.commit for one in commits]
            self._tell(self._herald.committed(news, self._observers))

    def push(self, frame: bytes) -> None:
        """A block of ours, also for who has a seat in the next epoch and none in this one.

        Such a node counts for the next epoch's quorum at once, and would end this one later than
        all others if it had to ask for each block.
        """
        for node in self._registry.coming():
            self._send(node, frame)

    def closing(self) -> None:
        """The newest commit is the last of the epoch: whose answer waits gets it now, or never."""
        for node, request in self._waiting.items():
            self._send(node, encode_fetched(self._seat.serve(request)))
        if self._observers:
            self._tell(self._herald.closing())

    def follow(self, answered: Sequence[bytes]) -> float:
        """Ask for what is announced and lacking; the seconds after which to look again.

        What `answered` sent has been taken in.
        """
        follower = self._follower
        if not (answered or follower.is_behind):
            return math.inf
        now_ms, above = _now_ms(), self.above
        for node in answered:
            follower.answered(node, above, now_ms)
        while (chosen := follower.next(self._committed, above, now_ms)) is not None:
            if self._ask(chosen, FetchBlocks((), above, self._epoch)):
                break
            follower.forget(chosen)
        wait_ms = follower.wait_ms(now_ms)
        return math.inf if wait_ms is None else wait_ms / 1000

    def another(self) -> bytes | None:
        """Somebody to ask where no seat is connected."""
        peers = sorted(self._peers())
        return self._random.choice(peers) if peers else None

    def accepts(self, node: bytes) -> bool:
        """Whether a node gets blocks now, one answer at a time; then `serve` must follow."""
        if node in self._serving or not self._registry.may_fetch(node):
            return False
        self._serving.add(node)
        return True

    async def serve(self, node: bytes, request: FetchBlocks) -> None:
        """Answer a fetch; an observer's not before there is something, if that is soon."""
        grown = self._grown
        try:
            frame = await self._answer(request)
        finally:
            self._serving.discard(node)
        if frame == _NOTHING and not request.references and self._may_wait(node, request):
            self._waiting[node] = request
            try:
                with trio.move_on_after(HELD_MS / 1000):
                    await grown.wait()
                    await trio.sleep(self._gather_ms / 1000)
                frame = await self._answer(request)
            finally:
                del self._waiting[node]
        self._send(node, frame)

    def _may_wait(self, node: bytes, request: FetchBlocks) -> bool:
        is_seat = self._committee.index_of(node) is not None
        is_free = node not in self._waiting and len(self._waiting) < _MOST_WAITING
        return is_free and not is_seat and request.epoch == self._epoch

    async def _answer(self, request: FetchBlocks) -> bytes:
        return await trio.to_thread.run_sync(lambda: encode_fetched(self._seat.serve(request)))

    @property
    def _committed(self) -> int:
        last = self._consensus.last_commit
        return last.index if last else 0

    @property
    def _gather_ms(self) -> int:
        """How long a seat's answer waits for more; what an observer passes on was gathered."""
        if self._observes:
            return 0
        return min(_MOST_MS, _GATHER_MS + self._observers * _MS_OF_OBSERVER)

    @property
    def _observers(self) -> int:
        return len(self._registry.roster.observers)

    def _peers(self) -> dict[bytes, bool]:
        """Connected nodes of the network."""
        roster = self._registry.roster
        known = {one.node for one in (*roster.members, *roster.observers)}
        return {node: dialled for node, dialled in self._connections().items() if node in known}

    def _tell(self, sends: Sequence[Send]) -> None:
        said: PeerMessage | None = None
        frame = b""
        for node, message in sends:
            if message != said:
                said, frame = message, encode_message(message)
            self._send(node, frame)


def _now_ms() -> int:
    return int(trio.current_time() * 1000)
