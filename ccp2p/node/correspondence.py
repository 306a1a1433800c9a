"""Asking attested peers one thing at a time, before there is an epoch to take part in."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import trio

from ccp2p.model.errors import PeerFault, Unreachable
from ccp2p.node.messages import PeerMessage, decode_message, encode_message

M = TypeVar("M")

ANSWER_TIMEOUT_S = 10.0
_ASK_AGAIN_S = 2.5


class FrameFeed:
    """(node, frame) pairs from attested peers, as they arrive; what was put back comes first."""

    def __init__(self, arriving: Callable[[], Awaitable[tuple[bytes, bytes]]]) -> None:
        self._arriving = arriving
        self._back: deque[tuple[bytes, bytes]] = deque()

    def put_back(self, frames: Iterable[tuple[bytes, bytes]]) -> None:
        """Let these frames come again, in their order, before all others."""
        self._back.extend(frames)

    def __aiter__(self) -> "FrameFeed":
        return self

    async def __anext__(self) -> tuple[bytes, bytes]:
        if self._back:
            await trio.lowlevel.checkpoint()
            return self._back.popleft()
        return await self._arriving()


class Correspondence:
    """Questions and answers over `feed`. `send(node, frame)` says whether the peer is connected."""

    def __init__(self, send: Callable[[bytes, bytes], bool], feed: FrameFeed) -> None:
        self._send = send
        self._feed = feed

    def tell(self, node: bytes, message: PeerMessage) -> bool:
        """Send without waiting for an answer."""
        return self._send(node, encode_message(message))

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
        with trio.move_on_after(timeout_s):
            while True:
                if not self.tell(node, message):
                    raise Unreachable("the peer is not connected")
                with trio.move_on_after(_ASK_AGAIN_S):
                    return await self._answer(node, kind, matches)
        raise Unreachable("a peer did not answer in time")

    async def _answer(self, node: bytes, kind: type[M], matches: Callable[[M], bool]) -> M:
        while True:
            sender, frame = await anext(self._feed)
            if sender != node:
                continue
            try:
                answer = decode_message(frame)
            except PeerFault:
                continue
            if isinstance(answer, kind) and matches(answer):
                return answer
