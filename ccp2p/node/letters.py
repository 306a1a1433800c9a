"""How a node that is in no epoch yet asks others, and waits: the real one, or a simulated one."""

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from ccp2p.node.messages import PeerMessage

M = TypeVar("M")
T = TypeVar("T")

ANSWER_TIMEOUT_S: Final = 10.0
ASK_AGAIN_S: Final = 2.5


class Letters(Protocol):
    """Questions to attested peers, one at a time, and the two other things that take time."""

    def tell(self, node: bytes, message: PeerMessage) -> bool:
        """Send without waiting for an answer; False when the peer is not connected."""

    async def ask(
        self,
        node: bytes,
        message: PeerMessage,
        kind: type[M],
        matches: Callable[[M], bool] = lambda _: True,
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> M:
        """The answer of this kind from this node; Unreachable when none comes in time.

        What others send meanwhile is dropped: they send it again. The question is asked again after
        a while: a peer that just went from one epoch to the next dropped what it was answering.
        """

    async def work(self, function: Callable[..., T], *arguments: Any) -> T:
        """The result of something that may take seconds; nothing else waits for it."""

    async def pause(self, seconds: float) -> None:
        """Let time pass."""
