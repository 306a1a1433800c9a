"""Asking attested peers one thing at a time, before there is an epoch to take part in."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import trio

from ccp2p.model.errors import PeerFault, Unreachable
from ccp2p.node.letters import ANSWER_TIMEOUT_S, ASK_AGAIN_S, M, T
from ccp2p.node.messages import PeerMessage, decode_message, encode_message


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
    """`Letters` over `feed`. `send(node, frame)` says whether the peer is connected."""

    def __init__(self, send: Callable[[bytes, bytes], bool], feed: FrameFeed) -> None:
        self._send = send
        self._feed = feed

    def tell(self, node: bytes, message: PeerMessage) -> bool:
        """See `Letters`."""
        return self._send(node, encode_message(message))

    async def ask(
        self,
        node: bytes,
        message: PeerMessage,
        kind: type[M],
        matches: Callable[[M], bool] = lambda _: True,
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> M:
        """See `Letters`."""
        with trio.move_on_after(timeout_s):
            while True:
                if not self.tell(node, message):
                    raise Unreachable("the peer is not connected")
                with trio.move_on_after(ASK_AGAIN_S):
                    return await self._answer(node, kind, matches)
        raise Unreachable("a peer did not answer in time")

    async def work(self, function: Callable[..., T], *arguments: Any) -> T:
        """See `Letters`."""
        return await trio.to_thread.run_sync(function, *arguments)

    async def pause(self, seconds: float) -> None:
        """See `Letters`."""
        await trio.sleep(seconds)

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
