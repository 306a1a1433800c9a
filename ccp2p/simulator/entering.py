"""How a simulated node comes to the present of its network: `node.joining` itself, stepped by hand.

The coroutine that a real node awaits under trio stops here wherever it waits; the world's events,
an answer or the end of a time, let it go on. So it is a matter of the seed what it meets.
"""

from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import TYPE_CHECKING, Any, Final

from ccp2p.membership.events import JoinRequest
from ccp2p.model.epoch import record_digest
from ccp2p.model.errors import LocalFault, PeerFault, Unreachable
from ccp2p.node.catch_up import Entered
from ccp2p.node.joining import Entrance, enter
from ccp2p.node.letters import ANSWER_TIMEOUT_S, ASK_AGAIN_S, M, T
from ccp2p.node.messages import PeerMessage
from ccp2p.node.network_record import NetworkRecord

if TYPE_CHECKING:
    from ccp2p.simulator.host import Host

_WITNESSES: Final = 2
_AGAIN_US: Final = 1_000_000  # until a node that gave up is started again by its operator

_Accepts = Callable[[bytes, PeerMessage], bool]


class _Wait:
    """Until a message that `accepts(node, message)`, or for `delay_us`: then the answer is None."""

    def __init__(self, delay_us: int, accepts: _Accepts) -> None:
        self.delay_us = delay_us
        self.accepts = accepts

    def __await__(self) -> Generator["_Wait", PeerMessage | None, PeerMessage | None]:
        return (yield self)


class Letters:
    """See `node.letters.Letters`: over the links of a simulated machine."""

    def __init__(self, host: "Host") -> None:
        self._host = host

    def tell(self, node: bytes, message: PeerMessage) -> bool:
        """See `Letters`."""
        world = self._host.world
        machine = world.machines[node]
        if world.hosts[machine].is_up:
            self._host.write_to(machine, message)
        return world.hosts[machine].is_up

    async def ask(
        self,
        node: bytes,
        message: PeerMessage,
        kind: type[M],
        matches: Callable[[M], bool] = lambda _: True,
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> M:
        """See `Letters`."""

        def accepts(sender: bytes, answer: PeerMessage) -> bool:
            return sender == node and isinstance(answer, kind) and matches(answer)

        world = self._host.world
        end_us = world.now_us + _us(timeout_s)
        while world.now_us < end_us:
            if not self.tell(node, message):
                raise Unreachable("the peer is not connected")
            answer = await _Wait(min(_us(ASK_AGAIN_S), end_us - world.now_us), accepts)
            if isinstance(answer, kind):
                return answer
        raise Unreachable("a peer did not answer in time")

    async def work(self, function: Callable[..., T], *arguments: Any) -> T:
        """See `Letters`: it takes no simulated time."""
        return function(*arguments)

    async def pause(self, seconds: float) -> None:
        """See `Letters`."""
        await _Wait(_us(seconds), lambda _sender, _message: False)


class Entering:
    """One node on its way in; `arrived(entered)` is told once, unless the node stops before."""

    def __init__(
        self, host: "Host", known: NetworkRecord | None, arrived: Callable[[Entered], None]
    ) -> None:
        self._host = host
        self._known = known
        self._arrived = arrived
        self._wait: _Wait | None = None
        self._course: Coroutine[_Wait, PeerMessage | None, Entered]
        self._begin()

    def hear(self, node: bytes, message: PeerMessage) -> None:
        """A message came; what is not waited for is dropped."""
        if self._wait is not None and self._wait.accepts(node, message):
            self._go_on(message)

    def _begin(self) -> None:
        self._course = enter(self._entrance(), Letters(self._host))
        self._go_on(None)

    def _go_on(self, answer: PeerMessage | None) -> None:
        self._wait = None
        try:
            self._wait = wait = self._course.send(answer)
        except StopIteration as end:
            self._arrived(end.value)
        except LocalFault as fault:
            if fault.code != "catch-up":
                raise
            self._host.later(_AGAIN_US, self._begin)
        else:
            self._host.later(wait.delay_us, self._time_up, wait)

    def _time_up(self, wait: _Wait) -> None:
        if self._wait is wait:
            self._go_on(None)

    def _entrance(self) -> Entrance:
        host = self._host
        founded = host.world.founded
        known = self._known.records if self._known is not None else ()
        return Entrance(
            genesis=founded.genesis,
            genesis_bytes=founded.record.genesis,
            network=founded.network,
            identity=founded.identities[host.index],
            known=known,
            pinned=record_digest(known[-1].record) if known else founded.link.digest,
            request=self._request,
            connect=lambda _node, _addresses: None,
            settle=_settled,
            connected=self._connected,
            witnesses=self._witnesses,
            blame=self._blame,
            report=lambda _text: None,
        )

    def _request(self, anchor: bytes) -> JoinRequest:
        return self._host.world.founded.join_request(self._host.index, anchor)

    def _connected(self) -> list[bytes]:
        """Nodes of the network that are up, in any order; every other time traitors come first."""
        host = self._host
        here = [
            one
            for one in host.world.hosts
            if one.is_up and one is not host and one.changes.is_inside
        ]
        host.random.shuffle(here)
        if host.random.randrange(2):
            here.sort(key=lambda one: one.is_honest)
        return [host.world.founded.identities[one.index].node for one in here]

    async def _witnesses(self, but: bytes) -> list[bytes]:
        return [node for node in self._connected() if node != but][:_WITNESSES]

    def _blame(self, node: bytes, fault: PeerFault) -> None:
        self._host.blame(self._host.world.machines[node], fault)


async def _settled(_listeners: Iterable[str]) -> None:
    """A simulated machine can be reached."""


def _us(seconds: float) -> int:
    return int(seconds * 1_000_000)
